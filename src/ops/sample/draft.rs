//! [`Draft`]: tokens that another model has proposed.

use super::words::{Words, check_length_of_row};
use crate::dispatch::Extent;
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ops::values::{OptionBuffer, Values, check_elements};
use crate::rows::Rows;
use crate::shader::Slot;

/// Tokens that a smaller model, or a search in the text so far, proposes, and that the model checks all at once
/// (speculative decoding): n for each sequence, which has n + 1 rows of logits, one after the other, the last for the token
/// after an accepted draft.
///
/// With p_i the probabilities that row i's token is drawn with, after temperature, penalties and filters, and q_i those of the
/// draft, token x of row i is accepted if `u_i q_i(x) < p_i(x)`, so with the probability `min(1, p_i(x) / q_i(x))`. The first
/// row whose token is not accepted gets one drawn with `max(0, p_i − q_i)`, and the rows after it
/// [`NO_TOKEN`](crate::NO_TOKEN). If all are accepted, the last row's token is drawn as ever. So each token has the
/// probabilities that it has without a draft, whatever q is, as long as the draft's tokens were drawn with it
/// ([Leviathan et al., 2023](https://arxiv.org/abs/2211.17192)).
///
/// For that, each row needs its own position, and the model that proposes other seeds than the one that decides, whose random
/// numbers would be the same otherwise.
///
/// u_i is the first random number of row i's seed and position; the token in its place is drawn with the following ones. The
/// tokens are the same on every adapter. A greedy row accepts its own token alone.
///
/// A draft shorter than n is filled up with [`NO_TOKEN`](crate::NO_TOKEN), as which a device buffer's numbers that are no
/// class count too: such a row has the token that is drawn of it, and
/// is its sequence's last. So has a row where no p is more than q, which rounding, or a q that adds up to more than 1, can
/// bring about, and a row without candidates, which has none. A q that is negative or NaN is an
/// error on the host, and counts as 0 in a device buffer.
///
/// ```
/// use wgpu_softmax::{Draft, Gpu, NO_TOKEN, Rows, Sample, SampleParams};
/// let gpu = Gpu::new()?;
/// // A sequence with two tokens of a draft, of which a greedy model takes the first alone.
/// let logits = [0f32, 9.0, 1.0, 9.0, 0.0, 1.0, 2.0, 1.0, 0.0];
/// let options = Sample {
///     draft: Some(Draft::new(2, [1, 2])),
///     ..Sample::new(SampleParams::greedy())
/// };
/// let out = gpu.sample(&logits, Rows::new(3, 3), &options)?;
/// assert_eq!((out.tokens, out.accepted), (vec![1, 0, NO_TOKEN], Some(vec![1])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// n, at least 1.
    pub length: usize,
    /// `[sequences, n]`.
    pub tokens: Words,
    /// `[sequences, n, classes]`: the probabilities that the draft's tokens were drawn with; `None` where they were certain,
    /// as those that a search proposes.
    pub probs: Option<Values>,
}

impl Draft {
    /// Tokens that were not drawn, of which each row accepts its own with the probability p.
    pub fn new(length: usize, tokens: impl Into<Words>) -> Self {
        Self {
            length,
            tokens: tokens.into(),
            probs: None,
        }
    }

    /// Rows of a sequence.
    pub(super) fn group(&self) -> usize {
        self.length + 1
    }

    /// Words for each token.
    pub(super) fn extent(&self, words: usize) -> Extent {
        Extent::GroupWords {
            group: self.group(),
            words: self.length * words,
        }
    }

    pub(crate) fn validate(&self, rows: &Rows) -> Result<(), EncodeError> {
        check_length_of_row("draft.length", self.length)?;
        if self.length == 0 || !rows.count().is_multiple_of(self.group()) {
            return Err(EncodeError::BadNumber {
                option: "draft.length",
                value: format!("{} with {} rows", self.length, rows.count()),
                must: "at least 1, and each sequence has one row more than that",
            });
        }
        let is_good = |q: f32| (0.0..f32::INFINITY).contains(&q);
        check_elements("draft.probs", self.probs.as_ref(), "finite and not negative", is_good)
    }

    /// The probabilities in their slot, if there are any.
    pub(super) fn probs_buffer(&self, gpu: &Gpu, rows: &Rows) -> Result<Option<OptionBuffer>, EncodeError> {
        let extent = self.extent(rows.classes());
        let count = extent.elements(rows.count());
        let buffer = |probs| OptionBuffer::new(gpu, Slot::DraftProbs, "draft_probs", extent, count, probs);
        self.probs.as_ref().map(buffer).transpose()
    }
}
