//! `cargo xtask gpu-code`.
mod driver;
mod kernels;
mod radv;
pub(crate) use driver::run as run_driver;
pub(crate) use radv::SUBCOMMAND;

pub(crate) fn run() -> Result<(), String> {
    let folder = crate::tools::target()?.join("gpu_code");
    kernels::Kernel::write_all(&folder)?;
    let kernels = kernels::Kernel::read_all(&folder)?;
    let radv = radv::Radv::find()?;
    let all = radv.compile("navi21", &folder, &kernels)?;
    for (kernel, compiled) in kernels.iter().zip(&all) {
        println!("{kernel}\n{}", compiled.statistics);
        std::fs::write(kernel.path(&folder, "s"), &compiled.assembly).map_err(|e| e.to_string())?;
    }
    Ok(())
}
