//! NVIDIA's GPUs: naga's Metal code, turned into CUDA, through NVIDIA's compiler for that. It is not the compiler of their
//! Vulkan driver, but most likely ends in the same back end. It is downloaded from PyPI.

use super::compiled::{Compilation, Compiled, show_progress};
use super::kernels::Kernel;
use super::{cuda, sass};
use crate::tools;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The unpacked compiler and disassembler.
pub(crate) struct Nvrtc {
    library: PathBuf,
    disassembler: PathBuf,
}

const NVRTC: (&str, &str) = ("nvidia-cuda-nvrtc-cu12", "12.9.86");
const NVDISASM: (&str, &str) = ("nvidia-cuda-nvdisasm", "13.5.37");

impl Nvrtc {
    /// The compiler, downloaded unless it is there already.
    pub(crate) fn find() -> Result<Self, String> {
        Ok(Self {
            library: wheel(NVRTC, "nvidia/cuda_nvrtc/lib/libnvrtc.so.12")?,
            disassembler: wheel(NVDISASM, "nvidia/cu13/bin/nvdisasm")?,
        })
    }

    /// Compiles the kernels of `folder` for GPUs of an architecture like `sm_90`.
    pub(crate) fn compile(&self, architecture: &str, folder: &Path, kernels: &[Kernel]) -> Result<Compilation, String> {
        for kernel in kernels {
            let metal = std::fs::read_to_string(kernel.path(folder, "metal")).map_err(|e| e.to_string())?;
            let cuda = cuda::from_metal(&metal).map_err(|e| format!("{kernel}: {e}"))?;
            std::fs::write(kernel.path(folder, "cu"), cuda).map_err(|e| e.to_string())?;
        }
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut child = Command::new("python3")
            .arg(scripts.join("nvrtc.py"))
            .args([&self.library, &self.disassembler])
            .arg(architecture)
            .arg(scripts.join(cuda::HEADER))
            .args(kernels.iter().map(|kernel| kernel.path(folder, "cu")))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("python3: {e}"))?;
        let lines = child
            .stdout
            .take()
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines());
        for (done, line) in lines.enumerate() {
            line.map_err(|e| e.to_string())?;
            show_progress(architecture, done + 1, kernels.len());
        }
        let status = child.wait().map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("nvrtc.py ended with {status}"));
        }
        let compiled = kernels.iter().map(|kernel| read(&kernel.path(folder, "sass")));
        Ok(Compilation {
            compiler: format!("NVRTC {}", NVRTC.1),
            kernels: compiled.collect::<Result<_, _>>()?,
        })
    }
}

fn read(file: &Path) -> Result<Compiled, String> {
    let assembly = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let registers = sass::registers(&assembly);
    Ok(Compiled {
        listing: sass::listing(&assembly),
        registers: registers.ok_or_else(|| format!("{}: no number of registers", file.display()))?,
        spills: sass::spills(&assembly) as f64,
        scratch: None,
        group_memory: None,
        subgroups: None,
    })
}

/// A file of a binary package on PyPI.
fn wheel((package, version): (&str, &str), file: &str) -> Result<PathBuf, String> {
    tools::fetched(package, file, |folder| {
        let install = "python3 -m pip install --quiet --root-user-action ignore --no-deps --target .";
        tools::shell(&format!("{install} {package}=={version}"), folder)
    })
}
