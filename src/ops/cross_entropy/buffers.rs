//! The device buffers of cross-entropy.

use crate::dispatch::Slice;
use crate::ops::adjust::AdjustBuffers;
use crate::ops::loss::RowOutputs;

/// The buffers of [`CrossEntropyKernel::encode`](crate::CrossEntropyKernel::encode). Those that the options do not ask
/// for must be `None`.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropyBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// A class for each row, i32 or u32; with [`Targets::Probabilities`](crate::Targets::Probabilities) a matrix of the
    /// logits' layout and type.
    pub targets: Slice<'a>,
    /// The summary of the batch, which [`CrossEntropySummary::from_bytes`](crate::CrossEntropySummary::from_bytes)
    /// reads: [`CrossEntropySummary::BYTES`](crate::CrossEntropySummary::BYTES) bytes, of which the first 4 are the
    /// reduced loss, an f32.
    pub summary: Slice<'a>,
    /// The gradient, laid out as the logits are; with [`Gradient::Apart`](crate::Gradient::Apart).
    pub gradient: Option<Slice<'a>>,
    /// The direction v, laid out as the logits are; with [`CrossEntropy::hessian_vector`](crate::CrossEntropy::hessian_vector).
    pub direction: Option<Slice<'a>>,
    /// f32; with [`Upstream::Buffer`](crate::Upstream::Buffer).
    pub upstream: Option<Slice<'a>>,
    /// One f32; with [`Normalizer::Buffer`](crate::Normalizer::Buffer).
    pub normalizer: Option<Slice<'a>>,
    /// An f32 for each class; with [`CrossEntropy::weights`](crate::CrossEntropy::weights).
    pub weights: Option<Slice<'a>>,
    /// An f32 for each row; with [`CrossEntropy::row_weights`](crate::CrossEntropy::row_weights). Whether they are at least 0 is not
    /// checked.
    pub row_weights: Option<Slice<'a>>,
    /// An f32 for each row; with [`CrossEntropy::from_lse`](crate::CrossEntropy::from_lse).
    pub from_lse: Option<Slice<'a>>,
    /// The buffers that [`CrossEntropy::adjust`](crate::CrossEntropy::adjust) asks for.
    pub adjust: AdjustBuffers<'a>,
    /// For rows that are a shard: what `bind_statistics` leaves of this shard, or, for `bind`, that of all shards in the order
    /// of their classes, one after the other. How many bytes: `statistics_bytes`.
    pub statistics: Option<Slice<'a>>,
    /// An f32 for each row; with `row_losses` or [`Reduction::None`](crate::Reduction::None).
    pub row_losses: Option<Slice<'a>>,
    /// An f32 for each row; with `row_z_losses`.
    pub row_z_losses: Option<Slice<'a>>,
    /// An f32 for each row; with `lse`.
    pub lse: Option<Slice<'a>>,
    /// An f32 for each row; with `log_prob`.
    pub log_prob: Option<Slice<'a>>,
    /// An f32 for each row; with `entropy`.
    pub entropy: Option<Slice<'a>>,
    /// A u32 for each row; with `argmax`.
    pub argmax: Option<Slice<'a>>,
}

impl<'a> CrossEntropyBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub fn new(logits: Slice<'a>, targets: Slice<'a>, summary: Slice<'a>) -> Self {
        Self {
            logits,
            targets,
            summary,
            gradient: None,
            direction: None,
            upstream: None,
            normalizer: None,
            weights: None,
            row_weights: None,
            from_lse: None,
            adjust: AdjustBuffers::default(),
            statistics: None,
            row_losses: None,
            row_z_losses: None,
            lse: None,
            log_prob: None,
            entropy: None,
            argmax: None,
        }
    }
}

impl<'a> CrossEntropyBuffers<'a> {
    pub(super) fn outputs(&self) -> RowOutputs<Option<Slice<'a>>> {
        RowOutputs {
            row_losses: self.row_losses,
            row_z_losses: self.row_z_losses,
            lse: self.lse,
            log_prob: self.log_prob,
            entropy: self.entropy,
            argmax: self.argmax,
        }
    }
}
