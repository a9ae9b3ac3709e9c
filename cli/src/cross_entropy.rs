//! `wgpu-softmax cross-entropy`.

mod args;

pub(crate) use args::CrossEntropyArgs;

use crate::arrays::{Failure, Targets};
use crate::output::{self, Output};
use crate::say;
use crate::shared::{self, DtypeWord};
use crate::{Cli, open_gpu};
use half::{bf16, f16};
use serde_json::json;
use std::path::PathBuf;
use wgpu_softmax::{CrossEntropyOutput, Element, Rows, Softmax};

pub(crate) fn run(cli: &Cli, args: &CrossEntropyArgs) -> Result<(), Failure> {
    match args.shared.dtype {
        DtypeWord::F32 => run_stored::<f32>(cli, args),
        DtypeWord::F16 => run_stored::<f16>(cli, args),
        DtypeWord::Bf16 => run_stored::<bf16>(cli, args),
    }
}

fn run_stored<T: Element>(cli: &Cli, args: &CrossEntropyArgs) -> Result<(), Failure> {
    args.check()?;
    let (logits, rows) = shared::logits(&args.logits, args.axis)?;
    let row_shape = args.row_shape(&logits.shape);
    let targets = args.targets(&logits.shape, &row_shape)?;
    let soft = matches!(targets, Targets::Probabilities(_));
    let options = args.options(&logits.shape, rows, cli.json && !soft)?;

    let (gpu, bar) = open_gpu(cli, rows.count())?;
    let shape = logits.shape;
    let logits = shared::store::<T>(logits.values);
    let mut out = match targets {
        Targets::Classes(classes) => gpu.cross_entropy(&logits, &classes.values, rows, &options)?,
        Targets::Probabilities(q) => gpu.cross_entropy_soft(&logits, &shared::store::<T>(q.values), rows, &options)?,
    };
    let log = Softmax {
        log: true,
        fully_masked: options.fully_masked,
        adjust: options.adjust,
        ..Softmax::default()
    };
    let log_probs = match args.log_probs {
        Some(_) => Some(shared::widen(gpu.softmax(&logits, rows, &log)?)),
        None => None,
    };
    drop(bar);
    let gradient = out.gradient.take().map(shared::widen);

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
        None => add(&args.loss, "loss", &row_shape, out.row_losses.as_deref())?,
    }
    add(&args.grad, "gradient", &shape, gradient.as_deref())?;
    add(&args.lse, "lse", &row_shape, out.lse.as_deref())?;
    add(&args.log_probs, "log_probs", &shape, log_probs.as_deref())?;
    if let (Some(path), Some(argmax)) = (&args.predictions, &out.argmax) {
        let classes: Vec<i64> = argmax.iter().map(|&c| i64::from(c)).collect();
        outputs.push(Output::new(path, "predictions", &row_shape, &classes)?);
    }
    output::publish(outputs)?;
    report(cli, args, &out, rows, &gpu.adapter_info().name)
}

/// The line on standard output, or on standard error where an array has taken that.
fn report<T>(
    cli: &Cli,
    args: &CrossEntropyArgs,
    out: &CrossEntropyOutput<T>,
    rows: Rows,
    adapter: &str,
) -> Result<(), Failure> {
    let line = if cli.json {
        // JSON has no NaN or infinity.
        let number = |v: f32| if v.is_finite() { json!(v) } else { json!(v.to_string()) };
        let line = json!({
            "loss": out.loss.map(number), "rows": rows.count(), "ignored": rows.count() - out.counted,
            "correct": out.correct, "adapter": adapter,
        });
        line.to_string()
    } else {
        out.loss.map_or("loss none".into(), |loss| format!("loss {loss:.6}"))
    };
    if args
        .outs()
        .iter()
        .any(|(_, path)| path.is_some_and(output::is_standard))
    {
        say::note(&line);
        Ok(())
    } else {
        say::line(&line)
    }
}
