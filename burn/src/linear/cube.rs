//! The linear layer with its loss on Burn's wgpu runtime: Burn's matmuls, and our loss over a chunk of logits, in which it leaves
//! their gradient.

use super::backend::{
    LinearCrossEntropyBackend, LinearCrossEntropyGradBackend, LinearLayer, LinearOptions, grad_shapes,
};
use super::chunks::{Chunks, Sizes, ranges};
use crate::backend::{LossWeights, Targets, Weights};
use crate::cube::{Batch, empty, float_dtype, to_i32};
use burn::backend::FloatDType;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::tensor::{DType, Shape, Slice};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::kernel::matmul::{MatmulStrategy, matmul};
use burn_cubecl::tensor::CubeTensor;
use std::ops::Range;
use wgpu_softmax::{CrossEntropy, Gradient, Normalizer, Reduction, Upstream};

impl LinearCrossEntropyBackend for CubeBackend {
    fn fused_linear_cross_entropy(
        layer: LinearLayer<Self>,
        targets: IntTensor<Self>,
        weights: Weights<Self>,
        scale: FloatTensor<Self>,
        options: LinearOptions,
    ) -> FloatTensor<Self> {
        let options = LinearOptions {
            wanted: [false; 3],
            ..options
        };
        Call::new(layer, targets, weights, scale, options).run().0
    }
}

impl LinearCrossEntropyGradBackend for CubeBackend {
    fn fused_linear_cross_entropy_grad(
        layer: LinearLayer<Self>,
        targets: IntTensor<Self>,
        weights: Weights<Self>,
        scale: FloatTensor<Self>,
        options: LinearOptions,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    ) {
        let call = Call::new(layer, targets, weights, scale, options);
        let like = call.scale.clone();
        let shapes = grad_shapes(call.dims(), call.wanted);
        let (loss, gradients) = call.run();
        let mut gradients = gradients.into_iter().zip(shapes);
        // One that is not wanted is anything of its shape, and so are those of no rows: zeros.
        let mut next = || match gradients.next() {
            Some((Some(gradient), _)) => gradient,
            Some((None, shape)) => zeros(&like, shape.into()),
            None => zeros(&like, [1].into()),
        };
        let [hidden, weight, bias] = [next(), next(), next()];
        (loss, hidden, weight, bias)
    }
}

fn zeros(like: &CubeTensor, shape: Shape) -> CubeTensor {
    CubeBackend::float_full(shape, 0f32.into(), &like.device, FloatDType::F32)
}

/// Burn's product of two matrices, rounded once to `dtype`.
fn product(lhs: CubeTensor, rhs: CubeTensor, dtype: DType) -> CubeTensor {
    let shape = [lhs.meta.shape()[0], rhs.meta.shape()[1]].into();
    let out = empty(&lhs, shape, dtype);
    matmul(lhs, rhs, Some(out), MatmulStrategy::default(), dtype)
        .unwrap_or_else(|error| panic!("burn-wgpu-softmax: Burn's matmul: {error:?}"))
}

fn transposed(matrix: CubeTensor) -> CubeTensor {
    CubeBackend::float_swap_dims(matrix, 0, 1)
}

fn sum(total: Option<CubeTensor>, part: CubeTensor) -> CubeTensor {
    match total {
        Some(total) => CubeBackend::float_add(total, part),
        None => part,
    }
}

/// The rows of a range.
fn slices(range: &Range<usize>) -> [Slice; 1] {
    [Slice::from(range.clone())]
}

/// All that a loss is computed from.
struct Call {
    layer: LinearLayer<CubeBackend>,
    bias: Option<CubeTensor>,
    targets: CubeTensor,
    weights: Weights<CubeBackend>,
    scale: CubeTensor,
    loss: CrossEntropy,
    chunks: Chunks,
    wanted: [bool; 3],
}

impl Call {
    fn new(
        layer: LinearLayer<CubeBackend>,
        targets: CubeTensor,
        weights: Weights<CubeBackend>,
        scale: CubeTensor,
        options: LinearOptions,
    ) -> Self {
        let LinearOptions {
            loss, budget, wanted, ..
        } = options;
        let gradients = wanted.contains(&true);
        let (hidden, weight) = (layer.hidden.meta.shape(), layer.weight.meta.shape());
        let sizes = Sizes {
            rows: hidden[0],
            features: hidden[1],
            classes: weight[1],
            element: layer.hidden.dtype.size(),
            gradients,
        };
        let is_none = loss.reduction == Reduction::None;
        let bias = match &layer.bias {
            Weights::None => None,
            Weights::Tensor(bias) => Some(CubeBackend::float_reshape(bias.clone(), [1, sizes.classes].into())),
        };
        Self {
            bias,
            targets: match targets.dtype {
                DType::I32 | DType::U32 => into_contiguous(targets),
                _ => into_contiguous(to_i32(targets)),
            },
            weights,
            scale,
            loss: CrossEntropy {
                reduction: if is_none { Reduction::None } else { Reduction::Sum },
                normalizer: Normalizer::Rows,
                gradient: if gradients { Gradient::InPlace } else { Gradient::None },
                upstream: if gradients {
                    Upstream::Buffer
                } else {
                    Upstream::default()
                },
                ..loss
            },
            // The caller has checked that there is one.
            chunks: sizes.within(budget).unwrap_or(Chunks { rows: 1, block: 1 }),
            wanted,
            layer,
        }
    }

