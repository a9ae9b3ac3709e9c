//! Error scopes of which a browser has not told yet what they caught.

use super::lock::lock;
use std::mem;
use std::pin::Pin;
use std::sync::Mutex;

/// What a scope caught, once it is known.
pub(super) type Scope = Pin<Box<dyn Future<Output = Option<wgpu::Error>>>>;

/// The scopes of a call that have not been asked yet.
#[derive(Default)]
pub(super) struct Scopes(Mutex<Vec<Scope>>);

impl Scopes {
    /// How many there are now.
    pub(super) fn add(&self, scope: Scope) -> usize {
        let mut scopes = lock(&self.0);
        scopes.push(scope);
        scopes.len()
    }

    pub(super) fn take(&self) -> Vec<Scope> {
        mem::take(&mut lock(&self.0))
    }
}

/// Asks every scope, for the first error that they caught.
pub(super) async fn first_error(scopes: Vec<Scope>) -> Option<wgpu::Error> {
    let mut first = None;
    for scope in scopes {
        let error = scope.await;
        first = first.or(error);
    }
    first
}
