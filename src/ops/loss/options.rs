//! How the losses of the rows are reduced to one, and what a loss asks of the passes around its rows.

use super::row_outputs::RowOutputs;
use crate::error::EncodeError;
use crate::ops::values::check_number;
use crate::shader::{NormalizerKind, ResultPlace};

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

/// What the passes around the rows need to know of a loss.
#[derive(Debug, Clone)]
pub(crate) struct LossSpec {
    /// Whether every class has a target, rather than each row a class index.
    pub(crate) soft_targets: bool,
    pub(crate) class_weights: bool,
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
    /// Which denominators `shaders/loss/normalizer.wgsl` finds.
    pub(super) fn normalizer_kind(&self) -> NormalizerKind {
        match (self.reduction, self.normalizer) {
            (Reduction::Mean, Normalizer::Rows) if self.soft_targets => NormalizerKind::Number,
            (Reduction::Mean, Normalizer::Rows) => NormalizerKind::Counted,
            (Reduction::Mean, Normalizer::Number(_)) => NormalizerKind::Number,
            (Reduction::Mean, Normalizer::Buffer) => NormalizerKind::Buffer,
            (Reduction::None | Reduction::Sum, _) => NormalizerKind::None,
        }
    }

    /// Whether the mean is over the weights of the rows' targets, which must be summed first.
    pub(super) fn sums_weights(&self) -> bool {
        self.class_weights && self.normalizer_kind() == NormalizerKind::Counted
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
