//! [`wgpu_softmax`] for [Burn](https://burn.dev): softmax, log-softmax and cross-entropy as one kernel each instead of five to ten, with
//! their gradients, on Burn's own device, memory and queue.
//!
//! ```no_run
//! use burn::tensor::{Int, Tensor};
//! use wgpu_softmax::CrossEntropy;
//!
//! let device = burn_wgpu_softmax::device()?.autodiff(); // in place of Device::wgpu(..)
//! let logits = Tensor::<2>::from_floats([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]], &device).require_grad();
//! let targets = Tensor::<1, Int>::from_ints([2, 0], &device);
//!
//! let probs = burn_wgpu_softmax::softmax(logits.clone(), 1);
//! let loss = burn_wgpu_softmax::cross_entropy(logits.clone(), targets, 1, &CrossEntropy::default());
//! let gradients = loss.backward();
//! println!("{probs} {loss} {:?}", logits.grad(&gradients));
//! # Ok::<(), burn_wgpu_softmax::DeviceError>(())
//! ```
//!
//! [`CrossEntropyLoss`] takes the place of `burn::nn::loss::CrossEntropyLoss`, with the same configuration.
//!
//! **Device.** Burn keeps its wgpu device to itself, so it is asked for it when it sets it up: [`device`], or [`attach`] for a setup
//! that the caller has.
//!
//! **Copies.** None: kernels read and write tensors where they are, between what Burn submits before and after. A logits tensor
//! that nobody else holds is overwritten by its softmax or its gradient. A tensor that is not contiguous, or targets that are not 32-bit
//! integers, are made so first.
//!
//! **Fusion.** With the feature `fusion`, a default as it is Burn's, the operations are lazy like all others there. Turn it off where
//! Burn's is off.
//!
//! **Gradients** go to logits alone: not to targets that are probabilities, weights, masks, scales or biases. The loss's backward pass
//! computes the softmax again rather than keep a gradient that may never be asked for.
//!
//! **Errors.** As Burn's operations these return tensors, not results. Shapes, types and devices that do not fit panic, with the reason.
//! Options that contradict each other panic where the operation is run, which under fusion is later: then Burn reports it when the
//! result is read. A target out of range makes its row's loss and gradient NaN, and the mean.
//!
//! **Captured graphs** cannot hold these operations: they panic while one is recorded.

mod autodiff;
mod backend;
mod cube;
mod device;
mod loss;

pub use backend::{SoftmaxBackend, SoftmaxGradBackend, Targets, Weights};
pub use device::{DeviceError, attach, device};
pub use loss::CrossEntropyLoss;
pub use wgpu_softmax;

use burn::backend::Dispatch;
use burn::tensor::{Int, Tensor};
use wgpu_softmax::{CrossEntropy, Softmax};

/// `y_c = exp(z_c − m) / d` along `dim`, in the tensor's type; see [`Softmax`].
///
/// # Panics
/// Where `dim` is none of the tensor's, its type is none of f32, f16 and bf16, or its device is not known (see [`device()`]).
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

/// As [`softmax`], with options: all that are numbers or come from the host. `storage` and `in_place` are the tensor's.
///
/// # Panics
/// As [`softmax`], and where options contradict each other.
pub fn softmax_with<const D: usize>(logits: Tensor<D>, dim: usize, options: &Softmax) -> Tensor<D> {
    check(&logits, dim);
    let result = Dispatch::fused_softmax(logits.into_dispatch(), dim, options.clone());
    Tensor::from_dispatch(result)
}

/// The cross-entropy `ξ = ln d − (z_t − m)` of logits whose classes lie along `dim`, for targets of the same shape without it: one
/// number, or with [`wgpu_softmax::Reduction::None`] one for each row, in the order of `targets`. It is f32 whatever the logits are.
///
/// All options that are numbers or come from the host; `storage`, `targets`, `gradient` and `upstream` follow from the tensors, and
/// what a kernel gives beside the loss (`lse`, `entropy`, `argmax`, …) or in its place (`from_lse`) is left off.
///
/// # Panics
/// As [`softmax`], and where shapes do not match or options contradict each other.
pub fn cross_entropy<const D: usize, const E: usize>(
    logits: Tensor<D>,
    targets: Tensor<E, Int>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    check(&logits, dim);
    let mut expected = logits.dims().to_vec();
    expected.remove(dim);
    // One row has one target, which a tensor of no dimensions cannot hold.
    let is_one = D == 1 && targets.dims() == [1; E];
    assert!(
        is_one || targets.dims().as_slice() == expected,
        "logits of {:?} with classes along {dim} need targets of {expected:?}, not {:?}",
        logits.dims(),
        targets.dims()
    );
    cross_entropy_of(logits, Targets::Indices(targets.into_dispatch()), None, dim, options)
}

/// As [`cross_entropy`], for targets that are probabilities, laid out as the logits are.
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

fn cross_entropy_of<const D: usize>(
    logits: Tensor<D>,
    targets: Targets<Dispatch>,
    weights: Option<Tensor<1>>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    let weights = weights.map_or(Weights::None, |w| Weights::Tensor(w.into_dispatch()));
    let options = CrossEntropy {
        row_losses: false,
        row_z_losses: false,
        lse: false,
        log_prob: false,
        entropy: false,
        argmax: false,
        correct: false,
        from_lse: None,
        ..options.clone()
    };
    let loss = Dispatch::fused_cross_entropy(logits.into_dispatch(), targets, weights, dim, options);
    Tensor::from_dispatch(loss)
}

/// What is sure to be seen before the work is queued.
fn check<const D: usize>(logits: &Tensor<D>, dim: usize) {
    assert!(dim < D, "dimension {dim} of a tensor of {D}");
    let _ = cube::storage(logits.dtype());
    device::check(&logits.device());
}
