//! Arrays in: `.npy`, and tensors of `.safetensors`.

#[cfg(test)]
mod harm;
mod npy;
mod safetensors;

use crate::say;
use std::path::Path;
use wgpu_softmax::TargetIndex;

pub(crate) use safetensors::{Place as SafetensorsPlace, Stored as SafetensorsType, bytes_of as safetensors_of};

/// A caller's mistake, or the machine's.
#[derive(Debug)]
pub(crate) enum Failure {
    Caller(String),
    Machine(String),
}

/// An array in C order.
#[derive(Debug)]
pub(crate) struct Array<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<T>,
}

/// A target as it was written: an error names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class(i128);

impl TargetIndex for Class {
    fn value(self) -> i128 {
        self.0
    }
}

#[derive(Debug)]
pub(crate) enum Targets {
    /// One for each row.
    Classes(Array<Class>),
    /// One for each class of each row.
    Probabilities(Array<f32>),
}

/// Floats: f32, f16 or bf16, or f64, which is rounded to f32. `what` says what they are, for the message.
pub(crate) fn floats(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::floats(&place, what),
        None => npy::floats(path, what),
    }
}

/// Targets: any integers, or floats.
pub(crate) fn targets(path: &Path) -> Result<Targets, Failure> {
    match SafetensorsPlace::of(path) {
        Some(place) => safetensors::targets(&place),
        None => npy::targets(path),
    }
}

fn tell_rounded(path: &Path) {
    say::note(&format!("note: {} is f64 and was rounded to f32", path.display()));
}

/// A part of what may be as long as a file.
fn brief(text: &str) -> String {
    text.chars().take(200).collect()
}
