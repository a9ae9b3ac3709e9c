//! The flags of `cross-entropy`, checked and translated into the library's options.

use super::targets::{self, Targets};
use crate::failure::Failure;
use crate::layout::Layout;
use crate::logits::{self, LogitArgs};
use crate::loss::{NOTHING_TO_PRINT, ReductionWord};
use crate::number::{Column, NumberArg, axis, finite, int64, invertible, share};
use crate::output;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use wgpu_softmax::{CrossEntropy, EmptyMean, FullyMasked, Gradient, Input, Normalizer, Upstream, Values};

#[derive(Args)]
pub(crate) struct CrossEntropyArgs {
    /// An array of f32, f16, bf16 or f64 (which is rounded to f32): FILE.npy, or FILE.safetensors[:NAME].
    pub(super) logits: PathBuf,
    /// An array of integers, of the logits' shape without the class axis: a class for each row. Or of floats, of
    /// the logits' shape: a probability for each class.
    pub(super) targets: PathBuf,
    /// The class axis; a negative one counts from the end [default: 1, or 0 where it is the only axis].
    #[arg(long, allow_negative_numbers = true, value_parser = axis)]
    axis: Option<isize>,
    /// A weight for each class: floats of shape [classes].
    #[arg(long, value_name = "W")]
    weight: Option<PathBuf>,
    /// A weight for each row, finite and at least 0: a file of the logits' shape without the class axis, or a number. A row of weight 0
    /// takes no part, whatever it holds.
    #[arg(long, value_name = "R", allow_hyphen_values = true)]
    row_weight: Option<NumberArg<f32>>,
    /// Rows with this target take no part [default: -100]. Not with probabilities as targets.
    #[arg(long, allow_negative_numbers = true, value_name = "I", value_parser = int64)]
    ignore_index: Option<i64>,
    /// The share of each target that is spread evenly over all classes, 0 to 1.
    #[arg(long, value_name = "E", default_value_t = 0.0, allow_hyphen_values = true, value_parser = share)]
    label_smoothing: f32,
    /// Adds L * lse^2 to each row's loss.
    #[arg(long, value_name = "L", default_value_t = 0.0, allow_hyphen_values = true, value_parser = finite)]
    z_loss: f32,
    /// TARGETS are a teacher's logits, and the loss is KL(softmax(TARGETS / T) || softmax(LOGITS / T)), without a factor T^2.
    /// --mask, --bias and --softcap act on LOGITS, the student's, alone; with a T other than 1, --bias and --softcap are
    /// refused.
    #[arg(long, value_name = "T", allow_hyphen_values = true, value_parser = invertible)]
    distill: Option<f32>,
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
    #[arg(long, value_name = "X", allow_hyphen_values = true, value_parser = finite)]
    normalizer: Option<f32>,
    /// With --grad, what the gradient is multiplied by: the gradient of whatever follows the loss. With --reduction none also
    /// a file with one for each row.
    #[arg(long, value_name = "G", allow_hyphen_values = true)]
    upstream: Option<NumberArg<f32>>,
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
    /// Each row's entropy, of its softmax.
    #[arg(long, value_name = "OUT")]
    pub(super) entropy: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum InputWord {
    Logits,
    LogProbs,
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
                ("--entropy", self.entropy.is_some(), "it is taken of logits"),
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
        self.check_distill()?;
        let other = match self.reduction {
            ReductionWord::None => Some("--reduction none"),
            ReductionWord::Sum => Some("--reduction sum"),
            ReductionWord::Mean => None,
        };
        if let (Some(other), Some(_)) = (other, self.normalizer) {
            return Err(conflict("--normalizer", other, "it is the mean's denominator"));
        }
        if self.upstream.is_some() && self.grad.is_none() {
            let message = "--upstream needs --grad OUT: it multiplies the gradient, which is computed only then";
            return Err(Failure::Caller(message.into()));
        }
        let outs = self.outs();
        if self.reduction == ReductionWord::None && outs.iter().all(|(_, path)| path.is_none()) {
            return Err(Failure::Caller(NOTHING_TO_PRINT.into()));
        }
        output::check(&outs)?;
        output::check_inputs(&self.ins(), &outs)
    }

    /// A divergence is that of two softmaxes at one temperature.
    fn check_distill(&self) -> Result<(), Failure> {
        let both = "T divides both sides";
        let two = "a divergence is that of two distributions";
        let student = "with a T other than 1 it would act on the student's logits alone, before T divides them";
        let adjusted = |flags: &[&str]| {
            let mut adjustments = self.about_logits.adjustments().into_iter();
            adjustments.any(|(flag, given)| given && flags.contains(&flag))
        };
        let is_divided = self.distill.is_some_and(|t| t != 1.0);
        let flags = [
            (
                "--input log-probs",
                self.input == InputWord::LogProbs,
                "a teacher gives logits",
            ),
            (
                "--scale or --temperature",
                adjusted(&["--scale", "--temperature"]),
                both,
            ),
            ("--bias", is_divided && adjusted(&["--bias"]), student),
            ("--softcap", is_divided && adjusted(&["--softcap"]), student),
            ("--label-smoothing", self.label_smoothing != 0.0, two),
            ("--weight", self.weight.is_some(), two),
            (
                "--ignore-index",
                self.ignore_index.is_some(),
                "only a class can be ignored; --row-weight 0 leaves a row out",
            ),
            (
                "--fully-masked uniform",
                self.about_logits.fully_masked() == FullyMasked::Uniform,
                "a row of the student's that is -inf alone is no distribution: it is NaN, or left out with zeros",
            ),
        ];
        match flags.into_iter().find(|(_, given, _)| self.distill.is_some() && *given) {
            Some((flag, _, why)) => Err(conflict(flag, "--distill", why)),
            None => Ok(()),
        }
    }

