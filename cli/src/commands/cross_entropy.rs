//! `wgpu-softmax cross-entropy`.

mod args;

pub(crate) use args::CrossEntropyArgs;

use crate::arrays::Targets;
use crate::console;
use crate::failure::Failure;
use crate::global::Global;
use crate::logits::{self, DtypeWord};
use crate::output::{self, Output};
use half::{bf16, f16};
use serde_json::json;
use std::path::PathBuf;
use wgpu_softmax::{CrossEntropyOutput, Element, Rows, Softmax};

pub(crate) fn run(global: &Global, args: &CrossEntropyArgs) -> Result<(), Failure> {
    match args.about_logits.dtype {
        DtypeWord::F32 => run_stored::<f32>(global, args),
        DtypeWord::F16 => run_stored::<f16>(global, args),
        DtypeWord::Bf16 => run_stored::<bf16>(global, args),
    }
}

fn run_stored<T: Element>(global: &Global, args: &CrossEntropyArgs) -> Result<(), Failure> {
    args.check()?;
    let (logits, rows) = logits::read(&args.logits, args.axis)?;
    let row_shape = args.row_shape(&logits.shape);
    let targets = args.targets(&logits.shape, &row_shape)?;
    let soft = matches!(targets, Targets::Probabilities(_));
    let options = args.options(&logits.shape, rows, global.json && !soft)?;

    let (gpu, bar) = global.open_gpu(rows.count())?;
    let shape = logits.shape;
    let logits = logits::store::<T>(logits.values);
    let out = match targets {
        Targets::Classes(classes) => gpu.cross_entropy(&logits, &classes.values, rows, &options)?,
        Targets::Probabilities(q) => gpu.cross_entropy_soft(&logits, &logits::store::<T>(q.values), rows, &options)?,
    };
    let log_softmax = Softmax {
        log: true,
        fully_masked: options.fully_masked,
        adjust: options.adjust,
        fast: options.fast,
        ..Softmax::default()
    };
    let log_probs = match args.log_probs {
        Some(_) => Some(logits::widen(gpu.softmax(&logits, rows, &log_softmax)?)),
        None => None,
    };
    drop(bar);
    let line = describe(global, &out, rows, &gpu.adapter_info().name);
    publish(args, out, log_probs, &shape, &row_shape)?;
    print(args, &line)
}

/// Writes the arrays that the flags ask for.
fn publish<T: Element>(
    args: &CrossEntropyArgs,
    out: CrossEntropyOutput<T>,
    log_probs: Option<Vec<f32>>,
    shape: &[usize],
    row_shape: &[usize],
) -> Result<(), Failure> {
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
        return out.loss.map_or("loss none".into(), |loss| {
            // Six decimals of a small loss would be zeros.
            if loss != 0.0 && loss.abs() < 1e-3 {
                format!("loss {loss:.6e}")
            } else {
                format!("loss {loss:.6}")
            }
        });
    }
    // JSON has no NaN and no infinity: they are printed as strings.
    let number = |v: f32| if v.is_finite() { json!(v) } else { json!(v.to_string()) };
    let line = json!({
        "loss": out.loss.map(number), "rows": rows.count(), "ignored": rows.count() - out.counted,
        "correct": out.correct, "adapter": adapter,
    });
    line.to_string()
}

/// Prints the line on standard output, or on standard error if an array has been written to standard output.
fn print(args: &CrossEntropyArgs, line: &str) -> Result<(), Failure> {
    let outs = args.outs();
    if outs.iter().any(|(_, path)| path.is_some_and(output::is_standard)) {
        console::note(line);
        Ok(())
    } else {
        console::line(line)
    }
}
