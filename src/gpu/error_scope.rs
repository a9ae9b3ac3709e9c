//! What the device reports, caught where it belongs and told apart.

use super::Gpu;
use super::lock::lock;
use super::wait::block_on;
use crate::error::{EncodeError, RunError};

impl Gpu {
    /// Runs `work` under error scopes, so that what goes wrong is known here and told to no handler of the caller's, which
    /// by default panics.
    pub(crate) fn with_error_scopes<T>(&self, work: impl FnOnce() -> T) -> Result<T, EncodeError> {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let done = work();
        let error = block_on(validation.pop()).or(block_on(memory.pop()));
        error.map_or(Ok(done), |error| Err(self.classify_error(error.to_string())))
    }

    /// What an error is: on a lost device everything that is made is invalid, and its use the error.
    pub(crate) fn classify_error(&self, message: String) -> EncodeError {
        if !self.is_lost() {
            return EncodeError::Device { message };
        }
        let told = lock(&self.inner.errors.lost).clone();
        EncodeError::DeviceLost {
            message: told.unwrap_or("it takes no more work".into()),
        }
    }

    /// The callback that tells of a loss may be the caller's, and comes late; but what is made on a lost device is
    /// never mapped.
    pub(super) fn is_lost(&self) -> bool {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let probe = self.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("probe"),
            size: 4,
            usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: true,
        });
        block_on(memory.pop()).is_none() && probe.get_mapped_range(..).is_err()
    }

    /// The error that the device reported since the last look, if any.
    pub(crate) fn take_error(&self) -> Result<(), RunError> {
        if let Some(message) = lock(&self.inner.errors.lost).clone() {
            return Err(RunError::DeviceLost { message });
        }
        match lock(&self.inner.errors.uncaptured).take() {
            Some(message) => Err(RunError::Device { message }),
            None => Ok(()),
        }
    }
}
