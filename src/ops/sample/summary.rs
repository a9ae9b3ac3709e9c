//! [`SampleSummary`]: the rows of a batch that have no token.

use super::host::SampleOutput;
use super::params::NO_TOKEN;

/// What [`SampleBuffers::summary`](crate::SampleBuffers::summary) holds: two words.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleSummary {
    /// Rows without a token: those after a token of a draft that is not accepted, and those without a candidate, with a NaN or
    /// +∞, with nothing allowed, or with parameters, a history or biases in a device buffer that no row can have.
    pub without_candidate: u32,
    /// The first of them, or [`NO_TOKEN`].
    pub first_without_candidate: u32,
}

impl SampleSummary {
    /// Its size in bytes.
    pub const BYTES: u64 = size_of::<Self>() as u64;
}

impl SampleOutput {
    /// How many rows have no token, and which is the first.
    pub fn summary(&self) -> SampleSummary {
        let is_missing = |token: &u32| *token == NO_TOKEN;
        let first = self.tokens.iter().position(is_missing);
        SampleSummary {
            without_candidate: self.tokens.iter().filter(|token| is_missing(token)).count() as u32,
            first_without_candidate: first.map_or(NO_TOKEN, |row| row as u32),
        }
    }
}
