//! The flags of `cross-entropy`, checked and translated into the library's options.

use crate::arrays::{self, Array, Targets};
use crate::failure::Failure;
use crate::logits::LogitArgs;
use crate::output;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use wgpu_softmax::{CrossEntropy, EmptyMean, Gradient, Input, Normalizer, Reduction, Rows, Values};

#[derive(Args)]
pub(crate) struct CrossEntropyArgs {
    /// An array of f32, f16, bf16 or f64 (which is rounded to f32): FILE.npy, or FILE.safetensors[:NAME].
    pub(super) logits: PathBuf,
    /// An array of integers, of the logits' shape without the class axis: a class for each row. Or of floats, of
    /// the logits' shape: a probability for each class.
    targets: PathBuf,
    /// The class axis; a negative one counts from the end.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    pub(super) axis: isize,
    /// A weight for each class: floats of shape [classes].
    #[arg(long, value_name = "W")]
    weight: Option<PathBuf>,
    /// Rows with this target take no part [default: -100]. Not with probabilities as targets.
    #[arg(long, allow_negative_numbers = true, value_name = "I")]
    ignore_index: Option<i64>,
    /// The share of each target that is spread evenly over all classes, 0 to 1.
    #[arg(long, value_name = "E", default_value_t = 0.0, allow_hyphen_values = true)]
    label_smoothing: f32,
    /// Adds L * lse^2 to each row's loss.
    #[arg(long, value_name = "L", default_value_t = 0.0, allow_hyphen_values = true)]
    z_loss: f32,
    /// What LOGITS are; log-probs makes it the negative log-likelihood.
    #[arg(long, value_enum, default_value = "logits")]
    input: InputWord,
    /// How the rows' losses become one.
    #[arg(long, value_enum, default_value = "mean")]
    reduction: ReductionWord,
    /// The mean over no rows, or over a weight of 0.
    #[arg(long, value_enum, default_value = "nan")]
    empty_mean: EmptyMeanWord,
    /// The mean's denominator, instead of the rows' weight.
    #[arg(long, value_name = "X", allow_hyphen_values = true)]
    normalizer: Option<f32>,
    #[command(flatten)]
    pub(super) about_logits: LogitArgs,
    /// The reduced loss, or each row's with --reduction none.
    #[arg(long, value_name = "OUT")]
    pub(super) loss: Option<PathBuf>,
    /// The gradient of the loss.
    #[arg(long, value_name = "OUT")]
    pub(super) grad: Option<PathBuf>,
    /// Each row's log of the sum of exponentials.
    #[arg(long, value_name = "OUT")]
    pub(super) lse: Option<PathBuf>,
    /// The log-softmax of the logits, after scale, softcap and mask.
    #[arg(long, value_name = "OUT")]
    pub(super) log_probs: Option<PathBuf>,
    /// Each row's largest class, int64.
    #[arg(long, value_name = "OUT")]
    pub(super) predictions: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum InputWord {
    Logits,
    LogProbs,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReductionWord {
    None,
    Mean,
    Sum,
}

#[derive(Clone, Copy, ValueEnum)]
enum EmptyMeanWord {
    Nan,
    Zero,
}

fn conflict(a: &str, b: &str, why: &str) -> Failure {
    Failure::Caller(format!("{a} cannot go with {b}: {why}"))
}

impl CrossEntropyArgs {
    /// Checks what does not depend on the files. The library checks the same, but its messages have its own names for the
    /// options, not the flags.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.input == InputWord::LogProbs {
            let no_lse = "log-probabilities have an lse of 0";
            let smoothing = "smoothing needs every class's log-softmax";
            let flags = [
                ("--log-probs", self.log_probs.is_some(), "they are the input itself"),
                ("--lse", self.lse.is_some(), no_lse),
                ("--label-smoothing", self.label_smoothing != 0.0, smoothing),
                ("--z-loss", self.z_loss != 0.0, no_lse),
            ];
            let adjustments = self
                .about_logits
                .adjustments()
                .map(|(flag, given)| (flag, given, "it is for logits"));
            if let Some((flag, _, why)) = flags.into_iter().chain(adjustments).find(|(_, given, _)| *given) {
                return Err(conflict(flag, "--input log-probs", why));
            }
        }
        let other = match self.reduction {
            ReductionWord::None => Some("--reduction none"),
            ReductionWord::Sum => Some("--reduction sum"),
            ReductionWord::Mean => None,
        };
        if let (Some(other), Some(_)) = (other, self.normalizer) {
            return Err(conflict("--normalizer", other, "it is the mean's denominator"));
        }
        output::check(&self.outs())
    }

