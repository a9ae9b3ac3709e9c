//! The device buffers of logsumexp.

use crate::dispatch::Slice;
use crate::ops::adjust::AdjustBuffers;

/// The buffers of [`LogSumExpKernel::encode`](crate::LogSumExpKernel::encode).
#[derive(Debug, Clone, Copy)]
pub struct LogSumExpBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// An f32 for each row.
    pub lse: Slice<'a>,
    /// The buffers that [`LogSumExp::adjust`](crate::LogSumExp::adjust) asks for.
    pub adjust: AdjustBuffers<'a>,
    /// An f32 for each row; with [`Sink::PerRow`](crate::Sink::PerRow) of [`Values::Buffer`](crate::Values::Buffer).
    pub sink: Option<Slice<'a>>,
    /// For rows that are a shard: what `bind_statistics` leaves of this shard, or, for `bind`, that of all shards in the order
    /// of their classes, one after the other. How many bytes: `statistics_bytes`.
    pub statistics: Option<Slice<'a>>,
}

impl<'a> LogSumExpBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub const fn new(logits: Slice<'a>, lse: Slice<'a>) -> Self {
        Self {
            logits,
            lse,
            adjust: AdjustBuffers {
                scale: None,
                bias: None,
                mask: None,
            },
            sink: None,
            statistics: None,
        }
    }
}

/// The buffers of [`LogSumExpGradKernel::encode`](crate::LogSumExpGradKernel::encode).
#[derive(Debug, Clone, Copy)]
pub struct LogSumExpGradBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// The lse of each row that the forward pass left, f32. With [`FullyMasked::Uniform`](crate::FullyMasked::Uniform) the
    /// buffer is checked, but the lse is computed again.
    pub lse: Slice<'a>,
    /// The upstream gradient of each row, f32.
    pub upstream: Slice<'a>,
    /// The gradient; `None` with [`LogSumExp::in_place`](crate::LogSumExp::in_place).
    pub gradient: Option<Slice<'a>>,
    /// The buffers that [`LogSumExp::adjust`](crate::LogSumExp::adjust) asks for.
    pub adjust: AdjustBuffers<'a>,
    /// As [`LogSumExpBuffers::sink`].
    pub sink: Option<Slice<'a>>,
    /// dσ, an f32 for each row; with [`LogSumExp::sink`](crate::LogSumExp::sink).
    pub sink_gradient: Option<Slice<'a>>,
}

impl<'a> LogSumExpGradBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub fn new(logits: Slice<'a>, lse: Slice<'a>, upstream: Slice<'a>, gradient: Option<Slice<'a>>) -> Self {
        Self {
            logits,
            lse,
            upstream,
            gradient,
            adjust: AdjustBuffers::default(),
            sink: None,
            sink_gradient: None,
        }
    }
}
