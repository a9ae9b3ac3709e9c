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
//! [`softmax_with_sink`] has a tensor of attention sinks, [`cross_entropy_with`] and [`CrossEntropyLoss::forward_with`] have a tensor of
//! weights of rows, and [`distillation`] compares the logits with those of a teacher.
//!
//! [`sample`] draws a token of each row of logits, with no copy of them to the host.
//!
//! [`CrossEntropyLoss`] takes the place of `burn::nn::loss::CrossEntropyLoss`, with the same configuration.
//!
//! [`linear_cross_entropy`] and [`LinearCrossEntropyLoss`] compute a linear layer with its loss in chunks of rows, so that the logits of
//! all rows are never held.
//!
//! **Device.** Burn gives its wgpu device away only when it sets it up, so the device must be made by [`device`], or registered with
//! [`attach`] by a caller that has the setup.
//!
//! **Copies.** None are made: kernels read and write the tensors' own memory, between what Burn submits before and after. Logits whose
//! memory no other tensor shares are overwritten by their softmax or gradient. Tensors that are not contiguous, and targets that are
//! not 32-bit integers, are converted first.
//!
//! **Fusion.** With the feature `fusion`, which is on by default as in Burn, the operations are lazy as Burn's own are. Turn it off if
//! you turn off Burn's.
//!
//! **Gradients** are computed for logits and tensors of sinks only: not for soft targets, a teacher's logits, weights, masks, scales or
//! biases. Where logits of
//! f32 are tracked, a reduced loss leaves its gradient in the same pass, over the logits if no other tensor shares their memory; the
//! backward pass multiplies it by the upstream gradient unless that is 1. Logits of 16 bits, and losses of rows, are computed again in
//! the backward pass, so that the upstream gradient is applied before rounding; with [`wgpu_softmax::Upstream::Buffer`] so are others.
//!
//! **Errors.** Like Burn's operations, these return tensors and not results. Shapes, types and devices that do not fit cause a panic with
//! the reason. Options that contradict each other cause one when the operation runs, which under fusion is later: Burn then reports
//! it when the result is read. A target out of range makes the loss and gradient of its row NaN, and with them the mean.
//!
//! **Captured graphs** cannot contain these operations: they panic while a graph is being captured.

mod autodiff;
mod backend;
mod cube;
mod device;
mod functions;
mod linear;
mod loss;
mod scale;
mod sink;

pub use backend::{
    LossWeights, SampleBackend, SoftmaxBackend, SoftmaxGradBackend, SoftmaxOnePassBackend, Targets, Weights,
};
pub use device::{DeviceError, attach, device};
pub use functions::{
    WeightTensors, cross_entropy, cross_entropy_soft, cross_entropy_soft_with, cross_entropy_with, distillation,
    log_softmax, sample, softmax, softmax_with,
};
pub use linear::{
    LinearCrossEntropyBackend, LinearCrossEntropyGradBackend, LinearCrossEntropyLoss, LinearLayer, LinearOptions,
    linear_cross_entropy, linear_cross_entropy_bytes,
};
pub use loss::CrossEntropyLoss;
pub use sink::{SoftmaxSinkBackend, SoftmaxSinkGradBackend, softmax_with_sink};
pub use wgpu_softmax;
