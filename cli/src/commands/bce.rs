//! `wgpu-softmax bce`.

use crate::arrays::{self, Array, Elements};
use crate::failure::Failure;
use crate::global::Global;
use crate::layout::Layout;
use crate::logits;
use crate::loss::{self, ReductionWord};
use crate::number::{NumberArg, axis};
use crate::output::{self, Output};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use wgpu_softmax::{BinaryCrossEntropy, Gradient, Mask, TargetIndex, Values};

#[derive(Args)]
pub(crate) struct BceArgs {
    /// An array of f32, f16, bf16 or f64 (which is rounded to f32): FILE.npy, or FILE.safetensors[:NAME]. Each element is a
    /// logit of its own.
    logits: PathBuf,
    /// An array of the logits' shape: numbers from 0 to 1, or booleans.
    targets: PathBuf,
    /// The class axis, along which --weight and --pos-weight have a number for each class; a negative one counts from the end.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_parser = axis)]
    axis: isize,
    /// What each element's loss is multiplied by: floats of shape [classes], of the logits' shape or one that broadcasts to it.
    #[arg(long, value_name = "W")]
    weight: Option<PathBuf>,
    /// What the part of the loss is multiplied by that a target of 1 has: a number, or a file with one for each class.
    #[arg(long, value_name = "P", allow_hyphen_values = true)]
    pos_weight: Option<NumberArg<f32>>,
    /// How the elements' losses become one.
    #[arg(long, value_enum, default_value = "mean")]
    reduction: ReductionWord,
    /// The reduced loss, or each element's with --reduction none.
    #[arg(long, value_name = "OUT")]
    loss: Option<PathBuf>,
    /// The gradient of the loss.
    #[arg(long, value_name = "OUT")]
    grad: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, args: &BceArgs) -> Result<(), Failure> {
    args.check()?;
    let Array { shape, values } = arrays::floats(&args.logits, "logits")?;
    // Here the classes matter to the weights alone: one number is a class of its own.
    let whole = if shape.is_empty() { vec![1] } else { shape.clone() };
    let layout = Layout::of(&args.logits, &whole, args.axis)?;
    let targets = args.targets(&shape)?;
    let options = args.options(&layout)?;
    let (gpu, bar) = global.open_gpu(layout.count())?;
    let out = gpu.binary_cross_entropy_with_logits(&values, &targets, layout.rows_in_place(), &options)?;
    drop(bar);
    let mut outputs = Vec::new();
    let (losses, loss_shape) = match out.loss {
        Some(loss) => (Some(vec![loss]), &[][..]),
        None => (out.losses, &shape[..]),
    };
    for (path, name, shape, values) in [
        (&args.loss, "loss", loss_shape, losses),
        (&args.grad, "gradient", &shape[..], out.gradient),
    ] {
        if let (Some(path), Some(values)) = (path, values) {
            outputs.push(Output::new(path, name, shape, &values)?);
        }
    }
    output::publish(outputs)?;
    let line = if global.json {
        let (loss, adapter) = (out.loss.map(loss::in_json), &gpu.adapter_info().name);
        json!({ "loss": loss, "elements": targets.len(), "adapter": adapter }).to_string()
    } else {
        loss::line(out.loss)
    };
    output::print_beside(&args.outs(), &line)
}

impl BceArgs {
    /// The flags that name an output, and what was given to each.
    fn outs(&self) -> [(&'static str, Option<&Path>); 2] {
        [("--loss", self.loss.as_deref()), ("--grad", self.grad.as_deref())]
    }

    fn check(&self) -> Result<(), Failure> {
        let outs = self.outs();
        if self.reduction == ReductionWord::None && outs.iter().all(|(_, path)| path.is_none()) {
            return Err(Failure::Caller(loss::NOTHING_TO_PRINT.into()));
        }
        let mut ins = vec![("LOGITS", self.logits.as_path()), ("TARGETS", self.targets.as_path())];
        let pos_weight = self.pos_weight.as_ref().and_then(NumberArg::file);
        ins.extend(self.weight.as_deref().map(|path| ("--weight", path)));
        ins.extend(pos_weight.map(|path| ("--pos-weight", path)));
        output::check(&outs)?;
        output::check_inputs(&ins, &outs)
    }

    /// Reads the targets, each of which must be from 0 to 1.
    fn targets(&self, shape: &[usize]) -> Result<Vec<f32>, Failure> {
        let path = &self.targets;
        let targets = match arrays::elements(path, "targets")? {
            Elements::Floats(floats) => floats,
            Elements::Integers(integers) => integers.map(|integer| integer.value() as f32),
            Elements::Booleans(booleans) => booleans.map(|is_one| f32::from(u8::from(is_one))),
        };
        if targets.shape != shape {
            return Err(arrays::refused(
                path,
                &format!(
                    "targets have shape {:?}, but logits of shape {shape:?} need one for each of them",
                    targets.shape
                ),
            ));
        }
        // NaN is outside too.
        let mut outside = (targets.values.iter().enumerate()).filter(|(_, target)| !(0.0..=1.0).contains(*target));
        let Some((at, target)) = outside.next() else {
            return Ok(targets.values);
        };
        let more = match outside.count() {
            0 => String::new(),
            1 => "; 1 more element has such a target".into(),
            more => format!("; {more} more elements have such targets"),
        };
        let index = Layout::index_in(shape, at);
        let message = format!("element {index:?} has target {target}, but must be from 0 to 1{more}");
        Err(arrays::refused(path, &message))
    }

    fn options(&self, layout: &Layout) -> Result<BinaryCrossEntropy, Failure> {
        let weight = self.weight.as_deref().map(|path| logits::weights(path, layout));
        let pos_weight = match &self.pos_weight {
            None => None,
            Some(NumberArg::Number(number)) if number.is_finite() => {
                Some(Values::from(vec![*number; layout.classes()]))
            }
            Some(NumberArg::Number(number)) => {
                return Err(Failure::Caller(format!("--pos-weight is {number}, but must be finite")));
            }
            Some(NumberArg::File(path)) => {
                Some(logits::per_class(path, layout, "positive weights", "positive weight")?)
            }
        };
        Ok(BinaryCrossEntropy {
            weight: weight.transpose()?.unwrap_or(Mask::None),
            pos_weight,
            reduction: self.reduction.into(),
            gradient: match self.grad {
                Some(_) => Gradient::Apart,
                None => Gradient::None,
            },
            ..BinaryCrossEntropy::default()
        })
    }
}
