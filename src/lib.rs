//! Softmax, cross-entropy and its gradient on the GPU, row by row and numerically stable, on [`wgpu`].

mod batch;
mod cross_entropy;
mod error;
mod gpu;
mod host;
mod kernel;
mod plan;
pub mod reference;
mod rows;
mod shader;
mod softmax;
mod transfer;
#[doc(hidden)]
pub mod twin;

pub use cross_entropy::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropySummary, EmptyMean, Gradient, Reduction,
    Upstream,
};
pub use error::{EncodeError, GpuError, RunError};
pub use gpu::{Gpu, GpuOptions, adapters};
pub use host::{CrossEntropyOutput, TargetIndex};
pub use kernel::Slice;
pub use plan::Schedule;
pub use rows::Rows;
pub use softmax::{FullyMasked, Softmax, SoftmaxBuffers, SoftmaxKernel};
pub use wgpu;
