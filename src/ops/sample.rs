//! Sampling: the decode step. One class, the token, is drawn of each row.

mod buffers;
mod draft;
mod host;
mod inputs;
mod kernel;
mod options;
mod params;
mod shard;
mod steps;
mod summary;
mod words;

pub use buffers::SampleBuffers;
pub use draft::Draft;
pub use host::SampleOutput;
pub use kernel::SampleKernel;
pub use options::{Allowed, History, LogProbs, LogitBias, Sample, SampleRows};
pub use params::{NO_TOKEN, SampleParams};
pub use shard::{ShardSample, ShardSampling};
pub use summary::SampleSummary;
pub use words::Words;
