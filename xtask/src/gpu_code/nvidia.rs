//! NVIDIA's GPUs: naga's Metal code, turned into CUDA, through NVIDIA's compiler for that. It is not the compiler of their
//! Vulkan driver, but most likely ends in the same back end. It is downloaded from PyPI.

use super::compiled::{Compilation, Compiled, show_progress};
use super::kernels::Kernel;
use super::{cuda, sass};
use crate::tools;
use std::collections::BTreeMap;
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
        // Some kernels are the same but for numbers that they are given when they run.
        let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
        let mut file_of = Vec::new();
        for kernel in kernels {
            let metal = std::fs::read_to_string(kernel.path(folder, "metal")).map_err(|e| e.to_string())?;
            let cuda = cuda::from_metal(&metal).map_err(|e| format!("{kernel}: {e}"))?;
            let file = kernel.path(folder, "cu");
            std::fs::write(&file, &cuda).map_err(|e| e.to_string())?;
            file_of.push(files.entry(cuda).or_insert(file).clone());
        }
        self.compile_files(architecture, files.values())?;
        let compiled = kernels.iter().zip(&file_of);
        let compiled = compiled.map(|(kernel, file)| read(file).map_err(|e| format!("{kernel}: {e}")));
        Ok(Compilation {
            compiler: format!("NVRTC {}", NVRTC.1),
            kernels: compiled.collect::<Result<_, _>>()?,
        })
    }

    fn compile_files<'a>(
        &self,
        architecture: &str,
        files: impl ExactSizeIterator<Item = &'a PathBuf>,
    ) -> Result<(), String> {
        let count = files.len();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
        let mut child = Command::new("python3")
            .arg(scripts.join("nvrtc.py"))
            .args([&self.library, &self.disassembler])
            .arg(architecture)
            .arg(scripts.join(cuda::HEADER))
            .args(files)
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
            show_progress(architecture, done + 1, count);
        }
        let status = child.wait().map_err(|e| e.to_string())?;
        match status.success() {
            true => Ok(()),
            false => Err(format!("nvrtc.py ended with {status}")),
        }
    }
}

/// Reads what was made of a file.
fn read(file: &Path) -> Result<Compiled, String> {
    let text = |extension| std::fs::read_to_string(file.with_extension(extension)).map_err(|e| e.to_string());
    let (assembly, log) = (text("sass")?, text("log")?);
    let number = |unit: &str| {
        let number = number_before(&log, unit);
        number.ok_or_else(|| format!("the compiler's log has no {unit:?}: {log}"))
    };
    Ok(Compiled {
        listing: sass::listing(&assembly),
        registers: number(" registers")?,
        spills: number(" bytes spill stores")? + number(" bytes spill loads")?,
        scratch: number(" bytes stack frame")?,
        // It is not mentioned if there is none.
        group_memory: number(" bytes smem").unwrap_or(0.0),
        subgroups: None,
    })
}

fn number_before(log: &str, unit: &str) -> Option<f64> {
    let (before, _) = log.split_once(unit)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A file of a binary package on PyPI.
fn wheel((package, version): (&str, &str), file: &str) -> Result<PathBuf, String> {
    tools::fetched(package, file, |folder| {
        let install = "python3 -m pip install --quiet --no-deps --target .";
        tools::shell(&format!("{install} {package}=={version}"), folder)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_the_log() {
        let log = "ptxas . 8 bytes stack frame, 0 bytes spill stores\nptxas info : Used 40 registers, 2432 bytes smem";
        for (unit, expected) in [
            (" registers", Some(40.0)),
            (" bytes stack frame", Some(8.0)),
            (" bytes smem", Some(2432.0)),
            (" bytes spill loads", None),
        ] {
            assert_eq!(number_before(log, unit), expected, "{unit}");
        }
    }
}
