//! [`CrossEntropyOutput`]: what a call on host slices gives.

#[cfg(doc)]
use crate::gpu::Gpu;
#[cfg(doc)]
use crate::ops::loss::Reduction;

/// The result of [`Gpu::cross_entropy`]: the outputs that its options ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropyOutput<T = f32> {
    /// The reduced loss, unless the reduction is [`Reduction::None`].
    pub loss: Option<f32>,
    /// Σ λ lse² over the rows, if the loss is reduced and has a z-loss.
    pub z_loss: Option<f32>,
    /// The loss of each row.
    pub row_losses: Option<Vec<f32>>,
    /// The part λ lse² of each row's loss.
    pub row_z_losses: Option<Vec<f32>>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Option<Vec<T>>,
    /// `m + ln d` of each row.
    pub lse: Option<Vec<f32>>,
    /// `ln y_t` of each row.
    pub log_prob: Option<Vec<f32>>,
    /// `−Σ y ln y` of each row.
    pub entropy: Option<Vec<f32>>,
    /// The first largest class of each row.
    pub argmax: Option<Vec<u32>>,
    /// Rows whose argmax is their target.
    pub correct: Option<usize>,
    /// Rows that were not ignored.
    pub counted: usize,
}
