//! Reads arrays: `.npy` files, and tensors of `.safetensors` files.

mod array;
#[cfg(test)]
mod corruption;
mod npy;
mod safetensors;
mod source;

use crate::failure::Failure;
use std::path::{Path, PathBuf};
use wgpu_softmax::TargetIndex;

pub(crate) use array::{Array, Class, Elements, note_overflow};
pub(crate) use safetensors::{Place as SafetensorsPlace, Stored as SafetensorsType, bytes_of as safetensors_of};
pub(crate) use source::{is_standard_input, read, refused};

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

/// Reads numbers or booleans. `what` is how an error names them.
pub(crate) fn elements(path: &Path, what: &str) -> Result<Elements, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::elements(&place, what),
        None => npy::elements(path, what),
    }
}

/// Reads integers of any type.
pub(crate) fn integers(path: &Path, what: &str) -> Result<Array<Class>, Failure> {
    match elements(path, what)? {
        Elements::Integers(integers) => Ok(integers),
        Elements::Floats(_) => Err(refused(path, &format!("{what} must be integers, not floats"))),
        Elements::Booleans(_) => Err(refused(path, &format!("{what} must be integers, not booleans"))),
    }
}

/// Reads floats, or integers of any type, which are rounded to f32.
pub(crate) fn numbers(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    match elements(path, what)? {
        Elements::Floats(floats) => Ok(floats),
        Elements::Integers(integers) => Ok(integers.map(|integer| integer.value() as f32)),
        Elements::Booleans(_) => Err(refused(
            path,
            &format!("{what} must be integers or floats, not booleans"),
        )),
    }
}

/// Refuses a number where a file must be, unless a file is called so.
pub(crate) fn refuse_number(path: &Path, what: &str) -> Result<(), Failure> {
    let is_number = path.to_str().is_some_and(|word| word.parse::<f64>().is_ok());
    if is_number && !path.exists() {
        return Err(refused(
            path,
            &format!("{what} must be a file, with one number for each class"),
        ));
    }
    Ok(())
}

/// Reads a mask, as floats to add: of booleans, true keeps a class.
pub(crate) fn mask(path: &Path) -> Result<Array<f32>, Failure> {
    match elements(path, "a mask")? {
        Elements::Floats(floats) => Ok(floats),
        Elements::Booleans(keeps) => Ok(keeps.map(|keeps| if keeps { 0.0 } else { f32::NEG_INFINITY })),
        Elements::Integers(_) => Err(refused(
            path,
            "a mask must be booleans (true keeps a class) or floats (0 keeps a class, -inf takes it out), not integers: \
             if 1 keeps a class, .astype(bool) makes it one",
        )),
    }
}

/// Reads words of 32 bits: u32, or i32 with the same bits.
pub(crate) fn words(path: &Path, what: &str) -> Result<Array<u32>, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::words(&place, what),
        None => npy::words(path, what),
    }
}
