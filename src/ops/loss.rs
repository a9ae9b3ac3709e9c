//! What losses do around the kernel of their rows, whatever parts the logits are cut into: targets counted and the
//! gradient's scale found before it, losses reduced after it.

mod buffers;
mod options;
mod passes;
mod row_outputs;
mod summary;

pub(crate) use buffers::LossBuffers;
pub(crate) use options::LossSpec;
pub use options::{EmptyMean, Gradient, Normalizer, Reduction, Upstream};
pub(crate) use passes::LossPasses;
pub(crate) use row_outputs::RowOutputs;
pub use summary::CrossEntropySummary;
