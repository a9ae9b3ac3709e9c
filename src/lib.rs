//! Softmax, cross-entropy and its gradient on the GPU, row by row and numerically stable, on [`wgpu`].
//!
//! With z the logits of a row of C classes, y the probabilities, t the target and ξ the loss, as in the tutorial that
//! this crate grew out of:
//!
//! - softmax: `y_c = exp(z_c − m) / d`, `m = max z`, `d = Σ exp(z_c − m)`; its derivative is
//!   `∂y_i/∂z_j = y_i (δ_ij − y_j)`;
//! - cross-entropy: `ξ = −ln y_t`, computed as `ln d − (z_t − m)`; over a batch, the sum or the mean of the rows;
//! - its gradient: `∂ξ/∂z_c = y_c − [c = t]`.
//!
//! Where to find the functions of `torch.nn.functional` here:
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
//! | `multinomial` of filtered probabilities | [`Sample`] | |
//!
//! The [`guide`] says how to choose, why the numbers are what they are, and what to do about a NaN.
//!
//! There are three levels: [`Gpu::softmax`] and [`Gpu::cross_entropy`] for slices on the host; [`Softmax::prepare`] and
//! [`CrossEntropy::prepare`] for kernels recorded into the caller's encoder, on the caller's buffers; [`mod@reference`]
//! for the same operations in f64 on the CPU. [`mod@tutorial`] derives the formulas, with figures.
//!
//! The features are those of wgpu's backends, `vulkan`, `metal`, `dx12`, `gles` and `webgpu`, and wgpu's `parking_lot`,
//! all of them on by default; and `ndarray`, off by default, which adds calls on that crate's arrays, such as
//! `Gpu::softmax_array`. `shaders-from-folder` is for this crate's own tests of its tests, `cargo xtask mutate`, and for nothing else:
//! with it the environment variable `WGPU_SOFTMAX_SHADERS` may name a folder of shaders to use instead of those built in.
//!
//! Sums follow one canonical order, a function of the number of classes alone, so the results have the same bits
//! whatever the adapter's subgroups, the schedule or the other rows of the batch.

// In a browser everything is on one thread, and wgpu's types are neither `Send` nor `Sync`. They still are in an `Arc`, as they
// are on threads.
#![cfg_attr(target_arch = "wasm32", allow(clippy::arc_with_non_send_sync))]

#[cfg(all(feature = "ndarray", not(target_arch = "wasm32")))]
mod array;
mod dispatch;
mod dtype;
mod error;
mod gpu;
pub mod guide;
mod ops;
mod plan;
mod ragged;
pub mod reference;
mod rows;
mod schedule;
mod shader;
#[doc(hidden)]
pub mod testing;
pub mod tutorial;
#[doc(hidden)]
pub mod twin;
mod verify;

#[cfg(all(feature = "ndarray", not(target_arch = "wasm32")))]
pub use array::CrossEntropyArrays;
pub use dispatch::{Bound, Recorded, Slice};
pub use dtype::{Dtype, Element, Storage};
pub use error::{EncodeError, GpuError, RunError};
pub use gpu::{Gpu, GpuOptions, adapters};
pub use half;
#[cfg(feature = "ndarray")]
pub use ndarray;
pub use ops::adjust::{Adjust, AdjustBuffers, Mask, Scale};
pub use ops::binary_cross_entropy::{
    BinaryCrossEntropy, BinaryCrossEntropyBuffers, BinaryCrossEntropyKernel, BinaryCrossEntropyOutput,
};
pub use ops::cross_entropy::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropyOutput, Input, TargetIndex, Targets,
};
pub use ops::entropy::{Entropy, EntropyBuffers, EntropyKernel, EntropyOutput};
pub use ops::logsumexp::{LogSumExp, LogSumExpBuffers, LogSumExpGradBuffers, LogSumExpGradKernel, LogSumExpKernel};
pub use ops::loss::{CrossEntropySummary, EmptyMean, Gradient, Normalizer, Reduction, Upstream};
pub use ops::row_op::FullyMasked;
pub use ops::sample::{
    Allowed, Draft, History, LogProbs, LogitBias, NO_TOKEN, Sample, SampleBuffers, SampleKernel, SampleOutput,
    SampleParams, SampleRows, SampleSummary, ShardSample, ShardSampling, Words,
};
pub use ops::shard::ShardStatistics;
pub use ops::sink::Sink;
pub use ops::softmax::{Softmax, SoftmaxBuffers, SoftmaxKernel};
pub use ops::softmax_grad::{SoftmaxGrad, SoftmaxGradBuffers, SoftmaxGradKernel};
pub use ops::softmax_jacobian::{SoftmaxJacobianBuffers, SoftmaxJacobianKernel};
pub use ops::values::Values;
pub use ragged::{RaggedRows, RowLayout};
pub use rows::Rows;
pub use schedule::Schedule;
pub use verify::{Check, Verify};
pub use wgpu;

/// The README's example, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
