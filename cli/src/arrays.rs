//! Reads arrays: `.npy` files, and tensors of `.safetensors` files.

mod array;
#[cfg(test)]
mod corruption;
mod npy;
mod safetensors;

use crate::failure::Failure;
use std::path::Path;

pub(crate) use array::{Array, Targets};
pub(crate) use safetensors::{Place as SafetensorsPlace, Stored as SafetensorsType, bytes_of as safetensors_of};

/// Reads floats: f32, f16 or bf16, or f64, which is rounded to f32. `what` is how an error names them.
pub(crate) fn floats(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::floats(&place, what),
        None => npy::floats(path, what),
    }
}

/// Reads targets: any integers are classes, floats are probabilities.
pub(crate) fn targets(path: &Path) -> Result<Targets, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::targets(&place),
        None => npy::targets(path),
    }
}
