//! What a loss does before and after the kernel of its rows, whatever parts the logits are cut into: before it, the
//! targets are counted and the gradient's scale is found; after it, the losses are reduced.

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
