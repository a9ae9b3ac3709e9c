//! How the losses of the rows are reduced to one, and what a loss asks of the passes around its rows.

use super::row_outputs::RowOutputs;
use crate::error::EncodeError;
use crate::ops::values::check_number;
use crate::shader::{FinalStep, LossPass, NormalizerKind, ResultPlace, Slot};

/// How the losses of the rows are reduced to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// Not at all: there is one loss for each row, 0 for ignored rows.
    None,
    /// Σ ℓ / Σ w_t over the rows that are not ignored (w is 1 without weights), plus the sum of the z-losses over the
    /// number of these rows; with soft targets, Σ ℓ over the number of rows.
    #[default]
    Mean,
    /// The sum of the losses.
    Sum,
}

/// What the mean gives for a batch that has no rows, or in which every row is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum EmptyMean {
    /// NaN, as in PyTorch.
    #[default]
    Nan = 0,
    /// 0.
    Zero = 1,
}

/// Whether a gradient is computed, and where [`CrossEntropyKernel::encode`](crate::CrossEntropyKernel::encode) puts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Gradient {
    /// The forward pass alone.
    #[default]
    None,
    /// Into a buffer of its own.
    Apart,
    /// Over the logits, which are lost. The calls that take host slices leave the caller's slice as it is.
    InPlace,
}

impl Gradient {
    pub(crate) fn place(self) -> ResultPlace {
        match self {
            Self::None => ResultPlace::None,
            Self::Apart => ResultPlace::Apart,
            Self::InPlace => ResultPlace::InPlace,
        }
    }
}

/// The gradient of whatever follows, with respect to the loss.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Upstream {
    /// One number.
    Number(f32),
    /// One for each row; with [`Reduction::None`].
    PerRow(Vec<f32>),
    /// In the caller's [`CrossEntropyBuffers::upstream`](crate::CrossEntropyBuffers::upstream): one f32, or with
    /// [`Reduction::None`] one for each row.
    Buffer,
}

impl Default for Upstream {
    fn default() -> Self {
        Self::Number(1.0)
    }
}

/// The denominator of [`Reduction::Mean`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Normalizer {
    /// As [`Reduction::Mean`] says.
    #[default]
    Rows,
    /// This number; gradients that are accumulated over parts of a batch need it.
    Number(f32),
    /// In the caller's [`CrossEntropyBuffers::normalizer`](crate::CrossEntropyBuffers::normalizer), one f32.
    Buffer,
}

/// Where the kernel of the rows finds what it multiplies gradients by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GradScale {
    /// Each row has its own, and no denominator.
    PerRow,
    /// In the summary, where the pass before the rows has left it.
    InSummary,
    /// The host knows it.
    Known,
    /// The host knows the denominator, and the caller's buffer has the rest.
    Upstream,
}

/// What the passes around the rows need to know of a loss.
#[derive(Debug, Clone)]
pub(crate) struct LossSpec {
    /// Whether every class has a target, rather than each row a class index.
    pub(crate) soft_targets: bool,
    pub(crate) class_weights: bool,
    pub(crate) row_weights: bool,
    pub(crate) z_loss: bool,
    pub(crate) reduction: Reduction,
    pub(crate) normalizer: Normalizer,
    pub(crate) empty_mean: EmptyMean,
    pub(crate) gradient: bool,
    /// Whether there is a loss to reduce.
    pub(crate) reduces: bool,
    pub(crate) upstream: Upstream,
    /// What the caller wants of each row.
    pub(crate) outputs: RowOutputs<bool>,
    /// Whether rows whose argmax is their target are counted.
    pub(crate) correct: bool,
}

impl LossSpec {
    /// Where the mean's denominators come from.
    fn normalizer_kind(&self) -> NormalizerKind {
        match (self.reduction, self.normalizer) {
            (Reduction::Mean, Normalizer::Rows) if self.soft_targets && !self.row_weights => NormalizerKind::Number,
            (Reduction::Mean, Normalizer::Rows) => NormalizerKind::Counted,
            (Reduction::Mean, Normalizer::Number(_)) => NormalizerKind::Number,
            (Reduction::Mean, Normalizer::Buffer) => NormalizerKind::Buffer,
            (Reduction::None | Reduction::Sum, _) => NormalizerKind::None,
        }
    }

