//! Sampling: the decode step. One class, the token, is drawn of each row.

mod buffers;
mod host;
mod inputs;
mod kernel;
mod options;
mod params;
mod steps;
mod summary;

pub use buffers::SampleBuffers;
pub use host::SampleOutput;
pub use kernel::SampleKernel;
pub use options::{Allowed, History, LogProbs, LogitBias, Sample, SampleRows, Words};
pub use params::{NO_TOKEN, SampleParams};
pub use summary::SampleSummary;
