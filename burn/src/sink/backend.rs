//! Softmax with sinks as extensions of Burn's backends.

#[cfg(feature = "fusion")]
use crate::backend::rows_along;
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::{DType, Shape};
use wgpu_softmax::{Softmax, SoftmaxGrad};

/// Softmax with a sink for each row, which has a gradient.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait SoftmaxSinkBackend: Backend {
    /// Softmax or log-softmax along `dim`, with the sinks `[rows]`.
    #[fusion(dtype = logits, shape = logits)]
    fn fused_softmax_with_sink(
        logits: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        dim: usize,
        options: Softmax,
    ) -> FloatTensor<Self>;
}

/// The gradients of [`SoftmaxSinkBackend`].
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub trait SoftmaxSinkGradBackend: Backend {
    /// [`SoftmaxSinkBackend::fused_softmax_with_sink`], and the lse of each row, f32.
    #[fusion(meta = |logits, _sink, dim, _options| (logits.clone(), rows_spec(&logits.shape, *dim)))]
    fn fused_softmax_with_sink_and_lse(
        logits: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        dim: usize,
        options: Softmax,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The gradients with respect to the logits and to the sinks, the latter f32; `saved` and `lse` are the results.
    #[fusion(meta = |saved, _logits, _upstream, _sink, _lse, dim, _options| {
        (saved.clone(), rows_spec(&saved.shape, *dim))
    })]
    fn fused_softmax_with_sink_grad(
        saved: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        lse: FloatTensor<Self>,
        dim: usize,
        options: SoftmaxGrad,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// An f32 for each row.
#[cfg(feature = "fusion")]
fn rows_spec(logits: &Shape, dim: usize) -> TensorSpec {
    TensorSpec::new(rows_along(logits, dim), DType::F32)
}
