//! The buffers of sampling.

use crate::dispatch::Slice;
use crate::ops::adjust::AdjustBuffers;

/// The buffers of [`SampleKernel::encode`](crate::SampleKernel::encode).
#[derive(Debug, Clone, Copy)]
pub struct SampleBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// A token for each row, u32.
    pub tokens: Slice<'a>,
    /// A [`SampleParams`](crate::SampleParams) for each row; with [`SampleRows::Buffer`](crate::SampleRows::Buffer).
    pub params: Option<Slice<'a>>,
    /// The history's tokens, where they are [`Words::Buffer`](crate::Words::Buffer).
    pub history: Option<Slice<'a>>,
    /// The bits of the allowed classes, likewise.
    pub allowed: Option<Slice<'a>>,
    /// The biased classes, likewise.
    pub bias_classes: Option<Slice<'a>>,
    /// Their biases, where they are [`Values::Buffer`](crate::Values::Buffer).
    pub bias_values: Option<Slice<'a>>,
    /// The draft's tokens, where they are [`Words::Buffer`](crate::Words::Buffer).
    pub draft_tokens: Option<Slice<'a>>,
    /// Their probabilities, where they are [`Values::Buffer`](crate::Values::Buffer).
    pub draft_probs: Option<Slice<'a>>,
    /// How many tokens of each draft are accepted, `[sequences]`, u32; with [`Sample::draft`](crate::Sample::draft).
    pub accepted: Option<Slice<'a>>,
    /// The log-probability of each token, f32; with [`Sample::log_probs`](crate::Sample::log_probs).
    pub log_probs: Option<Slice<'a>>,
    /// The rank of each token, u32; with [`Sample::ranks`](crate::Sample::ranks).
    pub ranks: Option<Slice<'a>>,
    /// The number of classes kept of each row, u32; with [`Sample::kept`](crate::Sample::kept).
    pub kept: Option<Slice<'a>>,
    /// `[rows, top_n]`, u32, sorted; with [`Sample::top_n`](crate::Sample::top_n).
    pub top_ids: Option<Slice<'a>>,
    /// Their log-probabilities, `[rows, top_n]`, f32.
    pub top_log_probs: Option<Slice<'a>>,
    /// The probabilities, f32, laid out as the logits are; with [`Sample::probs`](crate::Sample::probs).
    pub probs: Option<Slice<'a>>,
    /// A [`SampleSummary`](crate::SampleSummary); with [`Sample::summary`](crate::Sample::summary).
    pub summary: Option<Slice<'a>>,
    /// The buffers that [`Sample::adjust`](crate::Sample::adjust) asks for.
    pub adjust: AdjustBuffers<'a>,
}

impl<'a> SampleBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub const fn new(logits: Slice<'a>, tokens: Slice<'a>) -> Self {
        Self {
            logits,
            tokens,
            params: None,
            history: None,
            allowed: None,
            bias_classes: None,
            bias_values: None,
            draft_tokens: None,
            draft_probs: None,
            accepted: None,
            log_probs: None,
            ranks: None,
            kept: None,
            top_ids: None,
            top_log_probs: None,
            probs: None,
            summary: None,
            adjust: AdjustBuffers {
                scale: None,
                bias: None,
                mask: None,
            },
        }
    }
}
