//! Softmax with sinks on a backend with automatic differentiation.

use super::backend::{SoftmaxSinkBackend, SoftmaxSinkGradBackend};
use crate::autodiff::gradient_of;
use crate::backend::SoftmaxGradBackend;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};
use wgpu_softmax::{Softmax, SoftmaxGrad};

#[derive(Debug)]
struct SinkBackward;

/// What the backward pass needs.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    result: FloatTensor<B>,
    /// The result again, where the gradient needs no logits.
    logits: FloatTensor<B>,
    sink: FloatTensor<B>,
    lse: FloatTensor<B>,
    dim: usize,
    options: SoftmaxGrad,
}

impl<B: SoftmaxGradBackend + SoftmaxSinkGradBackend> Backward<B, 2> for SinkBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let Saved {
            result,
            logits,
            sink,
            lse,
            dim,
            options,
        } = ops.state;
        match ops.parents {
            [None, None] => {}
            // The result has the sinks in it, so that the gradient of the logits alone does not need them.
            [Some(node), None] => {
                let gradient = B::fused_softmax_grad(result, logits, upstream, dim, options);
                grads.register::<B>(node.id, gradient);
            }
            [node, Some(sink_node)] => {
                let (gradient, of_sink) =
                    B::fused_softmax_with_sink_grad(result, logits, upstream, sink, lse, dim, options);
                if let Some(node) = node {
                    grads.register::<B>(node.id, gradient);
                }
                grads.register::<B>(sink_node.id, of_sink);
            }
        }
    }
}

impl<B, C> SoftmaxSinkBackend for Autodiff<B, C>
where
    B: SoftmaxSinkBackend + SoftmaxSinkGradBackend + SoftmaxGradBackend,
    C: CheckpointStrategy,
{
    fn fused_softmax_with_sink(
        logits: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        dim: usize,
        options: Softmax,
    ) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let (sink, sink_node) = sink.into_parts();
        match SinkBackward.prepare::<C>([node, sink_node]).compute_bound().stateful() {
            OpsKind::UnTracked(prep) => prep.finish(B::fused_softmax_with_sink(logits, sink, dim, options)),
            OpsKind::Tracked(prep) => {
                let gradient = gradient_of(&options);
                let needed = gradient.adjust.softcap.map(|_| logits.clone());
                let (result, lse) = B::fused_softmax_with_sink_and_lse(logits, sink.clone(), dim, options);
                let saved = Saved {
                    logits: needed.unwrap_or_else(|| result.clone()),
                    result: result.clone(),
                    sink,
                    lse,
                    dim,
                    options: gradient,
                };
                prep.finish(saved, result)
            }
        }
    }
}
