//! Cross-entropy of logits and targets, and its gradient, from one kernel.

mod buffers;
mod host;
mod kernel;
mod options;
mod validate;

pub use buffers::CrossEntropyBuffers;
pub use host::{CrossEntropyOutput, TargetIndex};
pub use kernel::CrossEntropyKernel;
pub use options::{CrossEntropy, Input, Targets};
