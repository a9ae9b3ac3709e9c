//! `wgpu-softmax softmax`.

use crate::arrays::Failure;
use crate::output::{self, Output};
use crate::shared::{self, DtypeWord, Shared};
use crate::{Cli, open_gpu};
use clap::Args;
use half::{bf16, f16};
use std::path::PathBuf;
use wgpu_softmax::{Element, Softmax};

#[derive(Args)]
pub(crate) struct SoftmaxArgs {
    /// An array of f32, f16, bf16 or f64 (which is rounded to f32): FILE.npy, or FILE.safetensors[:NAME].
    logits: PathBuf,
    /// Where the result goes, f32, as .npy or .safetensors; - is standard output.
    #[arg(short, value_name = "OUT")]
    output: PathBuf,
    /// The logarithm of the probabilities.
    #[arg(long)]
    log: bool,
    /// The class axis; a negative one counts from the end.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    axis: isize,
    #[command(flatten)]
    shared: Shared,
}

pub(crate) fn run(cli: &Cli, args: &SoftmaxArgs) -> Result<(), Failure> {
    match args.shared.dtype {
        DtypeWord::F32 => run_stored::<f32>(cli, args),
        DtypeWord::F16 => run_stored::<f16>(cli, args),
        DtypeWord::Bf16 => run_stored::<bf16>(cli, args),
    }
}

fn run_stored<T: Element>(cli: &Cli, args: &SoftmaxArgs) -> Result<(), Failure> {
    output::check(&[("-o", Some(&args.output))])?;
    let (logits, rows) = shared::logits(&args.logits, args.axis)?;
    let options = Softmax {
        log: args.log,
        fully_masked: args.shared.fully_masked(),
        adjust: args.shared.adjust(&logits.shape, rows)?,
        ..Softmax::default()
    };
    let (gpu, bar) = open_gpu(cli, rows.count())?;
    let result = gpu.softmax(&shared::store::<T>(logits.values), rows, &options)?;
    drop(bar);
    let name = if args.log { "log_probs" } else { "probs" };
    let output = Output::new(&args.output, name, &logits.shape, &shared::widen(result))?;
    output::publish(vec![output])
}
