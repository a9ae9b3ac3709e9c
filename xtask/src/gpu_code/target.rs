//! A GPU that kernels are compiled for.

use super::compiled::Compilation;
use super::kernels::Kernel;
use super::listing::{Counts, Kind};
use super::nvidia::Nvrtc;
use super::radv::Radv;
use std::path::Path;

/// AMD's GPUs, as Mesa calls them: RX 6800 and 6900, RX 7900, Vega 64, RX 480.
pub(crate) const AMD: [&str; 4] = ["navi21", "navi31", "vega10", "polaris10"];

pub(crate) struct Target {
    /// The GPU's name in Mesa, or its architecture in CUDA, as `sm_90` for the H100.
    pub(crate) name: String,
    compiler: Compiler,
}

enum Compiler {
    Radv(Radv),
    Nvrtc(Nvrtc),
}

impl Target {
    /// An error says why its compiler cannot be had.
    pub(crate) fn find(name: &str) -> Result<Self, String> {
        let compiler = if AMD.contains(&name) {
            Compiler::Radv(Radv::find()?)
        } else if name.starts_with("sm_") {
            Compiler::Nvrtc(Nvrtc::find()?)
        } else {
            let amd = AMD.join(", ");
            return Err(format!("{name:?} is no GPU: there are {amd}, and NVIDIA's as sm_90"));
        };
        Ok(Self {
            name: name.into(),
            compiler,
        })
    }

    pub(crate) fn compile(&self, folder: &Path, kernels: &[Kernel]) -> Result<Compilation, String> {
        match &self.compiler {
            Compiler::Radv(radv) => radv.compile(&self.name, folder, kernels),
            Compiler::Nvrtc(nvrtc) => nvrtc.compile(&self.name, folder, kernels),
        }
    }

    /// What [`cost`](Self::cost) counts.
    pub(crate) fn unit(&self) -> &'static str {
        match self.compiler {
            Compiler::Radv(_) => "VALU instructions",
            Compiler::Nvrtc(_) => "issue slots",
        }
    }

    /// What takes the time of a kernel that is bound by arithmetic. NVIDIA's GPUs issue one instruction a cycle, and their
    /// units for integers take one every other cycle.
    pub(crate) fn cost(&self, counts: &Counts) -> f64 {
        let of = |kind| counts.get(&kind).copied().unwrap_or(0.0);
        match self.compiler {
            Compiler::Radv(_) => of(Kind::Vector),
            Compiler::Nvrtc(_) => counts.values().sum::<f64>().max(2.0 * of(Kind::Alu)),
        }
    }
}
