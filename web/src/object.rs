//! A result with several parts, as a JavaScript object.

use crate::failure::Failure;
use js_sys::{Object, Reflect};
use wasm_bindgen::JsValue;

/// An object in the making. What is `None` is left out.
pub(crate) struct ObjectOf(Object);

impl ObjectOf {
    pub(crate) fn new() -> Self {
        Self(Object::new())
    }

    pub(crate) fn with(self, name: &str, value: impl Into<JsValue>) -> Result<Self, Failure> {
        Reflect::set(&self.0, &name.into(), &value.into()).map_err(Failure::thrown)?;
        Ok(self)
    }

    pub(crate) fn with_some(self, name: &str, value: Option<impl Into<JsValue>>) -> Result<Self, Failure> {
        match value {
            None => Ok(self),
            Some(value) => self.with(name, value),
        }
    }

    pub(crate) fn done(self) -> JsValue {
        self.0.into()
    }
}
