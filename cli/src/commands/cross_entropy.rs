//! `wgpu-softmax cross-entropy`.

mod args;
mod targets;

pub(crate) use args::CrossEntropyArgs;
use targets::Targets;

use crate::arrays::{self, Array};
use crate::failure::Failure;
use crate::global::Global;
use crate::layout::Layout;
use crate::logits::{self, DtypeWord};
use crate::loss;
use crate::output::{self, Output};
use half::{bf16, f16};
use serde_json::json;
use std::path::PathBuf;
use wgpu_softmax::{Adjust, CrossEntropyOutput, Element, Rows, Scale, Softmax};

pub(crate) fn run(global: &Global, args: &CrossEntropyArgs) -> Result<(), Failure> {
    match args.about_logits.dtype {
        DtypeWord::F32 => run_stored::<f32>(global, args),
        DtypeWord::F16 => run_stored::<f16>(global, args),
        DtypeWord::Bf16 => run_stored::<bf16>(global, args),
    }
}

fn run_stored<T: Element>(global: &Global, args: &CrossEntropyArgs) -> Result<(), Failure> {
    args.check()?;
    let Array { shape, values } = arrays::floats(&args.logits, "logits")?;
    let layout = args.layout(&shape)?;
    let row_weights = args.row_weights(&layout)?;
    let targets = args.targets(&layout, row_weights.as_deref())?;
    let is_soft = !matches!(targets, Targets::Classes(_));
    let options = args.options(&layout, row_weights, global.json && !is_soft)?;

    let (gpu, bar) = global.open_gpu(layout.count())?;
    let rows = layout.rows_in_place();
    let logits = logits::store::<T>(values, &args.logits);
    let out = match targets {
        Targets::Classes(classes) => gpu.cross_entropy(&logits, &classes, rows, &options)?,
        Targets::Probabilities(q) => {
            let q = logits::store::<T>(q, &args.targets);
            gpu.cross_entropy_soft(&logits, &q, rows, &options)?
        }
        Targets::Teacher(teacher) => {
            let teacher = logits::store::<T>(teacher, &args.targets);
            gpu.distillation(&logits, &teacher, rows, &options)?
        }
    };
    let log_softmax = Softmax {
        log: true,
        fully_masked: options.fully_masked,
        adjust: match options.temperature {
            1.0 => options.adjust,
            temperature => Adjust {
                scale: Scale::Number(temperature.recip()),
                ..options.adjust
            },
        },
        fast: options.fast,
        ..Softmax::default()
    };
    let log_probs = match args.log_probs {
        Some(_) => Some(logits::widen(gpu.softmax(&logits, rows, &log_softmax)?)),
        None => None,
    };
    drop(bar);
    let line = describe(global, &out, rows, &gpu.adapter_info().name);
    publish(args, out, log_probs, &layout)?;
    output::print_beside(&args.outs(), &line)
}

/// Writes the arrays that the flags ask for.
fn publish<T: Element>(
    args: &CrossEntropyArgs,
    out: CrossEntropyOutput<T>,
    log_probs: Option<Vec<f32>>,
    layout: &Layout,
) -> Result<(), Failure> {
    let (shape, row_shape) = (layout.shape(), &layout.row_shape()[..]);
    let gradient = out.gradient.map(logits::widen);
    let mut outputs = Vec::new();
    let mut add =
        |path: &Option<PathBuf>, name: &str, shape: &[usize], values: Option<&[f32]>| -> Result<(), Failure> {
            if let (Some(path), Some(values)) = (path, values) {
                outputs.push(Output::new(path, name, shape, values)?);
            }
            Ok(())
        };
    match out.loss {
        Some(loss) => add(&args.loss, "loss", &[], Some(&[loss]))?,
        None => add(&args.loss, "loss", row_shape, out.row_losses.as_deref())?,
    }
    add(&args.grad, "gradient", shape, gradient.as_deref())?;
    add(&args.lse, "lse", row_shape, out.lse.as_deref())?;
    add(&args.entropy, "entropy", row_shape, out.entropy.as_deref())?;
    add(&args.log_probs, "log_probs", shape, log_probs.as_deref())?;
    if let (Some(path), Some(argmax)) = (&args.predictions, &out.argmax) {
        let classes: Vec<i64> = argmax.iter().map(|&c| i64::from(c)).collect();
        outputs.push(Output::new(path, "predictions", row_shape, &classes)?);
    }
    output::publish(outputs)
}

/// The line that says what the loss is.
fn describe<T>(global: &Global, out: &CrossEntropyOutput<T>, rows: Rows, adapter: &str) -> String {
    if !global.json {
        return loss::line(out.loss);
    }
    let line = json!({
        "loss": out.loss.map(loss::in_json), "rows": rows.count(), "ignored": rows.count() - out.counted,
        "correct": out.correct, "adapter": adapter,
    });
    line.to_string()
}
