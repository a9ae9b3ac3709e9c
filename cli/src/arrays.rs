//! Reads arrays: `.npy` files, and tensors of `.safetensors` files.

mod array;
#[cfg(test)]
mod corruption;
mod npy;
mod safetensors;

use crate::failure::Failure;
use std::path::{Path, PathBuf};
use wgpu_softmax::TargetIndex;

pub(crate) use array::{Array, Class, Targets};
pub(crate) use safetensors::{Place as SafetensorsPlace, Stored as SafetensorsType, bytes_of as safetensors_of};

/// The file that an array is read from, without the name of a tensor.
pub(crate) fn file_of(path: &Path) -> PathBuf {
    SafetensorsPlace::of(path).map_or_else(|| path.into(), |place| place.path)
}

/// Reads floats: f32, f16 or bf16, or f64, which is rounded to f32. `what` is how an error names them.
pub(crate) fn floats(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::floats(&place, what),
        None => npy::floats(path, what),
    }
}

/// Reads targets: any integers are classes, floats are probabilities.
pub(crate) fn targets(path: &Path) -> Result<Targets, Failure> {
    integers_or_floats(path, "targets")
}

fn integers_or_floats(path: &Path, what: &str) -> Result<Targets, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::targets(&place, what),
        None => npy::targets(path, what),
    }
}

/// Reads integers of any type.
pub(crate) fn integers(path: &Path, what: &str) -> Result<Array<Class>, Failure> {
    match integers_or_floats(path, what)? {
        Targets::Classes(integers) => Ok(integers),
        Targets::Probabilities(_) => Err(Failure::Caller(format!(
            "{}: {what} must be integers, not floats",
            path.display()
        ))),
    }
}

/// Reads floats, or integers of any type, which are rounded to f32.
pub(crate) fn numbers(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    Ok(match integers_or_floats(path, what)? {
        Targets::Probabilities(floats) => floats,
        Targets::Classes(Array { shape, values }) => Array {
            shape,
            values: values.into_iter().map(|integer| integer.value() as f32).collect(),
        },
    })
}

/// Reads words of 32 bits: u32, or i32 with the same bits.
pub(crate) fn words(path: &Path, what: &str) -> Result<Array<u32>, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::words(&place, what),
        None => npy::words(path, what),
    }
}
