//! The linear layer with its loss on a backend with automatic differentiation.

use super::backend::{LinearCrossEntropyBackend, LinearCrossEntropyGradBackend, LinearLayer, LinearOptions};
use super::chunks::is_one_pass;
use crate::backend::{SoftmaxOnePassBackend, Weights};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Autodiff, Backend, TensorMetadata};
use burn::tensor::DType;

#[derive(Debug)]
struct LinearBackward;

/// What the backward pass needs.
#[derive(Debug, Clone)]
enum Saved<B: Backend> {
    /// The gradients of the loss, f32, and the type that they get.
    Gradients([FloatTensor<B>; 3], DType),
    /// Everything, since each row has an upstream gradient of its own.
    Inputs(Box<Inputs<B>>),
}

/// The layer, the targets, their weights, and the options.
type Inputs<B> = (LinearLayer<B>, IntTensor<B>, Weights<B>, LinearOptions);

impl<B: LinearCrossEntropyGradBackend + SoftmaxOnePassBackend, const N: usize> Backward<B, N> for LinearBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, N>, grads: &mut Gradients, _: &mut Checkpointer) {
        let upstream = grads.consume::<B>(&ops.node);
        let (gradients, scale, dtype) = match ops.state {
            Saved::Gradients(gradients, dtype) => (gradients, Some(upstream), dtype),
            Saved::Inputs(inputs) => {
                let (layer, targets, weights, options) = *inputs;
                let dtype = layer.hidden.dtype();
                let upstream = B::float_cast(upstream, crate::cube::float_dtype(DType::F32));
                let (_, hidden, weight, bias) =
                    B::fused_linear_cross_entropy_grad(layer, targets, weights, upstream, options);
                ([hidden, weight, bias], None, dtype)
            }
        };
        for (parent, gradient) in ops.parents.into_iter().zip(gradients) {
            let Some(parent) = parent else { continue };
            let gradient = match &scale {
                Some(upstream) => B::fused_grad_times(gradient, upstream.clone()),
                None => gradient,
            };
            let gradient = match dtype {
                DType::F32 => gradient,
                dtype => B::float_cast(gradient, crate::cube::float_dtype(dtype)),
            };
            grads.register::<B>(parent.id, gradient);
        }
    }
}

/// A layer's tensors without their nodes, and the nodes.
type Parts<B> = (LinearLayer<B>, Vec<NodeGuard>);

fn parts<B: Backend, C: CheckpointStrategy>(layer: LinearLayer<Autodiff<B, C>>) -> Parts<B> {
    let (hidden, hidden_node) = layer.hidden.into_parts();
    let (weight, weight_node) = layer.weight.into_parts();
    let mut nodes = vec![hidden_node, weight_node];
    let bias = match layer.bias {
        Weights::None => Weights::None,
        Weights::Tensor(bias) => {
            let (bias, node) = bias.into_parts();
            nodes.push(node);
            Weights::Tensor(bias)
        }
    };
    (LinearLayer { hidden, weight, bias }, nodes)
}

/// Whether a tensor's gradient is asked for.
fn is_tracked<B: LinearCrossEntropyGradBackend + SoftmaxOnePassBackend, C: CheckpointStrategy>(
    tensor: &FloatTensor<Autodiff<B, C>>,
) -> bool {
    let kind = Backward::<B, 1>::prepare::<C>(LinearBackward, [tensor.node()]).compute_bound();
    matches!(kind.stateful(), OpsKind::Tracked(_))
}

impl<B, C> LinearCrossEntropyBackend for Autodiff<B, C>
where
    B: LinearCrossEntropyBackend + LinearCrossEntropyGradBackend + SoftmaxOnePassBackend,
    C: CheckpointStrategy,
{
    fn fused_linear_cross_entropy(
        layer: LinearLayer<Self>,
        targets: IntTensor<Self>,
        weights: Weights<Self>,
        scale: FloatTensor<Self>,
        options: LinearOptions,
    ) -> FloatTensor<Self> {
        let bias = match &layer.bias {
            Weights::None => false,
            Weights::Tensor(bias) => is_tracked::<B, C>(bias),
        };
        let wanted = [
            is_tracked::<B, C>(&layer.hidden),
            is_tracked::<B, C>(&layer.weight),
            bias,
        ];
        let options = LinearOptions { wanted, ..options };
        let weights = match weights {
            Weights::None => Weights::None,
            Weights::Tensor(weights) => Weights::Tensor(weights.into_primitive()),
        };
        let (layer, nodes) = parts(layer);
        let rest = (targets, weights, scale.into_primitive(), options);
        match <[NodeGuard; 3]>::try_from(nodes) {
            Ok(nodes) => record::<B, C, 3>(layer, nodes, rest),
            Err(nodes) => match <[NodeGuard; 2]>::try_from(nodes) {
                Ok(nodes) => record::<B, C, 2>(layer, nodes, rest),
                Err(_) => unreachable!("a layer has two tensors or three"),
            },
        }
    }
}

/// Targets, weights of classes, scale and options.
type Rest<B> = (IntTensor<B>, Weights<B>, FloatTensor<B>, LinearOptions);

fn record<B, C, const N: usize>(
    layer: LinearLayer<B>,
    nodes: [NodeGuard; N],
    (targets, weights, scale, options): Rest<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: LinearCrossEntropyBackend + LinearCrossEntropyGradBackend + SoftmaxOnePassBackend,
    C: CheckpointStrategy,
{
    let dtype = layer.hidden.dtype();
    let kind = Backward::<B, N>::prepare::<C>(LinearBackward, nodes).compute_bound();
    match kind.stateful() {
        OpsKind::UnTracked(prep) => {
            let loss = B::fused_linear_cross_entropy(layer, targets, weights, scale, options);
            prep.finish(loss)
        }
        OpsKind::Tracked(prep) if is_one_pass(options.loss.reduction) => {
            let (loss, hidden, weight, bias) =
                B::fused_linear_cross_entropy_grad(layer, targets, weights, scale, options);
            prep.finish(Saved::Gradients([hidden, weight, bias], dtype), loss)
        }
        OpsKind::Tracked(prep) => {
            let inputs = (layer.clone(), targets.clone(), weights.clone(), options.clone());
            let saved = Saved::Inputs(Box::new(inputs));
            prep.finish(
                saved,
                B::fused_linear_cross_entropy(layer, targets, weights, scale, options),
            )
        }
    }
}