    /// The mean's denominator as far as the host knows it: 1 where there is no mean.
    pub(super) fn known_denominator(&self, rows: usize) -> f32 {
        match (self.reduction, self.normalizer) {
            (Reduction::Mean, Normalizer::Rows) => rows as f32,
            (Reduction::Mean, Normalizer::Number(number)) => number,
            _ => 1.0,
        }
    }

    /// Where the kernel of the rows finds what it multiplies gradients by.
    pub(super) fn grad_scale(&self) -> GradScale {
        let is_on_device = matches!(self.normalizer_kind(), NormalizerKind::Counted | NormalizerKind::Buffer);
        match self.upstream {
            _ if self.has_upstream_per_row() => GradScale::PerRow,
            _ if is_on_device => GradScale::InSummary,
            Upstream::Buffer => GradScale::Upstream,
            _ => GradScale::Known,
        }
    }

    /// The slot in which the kernel of the rows finds it, if there is a gradient.
    pub(crate) fn grad_slot(&self) -> Option<Slot> {
        self.gradient.then(|| match self.grad_scale() {
            GradScale::Upstream => Slot::Upstream,
            GradScale::PerRow | GradScale::InSummary | GradScale::Known => Slot::GradScale,
        })
    }

    /// The pass before the rows, where the gradient needs what only the device can tell.
    pub(super) fn pass_before(&self, rows: usize) -> Option<(LossPass, FinalStep)> {
        if !self.gradient || rows == 0 || self.grad_scale() != GradScale::InSummary {
            return None;
        }
        let last = FinalStep {
            normalizer: self.normalizer_kind(),
            writes_all: true,
            writes_scale: true,
            is_mean: false,
        };
        Some((self.about_targets(), last))
    }

    /// The pass after the rows, if it has anything left to do.
    pub(super) fn pass_after(&self, rows: usize) -> Option<(LossPass, FinalStep)> {
        let is_mean = self.reduction == Reduction::Mean;
        let mut last = FinalStep {
            normalizer: self.normalizer_kind(),
            writes_all: true,
            writes_scale: false,
            is_mean: is_mean && self.reduces,
        };
        if rows == 0 {
            // The mean over nothing, whatever it would be divided by; see `LossPasses::over_nothing`.
            let normalizer = NormalizerKind::Number;
            let last = FinalStep {
                normalizer,
                is_mean,
                ..last
            };
            return Some((LossPass::default(), last));
        }
        let mut pass = self.about_targets();
        if self.pass_before(rows).is_some() {
            pass = LossPass {
                counts_targets: false,
                sums_weights: false,
                sums_row_weights: false,
                ..pass
            };
            last.normalizer = NormalizerKind::Summary;
            last.writes_all = false;
        }
        pass.counts_correct = self.correct;
        pass.sums_losses = self.reduces;
        pass.sums_z_losses = self.reduces && self.z_loss;
        (last.writes_all || pass.reads_rows()).then_some((pass, last))
    }

    /// What the first of the passes finds.
    fn about_targets(&self) -> LossPass {
        let has_weights = self.class_weights && !self.soft_targets;
        let is_divided = self.normalizer_kind() == NormalizerKind::Counted;
        LossPass {
            has_targets: !self.soft_targets,
            has_weights,
            has_row_weights: self.row_weights,
            counts_targets: !self.soft_targets || self.row_weights,
            sums_weights: is_divided && (has_weights || self.row_weights),
            sums_row_weights: is_divided && has_weights && self.row_weights && self.z_loss,
            ..LossPass::default()
        }
    }

    /// Whether each row has an upstream gradient of its own.
    pub(super) fn has_upstream_per_row(&self) -> bool {
        self.reduction == Reduction::None && !matches!(self.upstream, Upstream::Number(_))
    }

    /// Options that contradict each other, and numbers out of range.
    pub(super) fn validate(&self) -> Result<(), EncodeError> {
        if let Normalizer::Number(number) = self.normalizer {
            check_number("normalizer", number, "finite", true)?;
        }
        if matches!(self.upstream, Upstream::PerRow(_)) && self.reduction != Reduction::None {
            return Err(EncodeError::Conflict {
                a: "upstream: PerRow",
                b: "a reduced loss",
                why: "a reduced loss has one upstream gradient",
            });
        }
        if self.normalizer != Normalizer::Rows && self.reduction != Reduction::Mean {
            return Err(EncodeError::Conflict {
                a: "normalizer",
                b: "a reduction other than Mean",
                why: "it is the mean's denominator",
            });
        }
        Ok(())
    }
}
