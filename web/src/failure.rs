//! What a call rejects with.

use std::error::Error;
use std::fmt::Display;
use wasm_bindgen::{JsError, JsValue};

/// A JavaScript value that is thrown: an Error, or what a callback of the page's threw.
#[derive(Debug)]
pub(crate) struct Failure(JsValue);

impl Failure {
    pub(crate) fn new(message: impl Display) -> Self {
        Self(JsError::new(&message.to_string()).into())
    }

    pub(crate) fn thrown(value: JsValue) -> Self {
        Self(value)
    }
}

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::new(error)
    }
}

impl From<Failure> for JsValue {
    fn from(failure: Failure) -> Self {
        failure.0
    }
}
