//! A module of the loss.

use super::function::linear_cross_entropy_of;
use crate::loss::{only_first_pad, options_of};
use burn::module::Module;
use burn::nn::{Linear, loss};
use burn::tensor::{Int, Tensor};

/// Burn's `Linear` and `CrossEntropyLoss` in one, with the same configuration and results, without the logits of all rows: see
/// [`linear_cross_entropy`](crate::linear_cross_entropy).
///
/// ```no_run
/// use burn::nn::loss::CrossEntropyLossConfig;
/// use burn::nn::{Linear, LinearConfig};
/// use burn::tensor::{Int, Tensor};
/// use burn_wgpu_softmax::LinearCrossEntropyLoss;
///
/// # let device = burn_wgpu_softmax::device()?;
/// let head: Linear = LinearConfig::new(64, 32_000).init(&device);
/// let loss = LinearCrossEntropyLoss::new(CrossEntropyLossConfig::new().init(&device), 64 << 20);
/// # let (hidden, targets) = (Tensor::<2>::zeros([8, 64], &device), Tensor::<1, Int>::zeros([8], &device));
/// let loss = loss.forward(&head, hidden, targets); // in place of loss.forward(head.forward(hidden), targets)
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
#[derive(Module, Debug)]
pub struct LinearCrossEntropyLoss {
    inner: loss::CrossEntropyLoss,
    budget: usize,
}

impl LinearCrossEntropyLoss {
    /// The loss of this configuration, in `budget` bytes beside inputs and gradients.
    ///
    /// # Panics
    /// With `logits: false`, since the layer gives logits.
    pub fn new(inner: loss::CrossEntropyLoss, budget: usize) -> Self {
        assert!(
            inner.logits,
            "a linear layer gives logits, but this CrossEntropyLoss takes probabilities (logits: false)"
        );
        Self { inner, budget }
    }

    /// The mean loss of the layer's logits for hidden states `[rows, d_input]` with targets `[rows]`, f32. Without pad tokens, targets
    /// of −100 are ignored as in PyTorch.
    ///
    /// # Panics
    /// As [`linear_cross_entropy`](crate::linear_cross_entropy).
    pub fn forward(&self, layer: &Linear, hidden: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        let options = options_of(&self.inner);
        let targets = only_first_pad(&self.inner, targets);
        let bias = layer.bias.as_ref().map(|bias| bias.val());
        let settings = (self.inner.weights.clone(), &options, self.budget);
        linear_cross_entropy_of(hidden, layer.weight.val(), bias, targets, settings)
    }
}
