//! Sampling: the decode step. One class, the token, is drawn of each row.

mod buffers;
mod host;
mod kernel;
mod options;
mod params;
mod steps;

pub use buffers::SampleBuffers;
pub use host::SampleOutput;
pub use kernel::SampleKernel;
pub use options::{Allowed, History, LogProbs, LogitBias, Sample, SampleRows, Words};
pub use params::SampleParams;

/// The token of a row that has no candidate: one with a NaN or +∞, with nothing allowed, or with parameters that a device
/// buffer holds and no row can have.
pub const NO_TOKEN: u32 = u32::MAX;
