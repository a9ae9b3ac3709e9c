//! Cross-entropy of logits and targets, and its gradient, from one kernel.

mod buffers;
mod hessian;
mod host;
mod host_call;
mod host_targets;
mod kernel;
mod options;
mod output;
mod shard;
mod validate;
mod weights;

pub use buffers::CrossEntropyBuffers;
pub use host_targets::TargetIndex;
pub use kernel::CrossEntropyKernel;
pub use options::{CrossEntropy, Input, Targets};
pub use output::CrossEntropyOutput;
