//! A replacement for Burn's loss module.

use crate::backend::Targets;
use crate::functions::{WeightTensors, cross_entropy_of};
use burn::module::Module;
use burn::nn::loss;
use burn::tensor::{Int, Tensor};
use wgpu_softmax::CrossEntropy;

/// A replacement for Burn's `CrossEntropyLoss`, with the same configuration and results: one pass over the logits for the loss,
/// and one for its gradient.
///
/// ```no_run
/// use burn::nn::loss::CrossEntropyLossConfig;
/// use burn_wgpu_softmax::CrossEntropyLoss;
/// # let device = burn_wgpu_softmax::device()?;
/// let loss = CrossEntropyLoss::from(CrossEntropyLossConfig::new().with_smoothing(Some(0.1)).init(&device));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
#[derive(Module, Debug)]
pub struct CrossEntropyLoss {
    inner: loss::CrossEntropyLoss,
}

impl From<loss::CrossEntropyLoss> for CrossEntropyLoss {
    fn from(inner: loss::CrossEntropyLoss) -> Self {
        Self { inner }
    }
}

impl CrossEntropyLoss {
    /// The mean loss of logits `[rows, classes]` with targets `[rows]`, f32. With `logits: false` Burn's own loss is called, since
    /// there is no softmax to fuse. Without pad tokens, targets of −100 are ignored as in PyTorch.
    ///
    /// # Panics
    /// As [`crate::cross_entropy`].
    pub fn forward(&self, logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        match self.inner.logits {
            true => self.weighted(logits, targets, None),
            false => self.inner.forward(logits, targets),
        }
    }

    /// Like [`CrossEntropyLoss::forward`], with weights r of the rows, `[rows]`: `Σ r_i w_t ξ_i / Σ r_i w_t`, w being the weights of
    /// the classes. See [`crate::cross_entropy_with`].
    ///
    /// # Panics
    /// As [`crate::cross_entropy`], and with `logits: false`, since Burn's own loss has no weights of rows.
    pub fn forward_with(&self, logits: Tensor<2>, targets: Tensor<1, Int>, row_weights: Tensor<1>) -> Tensor<1> {
        assert!(
            self.inner.logits,
            "weights of rows need a loss of logits, not of probabilities"
        );
        self.weighted(logits, targets, Some(row_weights))
    }

    fn weighted(&self, logits: Tensor<2>, targets: Tensor<1, Int>, row_weights: Option<Tensor<1>>) -> Tensor<1> {
        let Self { inner } = self;
        let rows = logits.dims()[0];
        assert_eq!(targets.dims(), [rows], "logits of {rows} rows need a target for each");
        let options = options_of(inner);
        let targets = only_first_pad(inner, targets);
        let targets = Targets::Indices(targets.into_dispatch());
        let weights = WeightTensors {
            classes: inner.weights.clone(),
            rows: row_weights,
        };
        cross_entropy_of(logits, targets, weights, 1, &options)
    }
}

/// The options of Burn's loss; its weights are a tensor.
pub(crate) fn options_of(loss: &loss::CrossEntropyLoss) -> CrossEntropy {
    let options = CrossEntropy::default();
    let first_pad = loss.pad_tokens.as_deref().and_then(<[usize]>::first);
    CrossEntropy {
        label_smoothing: loss.smoothing.unwrap_or(0.0),
        ignore_index: first_pad.map_or(options.ignore_index, |pad| *pad as i64),
        ..options
    }
}

/// The kernel ignores one index, so the other pad tokens are replaced by the first.
pub(crate) fn only_first_pad(loss: &loss::CrossEntropyLoss, mut targets: Tensor<1, Int>) -> Tensor<1, Int> {
    if let Some([first, others @ ..]) = loss.pad_tokens.as_deref() {
        for pad in others {
            let is_pad = targets.clone().equal_scalar(*pad as i64);
            targets = targets.mask_fill(is_pad, *first as i64);
        }
    }
    targets
}
