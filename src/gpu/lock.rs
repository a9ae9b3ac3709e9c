//! Locks whose data no panic leaves half-written.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. What these mutexes guard is never half-changed when a thread panics, so a poisoned one serves as well.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
