//! [`EntropyOutput`]: what a call on host slices gives.

/// The result of [`Gpu::entropy`](crate::Gpu::entropy).
#[derive(Debug, Clone, PartialEq)]
pub struct EntropyOutput<T = f32> {
    /// The entropy of each row.
    pub entropies: Vec<f32>,
    /// The gradient, laid out as the logits are, with [`Entropy::gradient`](crate::Entropy::gradient); padding is 0.
    pub gradient: Option<Vec<T>>,
}
