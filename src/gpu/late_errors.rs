//! Errors in a browser, which tells what an error scope caught when its event loop next turns. A call on host slices keeps its
//! scopes until it reads a result, and asks them first.

use super::lock::lock;
use super::scopes::first_error;
use super::{Gpu, Inner};
use crate::error::RunError;
use std::sync::Arc;
use wasm_bindgen_futures::spawn_local;

/// As many scopes of what was recorded are kept until somebody asks.
const RECORDED_KEPT: usize = 256;

impl Inner {
    /// Makes everything anew that later calls would share: after an error, some of it may be invalid.
    pub(super) fn forget_shared(&self) {
        lock(&self.pipelines).clear();
        self.pool.forget_parameters();
    }
}

impl Gpu {
    /// Never an error yet. A call on host slices finds it in [`Gpu::settled`], the caller of a kernel that was prepared or
    /// recorded in [`Gpu::check_async`].
    pub(super) fn popped(&self, scope: wgpu::ErrorScopeGuard) -> Option<wgpu::Error> {
        let caught = Box::pin(scope.pop());
        if let Some(leases) = self.leases() {
            leases.scopes.add(caught);
        } else if self.inner.recorded.add(caught) >= RECORDED_KEPT {
            // Nobody has asked for long. The first error is kept for whoever is next.
            let inner = Arc::clone(&self.inner);
            spawn_local(async move {
                if let Some(error) = first_error(inner.recorded.take()).await {
                    inner.forget_shared();
                    lock(&inner.errors.uncaptured).get_or_insert_with(|| error.to_string());
                }
            });
        }
        None
    }

    /// See [`Gpu::check_async`].
    pub(super) async fn recorded(&self) -> Result<(), RunError> {
        let Some(error) = first_error(self.inner.recorded.take()).await else {
            return self.take_error();
        };
        self.inner.forget_shared();
        Err(self.classify_error(error.to_string()).into())
    }

    /// Whether all went well so far. After an error, everything that the call made may be invalid.
    pub(super) async fn settled(&self) -> Result<(), RunError> {
        if let Some(leases) = self.leases()
            && let Some(error) = first_error(leases.scopes.take()).await
        {
            leases.forget();
            self.inner.forget_shared();
            return Err(self.classify_error(error.to_string()).into());
        }
        self.take_error()
    }

    /// Whether the browser has told that the device is lost.
    pub(super) fn is_lost(&self) -> bool {
        lock(&self.inner.errors.lost).is_some()
    }
}
