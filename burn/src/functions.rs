//! The operations as functions of tensors.

use crate::backend::{SampleBackend, SoftmaxBackend, Targets, Weights};
use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use wgpu_softmax::{CrossEntropy, LogProbs, Sample, Softmax};

/// `y_c = exp(z_c − m) / d` along `dim`, in the tensor's type; see [`Softmax`].
///
/// # Panics
/// If the tensor has no dimension `dim`, its type is not f32, f16 or bf16, or its device is not registered (see
/// [`device()`](crate::device())).
pub fn softmax<const D: usize>(logits: Tensor<D>, dim: usize) -> Tensor<D> {
    softmax_with(logits, dim, &Softmax::default())
}

/// `ln y_c` along `dim`, in the tensor's type; see [`Softmax::log`].
///
/// # Panics
/// As [`softmax`].
pub fn log_softmax<const D: usize>(logits: Tensor<D>, dim: usize) -> Tensor<D> {
    softmax_with(logits, dim, &Softmax::log())
}

/// Like [`softmax`], with options: those that are numbers or host slices. `storage` and `in_place` follow from the tensor.
///
/// # Panics
/// As [`softmax`], and if options contradict each other.
pub fn softmax_with<const D: usize>(logits: Tensor<D>, dim: usize, options: &Softmax) -> Tensor<D> {
    check(&logits, dim);
    let result = Dispatch::fused_softmax(logits.into_dispatch(), dim, options.clone());
    Tensor::from_dispatch(result)
}

/// The cross-entropy `ξ = ln d − (z_t − m)` of logits whose classes lie along `dim`. The targets have the shape of the logits without
/// `dim`. The result is one number, or with [`wgpu_softmax::Reduction::None`] one for each row in the order of `targets`; it is f32
/// whatever the type of the logits.
///
/// All options that are numbers or host slices apply. `storage`, `targets` and `gradient` follow from the tensors, and options for
/// other results (`lse`, `entropy`, `argmax`, …) or for a backward pass (`from_lse`) are ignored.
///
/// Where logits of f32 are tracked, a reduced loss finds its gradient in the same pass over them. With
/// [`upstream: Upstream::Buffer`](wgpu_softmax::Upstream::Buffer) it is found in the backward pass instead, where the upstream gradient
/// is applied before rounding, as it always is for logits of 16 bits and with [`wgpu_softmax::Reduction::None`].
///
/// # Panics
/// As [`softmax`], and if shapes do not match or options contradict each other.
pub fn cross_entropy<const D: usize, const E: usize>(
    logits: Tensor<D>,
    targets: Tensor<E, Int>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    check(&logits, dim);
    let mut expected = logits.dims().to_vec();
    expected.remove(dim);
    // The target of a single row would have no dimensions, which a tensor cannot have: one of one element serves.
    let is_one = D == 1 && targets.dims() == [1; E];
    assert!(
        is_one || targets.dims().as_slice() == expected,
        "logits of {:?} with classes along {dim} need targets of {expected:?}, not {:?}",
        logits.dims(),
        targets.dims()
    );
    cross_entropy_of(logits, Targets::Indices(targets.into_dispatch()), None, dim, options)
}

/// Like [`cross_entropy`], with a probability for each class as targets, in the shape of the logits.
///
/// # Panics
/// As [`cross_entropy`].
pub fn cross_entropy_soft<const D: usize>(
    logits: Tensor<D>,
    targets: Tensor<D>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    check(&logits, dim);
    assert_eq!(logits.dims(), targets.dims(), "there is a target for each logit");
    cross_entropy_of(
        logits,
        Targets::Probabilities(targets.into_dispatch()),
        None,
        dim,
        options,
    )
}

pub(crate) fn cross_entropy_of<const D: usize>(
    logits: Tensor<D>,
    targets: Targets<Dispatch>,
    weights: Option<Tensor<1>>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    let weights = weights.map_or(Weights::None, |w| Weights::Tensor(w.into_dispatch()));
    let options = loss_alone(options);
    let loss = Dispatch::fused_cross_entropy(logits.into_dispatch(), targets, weights, dim, options);
    Tensor::from_dispatch(loss)
}

/// Options without results other than the loss.
pub(crate) fn loss_alone(options: &CrossEntropy) -> CrossEntropy {
    CrossEntropy {
        row_losses: false,
        row_z_losses: false,
        lse: false,
        log_prob: false,
        entropy: false,
        argmax: false,
        correct: false,
        from_lse: None,
        ..options.clone()
    }
}

/// A token for each row of logits, whose classes lie along the last dimension, as i32 in the order of the rows; −1 for a row that has
/// no candidate ([`wgpu_softmax::NO_TOKEN`]). It is the token that [`wgpu_softmax::Gpu::sample`] draws, on any adapter.
///
/// All options that are numbers or host slices apply. `dtype` follows from the tensor, and options for other results (`log_probs`,
/// `ranks`, `kept`, `top_n`, `probs`) are ignored. A `draft` panics: its number of accepted tokens has no tensor here. Tokens have no
/// gradient.
///
/// ```no_run
/// use burn::tensor::Tensor;
/// use wgpu_softmax::{Sample, SampleParams};
///
/// let device = burn_wgpu_softmax::device()?;
/// let logits = Tensor::<2>::from_floats([[1.0, 5.0, 2.0], [0.0, 0.0, 0.0]], &device);
/// let params = SampleParams { temperature: 0.8, top_p: 0.95, ..SampleParams::default() };
/// // Each sequence has its own seed, and each of its tokens its own position.
/// let options = Sample::per_row([SampleParams::greedy(), params.at(42, 0)]);
/// println!("{}", burn_wgpu_softmax::sample(logits, &options));
/// # Ok::<(), burn_wgpu_softmax::DeviceError>(())
/// ```
///
/// # Panics
/// As [`softmax`], and if options contradict each other or ask for buffers.
pub fn sample<const D: usize>(logits: Tensor<D>, options: &Sample) -> Tensor<1, Int> {
    check(&logits, D - 1);
    let options = Sample {
        log_probs: LogProbs::None,
        ranks: false,
        kept: false,
        top_n: 0,
        probs: false,
        ..options.clone()
    };
    let tokens = Dispatch::fused_sample(logits.into_dispatch(), options);
    Tensor::from_dispatch(tokens)
}

/// Checks what can be checked before the work is queued, where the caller sees the panic.
fn check<const D: usize>(logits: &Tensor<D>, dim: usize) {
    assert!(dim < D, "dimension {dim} of a tensor of {D}");
    let _ = crate::cube::storage(logits.dtype());
    crate::device::check(&logits.device());
}
