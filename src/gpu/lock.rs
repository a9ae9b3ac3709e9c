//! Locks whose data no panic leaves half-written.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. What these mutexes guard is never half-changed when a thread panics, so a poisoned one can still be
/// used.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
