//! The operations on a backend with automatic differentiation.

use crate::backend::{SampleBackend, SoftmaxBackend, SoftmaxGradBackend, Targets, Weights};
use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::{FloatTensor, IntTensor};
use wgpu_softmax::{CrossEntropy, Sample, Softmax, SoftmaxGrad};

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
    type State = (FloatTensor<B>, Targets<B>, Weights<B>, usize, CrossEntropy);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (logits, targets, weights, dim, options) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |upstream| {
            B::fused_cross_entropy_grad(logits, targets, weights, upstream, dim, options)
        });
    }
}

impl<B: SoftmaxBackend + SoftmaxGradBackend, C: CheckpointStrategy> SoftmaxBackend for Autodiff<B, C> {
    fn fused_softmax(logits: FloatTensor<Self>, dim: usize, options: Softmax) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        match SoftmaxBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(B::fused_softmax(logits, dim, options)),
            OpsKind::Tracked(prep) => {
                let gradient = SoftmaxGrad {
                    log: options.log,
                    adjust: options.adjust.clone(),
                    ..SoftmaxGrad::default()
                };
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
        weights: Weights<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        // Targets and weights have no gradient.
        let targets = match targets {
            Targets::Indices(targets) => Targets::Indices(targets),
            Targets::Probabilities(targets) => Targets::Probabilities(targets.into_primitive()),
        };
        let weights = match weights {
            Weights::None => Weights::None,
            Weights::Tensor(weights) => Weights::Tensor(weights.into_primitive()),
        };
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
