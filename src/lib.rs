//! Softmax, cross-entropy and its gradient on the GPU, row by row and numerically stable, on [`wgpu`].
//!
//! With z the logits of a row of C classes, y the probabilities, t the target and ξ the loss, as in the tutorial this comes from:
//!
//! - softmax: `y_c = exp(z_c − m) / d`, `m = max z`, `d = Σ exp(z_c − m)`; its derivative is `∂y_i/∂z_j = y_i (δ_ij − y_j)`;
//! - cross-entropy: `ξ = −ln y_t`, computed as `ln d − (z_t − m)`; over a batch, the sum or the mean of the rows;
//! - its gradient: `∂ξ/∂z_c = y_c − [c = t]`.
//!
//! Whoever knows `torch.nn.functional` finds
//!
//! | there | here | gradient |
//! |---|---|---|
//! | `softmax`, `log_softmax` | [`Softmax`], [`Softmax::log`] | [`SoftmaxGrad`] |
//! | `softmin` | [`Adjust::negated`] | the same |
//! | `logsumexp` | [`LogSumExp`] | [`LogSumExp::prepare_grad`] |
//! | `cross_entropy` with class indices, with probabilities | [`CrossEntropy`], [`Targets::Probabilities`] | [`CrossEntropy::gradient`] |
//! | `nll_loss` | [`Input::LogProbs`] | [`CrossEntropy::gradient`] |
//! | `binary_cross_entropy_with_logits` | [`BinaryCrossEntropy`] | [`BinaryCrossEntropy::gradient`] |
//! | `jacobian(softmax)` | [`Softmax::prepare_jacobian`] | |
//!
//! The [`guide`] says how to choose, why the numbers are what they are, and what to do about a NaN.
//!
//! Three depths: [`Gpu::softmax`] and [`Gpu::cross_entropy`] for slices on the host; [`Softmax::prepare`] and
//! [`CrossEntropy::prepare`] for kernels recorded into the caller's encoder, on the caller's buffers; [`mod@reference`] for the same
//! operations in f64 on the CPU. [`mod@tutorial`] derives the formulas, with figures. The feature `ndarray` adds calls such as `Gpu::softmax_array`, on that crate's arrays.
//!
//! Sums follow one canonical order, a function of the number of classes alone, whatever the adapter's subgroups, the schedule
//! or the batch around a row: the results have the same bits.

mod adjust;
#[cfg(feature = "ndarray")]
mod array;
mod batch;
mod binary_cross_entropy;
mod cross_entropy;
mod dtype;
mod error;
mod gpu;
pub mod guide;
mod host;
mod jacobian;
mod kernel;
mod logsumexp;
mod operand;
mod plan;
mod pool;
pub mod reference;
mod rows;
mod shader;
mod softmax;
mod softmax_grad;
#[doc(hidden)]
pub mod testing;
mod transfer;
pub mod tutorial;
#[doc(hidden)]
pub mod twin;
mod values;
mod verify;

pub use adjust::{Adjust, AdjustBuffers, Mask, Scale};
#[cfg(feature = "ndarray")]
pub use array::CrossEntropyArrays;
pub use binary_cross_entropy::{
    BinaryCrossEntropy, BinaryCrossEntropyBuffers, BinaryCrossEntropyKernel, BinaryCrossEntropyOutput,
};
pub use cross_entropy::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropySummary, EmptyMean, Gradient, Input, Normalizer,
    Reduction, Targets, Upstream,
};
pub use dtype::{Dtype, Element, Storage};
pub use error::{EncodeError, GpuError, RunError};
pub use gpu::{Gpu, GpuOptions, adapters};
pub use half;
pub use host::{CrossEntropyOutput, TargetIndex};
pub use jacobian::{SoftmaxJacobianBuffers, SoftmaxJacobianKernel};
pub use kernel::{Recorded, Slice};
pub use logsumexp::{LogSumExp, LogSumExpBuffers, LogSumExpGradBuffers, LogSumExpGradKernel, LogSumExpKernel};
#[cfg(feature = "ndarray")]
pub use ndarray;
pub use plan::Schedule;
pub use rows::Rows;
pub use softmax::{FullyMasked, Softmax, SoftmaxBuffers, SoftmaxKernel};
pub use softmax_grad::{SoftmaxGrad, SoftmaxGradBuffers, SoftmaxGradKernel};
pub use values::Values;
pub use verify::{Check, Verify};
pub use wgpu;

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