    /// The flags that name an output, and what was given to each.
    pub(super) fn outs(&self) -> [(&'static str, Option<&Path>); 5] {
        [
            ("--loss", self.loss.as_deref()),
            ("--grad", self.grad.as_deref()),
            ("--lse", self.lse.as_deref()),
            ("--log-probs", self.log_probs.as_deref()),
            ("--predictions", self.predictions.as_deref()),
        ]
    }

    /// The logits' shape without the class axis. That the axis is within the shape has been checked before.
    pub(super) fn row_shape(&self, shape: &[usize]) -> Vec<usize> {
        let axis = self.axis.rem_euclid(shape.len() as isize) as usize;
        [&shape[..axis], &shape[axis + 1..]].concat()
    }

    /// Reads the targets, and checks that their shape and the other flags go with their kind.
    pub(super) fn targets(&self, shape: &[usize], row_shape: &[usize]) -> Result<Targets, Failure> {
        let targets = arrays::targets(&self.targets)?;
        let (got, need, what) = match &targets {
            Targets::Classes(Array { shape: got, .. }) => (got, row_shape, "classes (integers)"),
            Targets::Probabilities(Array { shape: got, .. }) => (got, shape, "probabilities (floats)"),
        };
        if got != need {
            return Err(Failure::Caller(format!(
                "targets have shape {got:?}, but logits of shape {shape:?} with class axis {} need {need:?} of {what}",
                self.axis
            )));
        }
        if matches!(targets, Targets::Probabilities(_)) {
            let soft = "targets that are probabilities";
            if self.ignore_index.is_some() {
                return Err(conflict("--ignore-index", soft, "only a class can be ignored"));
            }
            if self.input == InputWord::LogProbs {
                return Err(conflict("--input log-probs", soft, "it takes a class for each row"));
            }
        }
        Ok(targets)
    }

    fn weights(&self, classes: usize) -> Result<Option<Values>, Failure> {
        let Some(path) = &self.weight else {
            return Ok(None);
        };
        let weights = arrays::floats(path, "weights")?;
        if weights.shape != [classes] {
            return Err(Failure::Caller(format!(
                "{}: weights have shape {:?}, but {classes} classes need {:?}",
                path.display(),
                weights.shape,
                [classes]
            )));
        }
        Ok(Some(Values::from(weights.values)))
    }

    /// The library's options. `correct` asks it to count the rows whose largest class is the target.
    pub(super) fn options(&self, shape: &[usize], rows: Rows, correct: bool) -> Result<CrossEntropy, Failure> {
        let default = CrossEntropy::default();
        Ok(CrossEntropy {
            adjust: self.about_logits.adjust(shape, rows)?,
            input: match self.input {
                InputWord::Logits => Input::Logits,
                InputWord::LogProbs => Input::LogProbs,
            },
            weights: self.weights(rows.classes())?,
            label_smoothing: self.label_smoothing,
            z_loss: self.z_loss,
            reduction: match self.reduction {
                ReductionWord::None => Reduction::None,
                ReductionWord::Mean => Reduction::Mean,
                ReductionWord::Sum => Reduction::Sum,
            },
            normalizer: self.normalizer.map_or(Normalizer::Rows, Normalizer::Number),
            ignore_index: self.ignore_index.unwrap_or(default.ignore_index),
            empty_mean: match self.empty_mean {
                EmptyMeanWord::Nan => EmptyMean::Nan,
                EmptyMeanWord::Zero => EmptyMean::Zero,
            },
            fully_masked: self.about_logits.fully_masked(),
            gradient: match self.grad {
                Some(_) => Gradient::Apart,
                None => Gradient::None,
            },
            lse: self.lse.is_some(),
            argmax: self.predictions.is_some(),
            correct,
            fast: self.about_logits.fast,
            ..default
        })
    }
}
