//! [`Words`]: integers of an option.

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
