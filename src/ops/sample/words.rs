//! [`Words`]: integers of an option.

use crate::error::EncodeError;
use std::sync::Arc;

/// Integers that an option needs, u32.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Words {
    /// Kept with the kernel, uploaded once.
    Host(Arc<[u32]>),
    /// In a buffer that the caller hands to `encode`. Calls that take host slices refuse it.
    Buffer,
}

impl<W: Into<Arc<[u32]>>> From<W> for Words {
    fn from(words: W) -> Self {
        Self::Host(words.into())
    }
}

/// The most classes, whose spans then have 64 chunks, `SPAN_CHUNKS_MAX` of the shaders; and the most words of any list of a
/// row.
const LENGTH_MAX: usize = 64 << 20;

pub(super) fn check_length_of_row(option: &'static str, length: usize) -> Result<(), EncodeError> {
    if length <= LENGTH_MAX {
        return Ok(());
    }
    Err(EncodeError::BadNumber {
        option,
        value: length.to_string(),
        must: "at most 67,108,864 in sampling",
    })
}
