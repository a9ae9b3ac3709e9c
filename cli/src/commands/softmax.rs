//! `wgpu-softmax softmax`.

use crate::arrays::{self, Array};
use crate::failure::Failure;
use crate::global::Global;
use crate::layout::Layout;
use crate::logits::{self, DtypeWord, LogitArgs};
use crate::number::{Column, NumberArg, axis};
use crate::output::{self, Output};
use clap::Args;
use half::{bf16, f16};
use std::path::PathBuf;
use wgpu_softmax::{Element, Sink, Softmax, Values};

#[derive(Args)]
pub(crate) struct SoftmaxArgs {
    /// An array of f32, f16, bf16 or f64 (which is rounded to f32): FILE.npy, or FILE.safetensors[:NAME].
    logits: PathBuf,
    /// Where the result goes, f32, as .npy or .safetensors; - is standard output.
    #[arg(short, alias = "output", value_name = "OUT")]
    output: PathBuf,
    /// The logarithm of the probabilities.
    #[arg(long)]
    log: bool,
    /// The class axis; a negative one counts from the end.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_parser = axis)]
    axis: isize,
    /// One more logit in the denominator of each row, without an output of its own: 0 is "softmax plus one". It is neither
    /// scaled nor capped nor masked. A number, or a file with one for each row.
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    sink: Option<NumberArg<f32>>,
    #[command(flatten)]
    about_logits: LogitArgs,
}

impl SoftmaxArgs {
    fn sink(&self, layout: &Layout) -> Result<Option<Sink>, Failure> {
        let Some(sink) = &self.sink else {
            return Ok(None);
        };
        Ok(Some(match sink.column("--sink", layout, "finite", f32::is_finite)? {
            Column::All(number) => Sink::Number(number),
            Column::PerRow(numbers) => Sink::PerRow(Values::from(numbers)),
        }))
    }
}

pub(crate) fn run(global: &Global, args: &SoftmaxArgs) -> Result<(), Failure> {
    match args.about_logits.dtype {
        DtypeWord::F32 => run_stored::<f32>(global, args),
        DtypeWord::F16 => run_stored::<f16>(global, args),
        DtypeWord::Bf16 => run_stored::<bf16>(global, args),
    }
}

fn run_stored<T: Element>(global: &Global, args: &SoftmaxArgs) -> Result<(), Failure> {
    let outs = [("-o", Some(args.output.as_path()))];
    output::check(&outs)?;
    let mut ins = [vec![("LOGITS", args.logits.as_path())], args.about_logits.ins()].concat();
    let sink = args.sink.as_ref().and_then(NumberArg::file);
    ins.extend(sink.map(|path| ("--sink", path)));
    output::check_inputs(&ins, &outs)?;
    let Array { shape, values } = arrays::floats(&args.logits, "logits")?;
    let layout = Layout::of(&args.logits, &shape, args.axis)?;
    let options = Softmax {
        log: args.log,
        fully_masked: args.about_logits.fully_masked(),
        adjust: args.about_logits.adjust(&layout)?,
        sink: args.sink(&layout)?,
        fast: args.about_logits.fast,
        ..Softmax::default()
    };
    let (gpu, bar) = global.open_gpu(layout.count())?;
    let stored = logits::store::<T>(values, &args.logits);
    let result = gpu.softmax(&stored, layout.rows_in_place(), &options)?;
    drop(bar);
    let name = if args.log { "log_probs" } else { "probs" };
    let output = Output::new(&args.output, name, &shape, &logits::widen(result))?;
    output::publish(vec![output])
}
