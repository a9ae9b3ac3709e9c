//! `wgpu-softmax sample`.

mod args;
mod lists;
mod params;

pub(crate) use args::SampleArgs;

use crate::arrays;
use crate::console;
use crate::failure::Failure;
use crate::global::Global;
use crate::layout::Layout;
use crate::output::{self, Output};
use serde_json::json;
use std::path::PathBuf;
use wgpu_softmax::{NO_TOKEN, SampleOutput};

pub(crate) fn run(global: &Global, args: &SampleArgs) -> Result<(), Failure> {
    args.check()?;
    let logits = arrays::floats(&args.logits, "logits")?;
    let layout = Layout::of(&args.logits, &logits.shape, args.axis)?;
    let options = args.options(&layout)?;
    let (gpu, bar) = global.open_gpu(layout.count())?;
    let out = gpu.sample(&layout.to_rows(logits.values), layout.rows(), &options)?;
    drop(bar);
    let summary = Summary::new(&out.tokens, &layout);
    publish(args, out, &layout)?;
    summary.note();
    if global.json {
        output::print_beside(&args.outs(), &summary.json(&layout, &gpu.adapter_info().name))?;
    }
    Ok(())
}

/// Classes as they are written: no token is -1.
fn written(classes: &[u32]) -> Vec<i64> {
    let class = |&class: &u32| if class == NO_TOKEN { -1 } else { i64::from(class) };
    classes.iter().map(class).collect()
}

/// Writes the arrays that the flags ask for.
fn publish(args: &SampleArgs, out: SampleOutput, layout: &Layout) -> Result<(), Failure> {
    let rows = layout.row_shape();
    let top = [&rows[..], &[args.top_n.unwrap_or(0)]].concat();
    let mut outputs = vec![Output::new(&args.output, "tokens", &rows, &written(&out.tokens))?];
    let mut add_classes = |path: &Option<PathBuf>, name: &str, shape: &[usize], classes: Option<Vec<u32>>| {
        if let (Some(path), Some(classes)) = (path, classes) {
            outputs.push(Output::new(path, name, shape, &written(&classes))?);
        }
        Ok::<(), Failure>(())
    };
    add_classes(&args.ranks, "ranks", &rows, out.ranks)?;
    add_classes(&args.kept, "kept", &rows, out.kept)?;
    add_classes(&args.top_ids, "top_ids", &top, out.top_ids)?;
    let probs = out.probs.map(|probs| layout.to_array(probs));
    for (path, name, shape, values) in [
        (&args.log_probs, "log_probs", &rows[..], out.log_probs),
        (&args.top_log_probs, "top_log_probs", &top, out.top_log_probs),
        (&args.probs, "probs", layout.shape(), probs),
    ] {
        if let (Some(path), Some(values)) = (path, values) {
            outputs.push(Output::new(path, name, shape, &values)?);
        }
    }
    output::publish(outputs)
}

/// What is said of the tokens.
struct Summary {
    without_candidate: usize,
    /// The first row without a candidate, as an index of an array.
    first: Option<Vec<usize>>,
}

impl Summary {
    fn new(tokens: &[u32], layout: &Layout) -> Self {
        let is_none = |token: &u32| *token == NO_TOKEN;
        Self {
            without_candidate: tokens.iter().filter(|token| is_none(token)).count(),
            first: tokens.iter().position(is_none).map(|row| layout.index(row)),
        }
    }

    fn note(&self) {
        let Some(first) = &self.first else { return };
        let count = match self.without_candidate {
            1 => "1 row has".into(),
            count => format!("{count} rows have"),
        };
        console::note(&format!(
            "note: {count} no candidate (a NaN, +inf, or nothing that is allowed) and the token -1, first row {first:?}"
        ));
    }

    fn json(&self, layout: &Layout, adapter: &str) -> String {
        let line = json!({
            "rows": layout.count(), "classes": layout.classes(), "without_candidate": self.without_candidate,
            "first_without_candidate": self.first, "adapter": adapter,
        });
        line.to_string()
    }
}
