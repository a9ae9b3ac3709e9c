//! The operations as extensions of Burn's backends.

#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::DType;
use burn::tensor::Shape;
use wgpu_softmax::{CrossEntropy, Reduction, Sample, Softmax, SoftmaxGrad};

/// The targets of cross-entropy.
#[derive(ExtensionType, Clone, Debug)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Targets<B: Backend> {
    /// A class index for each row.
    Indices(IntTensor<B>),
    /// A probability for each logit.
    Probabilities(FloatTensor<B>),
    /// A teacher's logit for each logit.
    TeacherLogits(FloatTensor<B>),
}

/// Weights, or another tensor that need not be there.
#[derive(ExtensionType, Clone, Debug)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub enum Weights<B: Backend> {
    /// There is no tensor: the options' weights, if any.
    None,
    /// A tensor with one weight for each class, or for each row.
    Tensor(FloatTensor<B>),
}

/// The weights of a loss that are tensors.
#[derive(ExtensionType, Clone, Debug)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct LossWeights<B: Backend> {
    /// One for each class.
    #[extension_type]
    pub classes: Weights<B>,
    /// One for each row.
    #[extension_type]
    pub rows: Weights<B>,
}

/// Operations that have a gradient.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait SoftmaxBackend: Backend {
    /// Softmax or log-softmax along `dim`.
    #[fusion(dtype = logits, shape = logits)]
    fn fused_softmax(logits: FloatTensor<Self>, dim: usize, options: Softmax) -> FloatTensor<Self>;

    /// The loss, f32: one number, or with [`Reduction::None`] one for each row.
    #[fusion(meta = |logits, _targets, _weights, dim, options| {
        TensorSpec::new(loss_shape(&logits.shape, *dim, options), DType::F32)
    })]
    fn fused_cross_entropy(
        logits: FloatTensor<Self>,
        #[extension_type] targets: Targets<Self>,
        #[extension_type] weights: LossWeights<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> FloatTensor<Self>;
}

/// The gradients of the operations of [`SoftmaxBackend`].
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub trait SoftmaxGradBackend: Backend {
    /// The gradient of [`SoftmaxBackend::fused_softmax`] with respect to the logits; `saved` is its result.
    #[fusion(dtype = saved, shape = saved)]
    fn fused_softmax_grad(
        saved: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        dim: usize,
        options: SoftmaxGrad,
    ) -> FloatTensor<Self>;

    /// The gradient of [`SoftmaxBackend::fused_cross_entropy`] with respect to the logits. It overwrites them if no other tensor
    /// shares their memory.
    #[fusion(dtype = logits, shape = logits)]
    fn fused_cross_entropy_grad(
        logits: FloatTensor<Self>,
        #[extension_type] targets: Targets<Self>,
        #[extension_type] weights: LossWeights<Self>,
        upstream: FloatTensor<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> FloatTensor<Self>;
}

/// The loss with its gradient in one pass.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub trait SoftmaxOnePassBackend: Backend {
    /// [`SoftmaxBackend::fused_cross_entropy`] of a reduced loss, and its gradient with respect to the logits. It overwrites them if
    /// no other tensor shares their memory.
    #[fusion(meta = |logits, _targets, _weights, dim, options| {
        (TensorSpec::new(loss_shape(&logits.shape, *dim, options), DType::F32), logits.clone())
    })]
    fn fused_cross_entropy_with_grad(
        logits: FloatTensor<Self>,
        #[extension_type] targets: Targets<Self>,
        #[extension_type] weights: LossWeights<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// A gradient times one number, f32. It is overwritten if no other tensor shares its memory, and then untouched if the number is 1.
    #[fusion(dtype = gradient, shape = gradient)]
    fn fused_grad_times(gradient: FloatTensor<Self>, number: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The decode step. It has no gradient.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait SampleBackend: Backend {
    /// A class for each row, i32; the classes of a row lie along the last dimension.
    #[fusion(meta = |logits, _options| TensorSpec::new(rows_shape(&logits.shape), DType::I32))]
    fn fused_sample(logits: FloatTensor<Self>, options: Sample) -> IntTensor<Self>;
}

/// One element for each row of classes along the last dimension.
pub(crate) fn rows_shape(logits: &Shape) -> Shape {
    let classes = logits.last().copied().unwrap_or(0);
    [logits.num_elements().checked_div(classes).unwrap_or(0)].into()
}

/// The shape of a loss.
pub(crate) fn loss_shape(logits: &Shape, dim: usize, options: &CrossEntropy) -> Shape {
    match options.reduction {
        Reduction::None => rows_along(logits, dim),
        _ => [1].into(),
    }
}

/// One element for each row of classes along a dimension.
pub(crate) fn rows_along(logits: &Shape, dim: usize) -> Shape {
    [logits.num_elements().checked_div(logits[dim]).unwrap_or(0)].into()
}
