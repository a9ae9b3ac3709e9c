//! The linear layer with its loss as extensions of Burn's backends.

use crate::backend::Weights;
#[cfg(feature = "fusion")]
use burn::backend::fusion::custom::TensorSpec;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, ExtensionType, backend_extension};
#[cfg(feature = "fusion")]
use burn::tensor::{DType, Shape};
use wgpu_softmax::CrossEntropy;
#[cfg(feature = "fusion")]
use wgpu_softmax::Reduction;

/// A linear layer and what it is applied to, all of one type.
#[derive(ExtensionType, Clone, Debug)]
#[extension_type(fusion: cfg(feature = "fusion"))]
pub struct LinearLayer<B: Backend> {
    /// `[rows, d_input]`.
    pub hidden: FloatTensor<B>,
    /// `[d_input, d_output]`.
    pub weight: FloatTensor<B>,
    /// `[d_output]`, if there is one.
    #[extension_type]
    pub bias: Weights<B>,
}

/// How [`LinearCrossEntropyBackend`] computes.
#[derive(Clone, Debug)]
pub struct LinearOptions {
    /// The loss: its numeric options, and [`Reduction::None`](wgpu_softmax::Reduction::None) or else the sum.
    pub loss: CrossEntropy,
    /// The most bytes held beside inputs and gradients.
    pub budget: usize,
    /// Whether the gradients of hidden states, weight and bias are wanted. One that is not is a tensor of one element.
    pub wanted: [bool; 3],
}

/// Linear layer and cross-entropy, without the logits of all rows.
#[backend_extension(Cube, Autodiff, Fusion: cfg(feature = "fusion"))]
pub trait LinearCrossEntropyBackend: Backend {
    /// The losses of the rows, f32, or their sum times `scale`.
    #[fusion(meta = |layer, _targets, _weights, _scale, options| loss_spec(&layer.hidden.shape, options))]
    fn fused_linear_cross_entropy(
        #[extension_type] layer: LinearLayer<Self>,
        targets: IntTensor<Self>,
        #[extension_type] weights: Weights<Self>,
        scale: FloatTensor<Self>,
        options: LinearOptions,
    ) -> FloatTensor<Self>;
}

/// The gradients of [`LinearCrossEntropyBackend`].
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
pub trait LinearCrossEntropyGradBackend: Backend {
    /// The loss, and the gradients of hidden states, weight and bias times `scale`, which is one number or with
    /// [`Reduction::None`](wgpu_softmax::Reduction::None) one for each row: all f32.
    #[fusion(meta = |layer, _targets, _weights, _scale, options| {
        let hidden = &layer.hidden.shape;
        let [h, w, b] = grad_shapes([hidden[0], hidden[1], layer.weight.shape[1]], options.wanted);
        let spec = |shape: Vec<usize>| TensorSpec::new(shape.into(), DType::F32);
        (loss_spec(hidden, options), spec(h), spec(w), spec(b))
    })]
    fn fused_linear_cross_entropy_grad(
        #[extension_type] layer: LinearLayer<Self>,
        targets: IntTensor<Self>,
        #[extension_type] weights: Weights<Self>,
        scale: FloatTensor<Self>,
        options: LinearOptions,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );
}

#[cfg(feature = "fusion")]
fn loss_spec(hidden: &Shape, options: &LinearOptions) -> TensorSpec {
    let losses = match options.loss.reduction {
        Reduction::None => hidden[0],
        _ => 1,
    };
    TensorSpec::new([losses].into(), DType::F32)
}

/// The shapes of the gradients; of one that is not wanted, one element.
pub(crate) fn grad_shapes([rows, features, classes]: [usize; 3], wanted: [bool; 3]) -> [Vec<usize>; 3] {
    let shapes = [vec![rows, features], vec![features, classes], vec![classes]];
    let mut wanted = wanted.into_iter();
    shapes.map(|shape| if wanted.next() == Some(true) { shape } else { vec![1] })
}
