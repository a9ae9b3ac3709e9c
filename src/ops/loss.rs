//! What a loss does before and after the kernel of its rows, whatever parts the logits are cut into: before it, where the
//! gradient needs a denominator that only the device can tell, the targets are counted; after it, the losses are
//! reduced, and the targets counted if nothing has done so before.

mod buffers;
mod options;
mod passes;
mod reduce;
mod row_outputs;
mod summary;

pub(crate) use buffers::LossBuffers;
pub(crate) use options::LossSpec;
pub use options::{EmptyMean, Gradient, Normalizer, Reduction, Upstream};
pub(crate) use passes::LossPasses;
pub(crate) use row_outputs::RowOutputs;
pub use summary::CrossEntropySummary;
