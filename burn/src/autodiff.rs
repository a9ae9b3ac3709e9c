//! The operations on a backend with automatic differentiation.

use crate::backend::{
    LossWeights, SampleBackend, SoftmaxBackend, SoftmaxGradBackend, SoftmaxOnePassBackend, Targets, Weights,
};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, TensorMetadata};
use burn::tensor::DType;
use wgpu_softmax::{CrossEntropy, Reduction, Sample, Softmax, SoftmaxGrad, Upstream};

#[derive(Debug)]
struct SoftmaxBackward;

impl<B: SoftmaxGradBackend> Backward<B, 1> for SoftmaxBackward {
    /// The result, the logits (or the result again, where the gradient needs no logits), the dimension and the options.
    type State = (FloatTensor<B>, FloatTensor<B>, usize, SoftmaxGrad);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (saved, logits, dim, options) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |upstream| {
            B::fused_softmax_grad(saved, logits, upstream, dim, options)
        });
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: SoftmaxGradBackend> Backward<B, 1> for CrossEntropyBackward {
    type State = (FloatTensor<B>, Targets<B>, LossWeights<B>, usize, CrossEntropy);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (logits, targets, weights, dim, options) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |upstream| {
            B::fused_cross_entropy_grad(logits, targets, weights, upstream, dim, options)
        });
    }
}

#[derive(Debug)]
struct OnePassBackward;

impl<B: SoftmaxOnePassBackend> Backward<B, 1> for OnePassBackward {
    /// The gradient of the loss.
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |upstream| {
            B::fused_grad_times(gradient, upstream)
        });
    }
}

/// The options of the backward pass of a softmax.
pub(crate) fn gradient_of(options: &Softmax) -> SoftmaxGrad {
    SoftmaxGrad {
        log: options.log,
        adjust: options.adjust.clone(),
        ..SoftmaxGrad::default()
    }
}

/// Weights without the part of the graph that they come from: they have no gradient.
pub(crate) fn without_node<B: Backend, C: CheckpointStrategy>(weights: Weights<Autodiff<B, C>>) -> Weights<B> {
    match weights {
        Weights::None => Weights::None,
        Weights::Tensor(weights) => Weights::Tensor(weights.into_primitive()),
    }
}

/// Whether the gradient is found with the loss: it is then multiplied by the upstream gradient afterwards, which 16 bits cannot hold.
fn is_one_pass(logits: DType, options: &CrossEntropy) -> bool {
    logits == DType::F32 && options.reduction != Reduction::None && options.upstream != Upstream::Buffer
}

impl<B, C> SoftmaxBackend for Autodiff<B, C>
where
    B: SoftmaxBackend + SoftmaxGradBackend + SoftmaxOnePassBackend,
    C: CheckpointStrategy,
{
    fn fused_softmax(logits: FloatTensor<Self>, dim: usize, options: Softmax) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        match SoftmaxBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(B::fused_softmax(logits, dim, options)),
            OpsKind::Tracked(prep) => {
                let gradient = gradient_of(&options);
                let needed = gradient.adjust.softcap.map(|_| logits.clone());
                let result = B::fused_softmax(logits, dim, options);
                let needed = needed.unwrap_or_else(|| result.clone());
                prep.finish((result.clone(), needed, dim, gradient), result)
            }
        }
    }

    fn fused_cross_entropy(
        logits: FloatTensor<Self>,
        targets: Targets<Self>,
        weights: LossWeights<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        // Targets and weights have no gradient.
        let targets = match targets {
            Targets::Indices(targets) => Targets::Indices(targets),
            Targets::Probabilities(targets) => Targets::Probabilities(targets.into_primitive()),
            Targets::TeacherLogits(teacher) => Targets::TeacherLogits(teacher.into_primitive()),
        };
        let weights = LossWeights {
            classes: without_node(weights.classes),
            rows: without_node(weights.rows),
        };
        if is_one_pass(logits.dtype(), &options) {
            return match OnePassBackward.prepare::<C>([node]).compute_bound().stateful() {
                OpsKind::UnTracked(prep) => prep.finish(B::fused_cross_entropy(logits, targets, weights, dim, options)),
                OpsKind::Tracked(prep) => {
                    let (loss, gradient) = B::fused_cross_entropy_with_grad(logits, targets, weights, dim, options);
                    prep.finish(gradient, loss)
                }
            };
        }
        match CrossEntropyBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(B::fused_cross_entropy(logits, targets, weights, dim, options)),
            OpsKind::Tracked(prep) => {
                let state = (logits.clone(), targets.clone(), weights.clone(), dim, options.clone());
                let loss = B::fused_cross_entropy(logits, targets, weights, dim, options);
                prep.finish(state, loss)
            }
        }
    }
}

impl<B: SampleBackend, C: CheckpointStrategy> SampleBackend for Autodiff<B, C> {
    fn fused_sample(logits: FloatTensor<Self>, options: Sample) -> IntTensor<Self> {
        B::fused_sample(logits.into_primitive(), options)
    }
}
