//! [`CrossEntropySummary`]: what a loss leaves on the device about a batch.

#[cfg(doc)]
use super::options::Reduction;
use crate::shader::SummaryWords;

/// The result of a loss for a batch, as the kernels leave it in
/// [`CrossEntropyBuffers::summary`](crate::CrossEntropyBuffers::summary).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropySummary {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f32,
    /// Σ λ lse² over the rows, with [`CrossEntropy::z_loss`](crate::CrossEntropy::z_loss) and a reduction; else 0.
    pub z_loss: f32,
    /// Rows whose target is a class and not `ignore_index`.
    pub counted: u32,
    /// Those of them whose argmax is the target, with [`CrossEntropy::correct`](crate::CrossEntropy::correct); else 0.
    pub correct: u32,
    /// Rows whose target is neither a class nor `ignore_index`.
    pub bad_targets: u32,
    /// The first of those rows, and its target's bits.
    pub first_bad: Option<(u32, u32)>,
}

impl CrossEntropySummary {
    /// Size of the buffer.
    pub const BYTES: u64 = size_of::<SummaryWords>() as u64;

    /// Reads the buffer's bytes; `None` if there are fewer than [`Self::BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words: SummaryWords = bytemuck::pod_read_unaligned(bytes.get(..Self::BYTES as usize)?);
        Some(Self {
            loss: words.loss,
            z_loss: words.z_loss,
            counted: words.counted,
            correct: words.correct,
            bad_targets: words.bad_targets,
            // The kernels keep complements, so that the first row is a maximum.
            first_bad: (words.bad_targets > 0).then_some((!words.first_bad_row, words.first_bad_target)),
        })
    }
}
