//! Softmax with sinks as a function of tensors.

use super::backend::SoftmaxSinkBackend;
use crate::functions::{check, check_rows};
use burn::backend::Dispatch;
use burn::tensor::{DType, Tensor};
use wgpu_softmax::Softmax;

/// Softmax along `dim` with one more logit σ in the denominator of each row, which has no output of its own, as attention sinks have
/// it: `y_c = exp(z_c − m) / (d + exp(σ − m))`, m being the larger of σ and all z of the row, or with [`Softmax::log`] its logarithm,
/// in the type of the logits. `sinks` is `[rows]`, in the order of the rows: that of the logits' elements without `dim`. It is of any
/// type of floats, and neither scaled nor capped nor masked.
///
/// The gradient flows to the sinks as to the logits: `dσ = −e^(σ − lse) Σ g y` for each row, with upstream gradients g, and with
/// [`Softmax::log`] `−e^(σ − lse) Σ g`. A sink that is one number for all rows needs no tensor where it has no gradient:
/// [`Softmax::sink`] of [`softmax_with`](crate::softmax_with).
///
/// A NaN or +∞ among the sinks makes its row NaN, and with −∞ the row has none. A row of logits of −∞ alone has probabilities of 0.
///
/// ```no_run
/// use burn::tensor::{Distribution, Tensor};
/// use burn_wgpu_softmax::softmax_with_sink;
/// use wgpu_softmax::Softmax;
///
/// let device = burn_wgpu_softmax::device()?.autodiff();
/// // A sink for each of 8 heads, of 2 sequences of 16 queries.
/// let sinks = Tensor::<1>::zeros([8], &device).require_grad();
/// let scores = Tensor::<4>::random([2, 8, 16, 16], Distribution::Default, &device);
/// let of_rows = sinks.clone().reshape([1, 8, 1]).expand([2, 8, 16]).reshape([2 * 8 * 16]);
/// let probs = softmax_with_sink(scores, of_rows, 3, &Softmax::default());
/// let gradients = probs.powi_scalar(2).sum().backward();
/// println!("{:?}", sinks.grad(&gradients)); // [8]
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// # Panics
/// As [`softmax_with`](crate::softmax_with), and if there is not one sink for each row, or if the options have a sink too.
pub fn softmax_with_sink<const D: usize>(
    logits: Tensor<D>,
    sinks: Tensor<1>,
    dim: usize,
    options: &Softmax,
) -> Tensor<D> {
    check(&logits, dim);
    check_rows(&logits, dim, &sinks, "sink");
    assert!(
        options.sink.is_none(),
        "a tensor of sinks and one in the options: use one of them"
    );
    let sinks = match sinks.dtype() {
        DType::F32 => sinks,
        _ => sinks.cast(DType::F32),
    };
    let result = Dispatch::fused_softmax_with_sink(logits.into_dispatch(), sinks.into_dispatch(), dim, options.clone());
    Tensor::from_dispatch(result)
}
