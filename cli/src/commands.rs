//! The commands, a file each. A command checks what it can before the adapter is opened, and writes nothing before all of
//! its results are there.

mod bce;
mod bench;
mod cross_entropy;
mod devices;
mod sample;
mod softmax;
mod verify;

use crate::failure::Failure;
use crate::global::Global;
use bce::BceArgs;
use bench::BenchArgs;
use clap::Subcommand;
use cross_entropy::CrossEntropyArgs;
use sample::SampleArgs;
use softmax::SoftmaxArgs;
use verify::VerifyArgs;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// A line per adapter; marks the one that would be used.
    Devices,
    /// Softmax of LOGITS, or its logarithm.
    Softmax(SoftmaxArgs),
    /// Cross-entropy of LOGITS and TARGETS, and its gradient.
    CrossEntropy(Box<CrossEntropyArgs>),
    /// Binary cross-entropy of LOGITS and TARGETS, element by element, and its gradient.
    Bce(BceArgs),
    /// A token for each row of LOGITS, drawn or the largest: the decode step of a language model.
    Sample(Box<SampleArgs>),
    /// Milliseconds, GB/s, and the share of a copy of the same bytes measured in the same run.
    Bench(BenchArgs),
    /// Every operation against the f64 reference on this adapter, and all that is promised of it; exit code 1 if any fails.
    Verify(VerifyArgs),
}

impl Command {
    pub(crate) fn run(&self, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Devices => devices::run(global),
            Self::Softmax(args) => softmax::run(global, args),
            Self::CrossEntropy(args) => cross_entropy::run(global, args),
            Self::Bce(args) => bce::run(global, args),
            Self::Sample(args) => sample::run(global, args),
            Self::Bench(args) => bench::run(global, args),
            Self::Verify(args) => verify::run(global, args),
        }
    }
}