    fn dims(&self) -> [usize; 3] {
        let (hidden, weight) = (self.layer.hidden.meta.shape(), self.layer.weight.meta.shape());
        [hidden[0], hidden[1], weight[1]]
    }

    /// The loss, and the gradients that are wanted.
    fn run(self) -> (CubeTensor, [Option<CubeTensor>; 3]) {
        let is_none = self.loss.reduction == Reduction::None;
        let is_wide = self.layer.hidden.dtype == DType::F32;
        // 16 bits hold a gradient best before it is divided by a number of rows: that is done later, in f32.
        let upstream = match is_none || is_wide {
            true => self.scale.clone(),
            false => CubeBackend::float_full([1].into(), 1f32.into(), &self.scale.device, FloatDType::F32),
        };
        let (mut losses, mut gradients) = (Vec::new(), [const { None }; 3]);
        for rows in ranges(self.dims()[0], self.chunks.rows) {
            let hidden = CubeBackend::float_slice(self.layer.hidden.clone(), &slices(&rows));
            let upstream = match is_none && self.loss.gradient != Gradient::None {
                true => CubeBackend::float_slice(upstream.clone(), &slices(&rows)),
                false => upstream.clone(),
            };
            let (loss, logits) = self.chunk(hidden.clone(), &rows, upstream);
            match losses.pop() {
                Some(before) if !is_none => losses.push(CubeBackend::float_add(before, loss)),
                before => losses.extend(before.into_iter().chain([loss])),
            }
            gradients = self.add(gradients, &rows, hidden, logits);
        }
        let loss = match losses.len() {
            0 if is_none => zeros(&self.scale, [0].into()),
            0 => zeros(&self.scale, [1].into()),
            1 => losses.remove(0),
            _ => CubeBackend::float_cat(losses, 0),
        };
        if is_none {
            return (loss, gradients);
        }
        let scaled = |x: CubeTensor| {
            let ones = vec![1; x.meta.num_dims()];
            CubeBackend::float_mul(x, CubeBackend::float_reshape(self.scale.clone(), ones.into()))
        };
        let gradients = match is_wide {
            true => gradients,
            false => gradients.map(|gradient| gradient.map(scaled)),
        };
        (scaled(loss), gradients)
    }

    /// The losses of a chunk of rows or their sum, and the gradient of their logits.
    fn chunk(&self, hidden: CubeTensor, rows: &Range<usize>, upstream: CubeTensor) -> (CubeTensor, CubeTensor) {
        let dtype = hidden.dtype;
        let mut logits = product(hidden, self.layer.weight.clone(), dtype);
        if let Some(bias) = &self.bias {
            logits = CubeBackend::float_add(logits, bias.clone());
        }
        let targets = Targets::Indices(CubeBackend::int_slice(self.targets.clone(), &slices(rows)));
        let upstream = (self.loss.gradient != Gradient::None).then_some(upstream);
        let weights = LossWeights {
            classes: self.weights.clone(),
            rows: Weights::None,
        };
        Batch::new(logits, targets, weights, 1, self.loss.clone()).run(upstream)
    }

    /// Adds what a chunk of rows contributes to the gradients of hidden states, weight and bias.
    fn add(
        &self,
        [hidden_grad, weight_grad, bias_grad]: [Option<CubeTensor>; 3],
        rows: &Range<usize>,
        hidden: CubeTensor,
        logits: CubeTensor,
    ) -> [Option<CubeTensor>; 3] {
        let [count, features, _] = self.dims();
        let hidden_grad = self.wanted[0].then(|| {
            let part = product(logits.clone(), transposed(self.layer.weight.clone()), DType::F32);
            if rows.len() == count {
                return part;
            }
            let all = hidden_grad.unwrap_or_else(|| empty(&part, [count, features].into(), DType::F32));
            CubeBackend::float_slice_assign(all, &slices(rows), part)
        });
        let bias_grad = self.wanted[2].then(|| {
            let ones = CubeBackend::float_full(
                [1, rows.len()].into(),
                1f32.into(),
                &logits.device,
                float_dtype(logits.dtype),
            );
            let part = product(ones, logits.clone(), DType::F32);
            let classes = part.meta.num_elements();
            sum(bias_grad, CubeBackend::float_reshape(part, [classes].into()))
        });
        let weight_grad = self.wanted[1].then(|| self.add_weight(weight_grad, hidden, logits));
        [hidden_grad, weight_grad, bias_grad]
    }

    /// Adds `hiddenᵀ · logits`, a block of rows at a time, so that the sum is not held twice.
    fn add_weight(&self, total: Option<CubeTensor>, hidden: CubeTensor, logits: CubeTensor) -> CubeTensor {
        let features = hidden.meta.shape()[1];
        let hidden = transposed(hidden);
        let Some(mut total) = total else {
            return product(hidden, logits, DType::F32);
        };
        if self.chunks.block >= features {
            return sum(Some(total), product(hidden, logits, DType::F32));
        }
        for block in ranges(features, self.chunks.block) {
            let part = CubeBackend::float_slice(hidden.clone(), &slices(&block));
            let part = product(part, logits.clone(), DType::F32);
            let so_far = CubeBackend::float_slice(total.clone(), &slices(&block));
            let part = sum(Some(part), so_far);
            total = CubeBackend::float_slice_assign(total, &slices(&block), part);
        }
        total
    }
}