    /// The flags that name a file that is read.
    fn ins(&self) -> Vec<(&'static str, &Path)> {
        let mut ins = vec![("LOGITS", self.logits.as_path()), ("TARGETS", self.targets.as_path())];
        ins.extend(self.weight.as_deref().map(|path| ("--weight", path)));
        for (flag, number) in [("--row-weight", &self.row_weight), ("--upstream", &self.upstream)] {
            let path = number.as_ref().and_then(NumberArg::file);
            ins.extend(path.map(|path| (flag, path)));
        }
        ins.extend(self.about_logits.ins());
        ins
    }

    /// The flags that name an output, and what was given to each.
    pub(super) fn outs(&self) -> [(&'static str, Option<&Path>); 6] {
        [
            ("--loss", self.loss.as_deref()),
            ("--grad", self.grad.as_deref()),
            ("--lse", self.lse.as_deref()),
            ("--log-probs", self.log_probs.as_deref()),
            ("--predictions", self.predictions.as_deref()),
            ("--entropy", self.entropy.as_deref()),
        ]
    }

    /// Where the rows lie in logits of this shape.
    pub(super) fn layout(&self, shape: &[usize]) -> Result<Layout, Failure> {
        let axis = if shape.len() == 1 { 0 } else { 1 };
        Layout::of(&self.logits, shape, self.axis.unwrap_or(axis))
    }

    /// Reads the targets, and checks that they and the other flags go together. The rows' weights say which rows take part.
    pub(super) fn targets(&self, layout: &Layout, row_weights: Option<&[f32]>) -> Result<Targets, Failure> {
        let is_teacher = self.distill.is_some();
        let targets = targets::read(&self.targets, layout, self.axis.is_some(), is_teacher)?;
        if let Targets::Classes(classes) = &targets {
            let takes_part = |row: usize| row_weights.is_none_or(|weights| weights[row] != 0.0);
            targets::check(&self.targets, classes, layout, self.ignore_index(), takes_part)?;
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

    fn ignore_index(&self) -> i64 {
        self.ignore_index.unwrap_or(CrossEntropy::default().ignore_index)
    }

    fn upstream(&self, layout: &Layout) -> Result<Upstream, Failure> {
        let Some(upstream) = &self.upstream else {
            return Ok(Upstream::default());
        };
        match upstream.column("--upstream", layout, "finite", f32::is_finite)? {
            Column::All(number) => Ok(Upstream::Number(number)),
            Column::PerRow(numbers) if self.reduction == ReductionWord::None => Ok(Upstream::PerRow(numbers)),
            Column::PerRow(_) => Err(Failure::Caller(
                "--upstream has a number for each row, which needs --reduction none: a reduced loss has one".into(),
            )),
        }
    }

    /// The weight of each row, if there are any.
    pub(super) fn row_weights(&self, layout: &Layout) -> Result<Option<Vec<f32>>, Failure> {
        let Some(weights) = &self.row_weight else {
            return Ok(None);
        };
        let is_weight = |weight: f32| weight.is_finite() && weight >= 0.0;
        let weights = weights.column("--row-weight", layout, "finite and at least 0", is_weight)?;
        Ok(Some(match weights {
            Column::All(weight) => vec![weight; layout.count()],
            Column::PerRow(weights) => weights,
        }))
    }

    /// The library's options. `correct` asks it to count the rows whose largest class is the target.
    pub(super) fn options(
        &self,
        layout: &Layout,
        row_weights: Option<Vec<f32>>,
        correct: bool,
    ) -> Result<CrossEntropy, Failure> {
        let weights = self.weight.as_deref();
        let weights = weights.map(|path| logits::per_class(path, layout, "weights", "weight"));
        Ok(CrossEntropy {
            adjust: self.about_logits.adjust(layout)?,
            input: match self.input {
                InputWord::Logits => Input::Logits,
                InputWord::LogProbs => Input::LogProbs,
            },
            weights: weights.transpose()?,
            row_weights: row_weights.map(Values::from),
            temperature: self.distill.unwrap_or(1.0),
            label_smoothing: self.label_smoothing,
            z_loss: self.z_loss,
            reduction: self.reduction.into(),
            normalizer: self.normalizer.map_or(Normalizer::Rows, Normalizer::Number),
            ignore_index: self.ignore_index(),
            empty_mean: match self.empty_mean {
                EmptyMeanWord::Nan => EmptyMean::Nan,
                EmptyMeanWord::Zero => EmptyMean::Zero,
            },
            fully_masked: self.about_logits.fully_masked(),
            gradient: match self.grad {
                Some(_) => Gradient::Apart,
                None => Gradient::None,
            },
            upstream: self.upstream(layout)?,
            lse: self.lse.is_some(),
            entropy: self.entropy.is_some(),
            argmax: self.predictions.is_some(),
            correct,
            fast: self.about_logits.fast,
            ..CrossEntropy::default()
        })
    }
}
