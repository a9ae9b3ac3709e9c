//! Catches the device's errors where they arise, and tells a lost device from other errors.

use super::Gpu;
use super::lock::lock;
#[cfg(not(target_arch = "wasm32"))]
use super::wait::block_on;
use crate::error::{EncodeError, RunError};

impl Gpu {
    /// Runs `work` under error scopes, so that its errors are returned here and do not reach the caller's handler,
    /// which panics by default.
    pub(crate) fn with_error_scopes<T>(&self, work: impl FnOnce() -> T) -> Result<T, EncodeError> {
        let memory = self.device().push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let validation = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let done = work();
        let error = self.popped(validation).or(self.popped(memory));
        error.map_or(Ok(done), |error| Err(self.classify_error(error.to_string())))
    }

    /// What a scope caught.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn popped(&self, scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
        block_on(scope.pop())
    }

    /// Whether all went well so far. In a browser this has to be waited for.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) async fn settled(&self) -> Result<(), RunError> {
        self.take_error()
    }

    #[cfg(not(target_arch = "wasm32"))]
    async fn recorded(&self) -> Result<(), RunError> {
        self.take_error()
    }

    /// Whether everything is valid that was prepared and recorded so far. A browser tells of an error when its event loop
    /// next turns: there, `prepare` and `encode` return only the errors that the crate finds itself, and those of the
    /// device are found here. After one, what was prepared before has to be prepared anew. Elsewhere `prepare` and `encode`
    /// return all errors themselves.
    ///
    /// # Errors
    /// [`RunError::Device`] and [`RunError::DeviceLost`].
    pub async fn check_async(&self) -> Result<(), RunError> {
        self.recorded().await
    }

    /// The kind of an error: on a lost device everything that is made is invalid, and the error is only that it was
    /// used.
    pub(crate) fn classify_error(&self, message: String) -> EncodeError {
        if !self.is_lost() {
            return EncodeError::Device { message };
        }
        let told = lock(&self.inner.errors.lost).clone();
        EncodeError::DeviceLost {
            message: told.unwrap_or("it takes no more work".into()),
        }
    }

    /// Whether the device is lost. The callback that reports a loss may be the caller's, and comes late; but a buffer
    /// that is made on a lost device is never mapped, which this tries out.
    #[cfg(not(target_arch = "wasm32"))]
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

    /// Returns the error if the device is lost, or if it has reported one since the last call.
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
