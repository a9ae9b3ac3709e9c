//! What the readers of both formats give, and what they say alike.

use crate::console;
use std::path::Path;
use wgpu_softmax::TargetIndex;

/// An array in C order.
#[derive(Debug)]
pub(crate) struct Array<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<T>,
}

/// A target with all the bits it has in the file, so that an error can name it as it is written there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class(pub(super) i128);

impl TargetIndex for Class {
    fn value(self) -> i128 {
        self.0
    }
}

#[derive(Debug)]
pub(crate) enum Targets {
    /// A class for each row.
    Classes(Array<Class>),
    /// A probability for each class of each row.
    Probabilities(Array<f32>),
}

pub(super) fn note_rounded(path: &Path) {
    console::note(&format!("note: {} is f64 and was rounded to f32", path.display()));
}

/// The beginning of a text out of a file, which may be as long as the file itself.
pub(super) fn brief(text: &str) -> String {
    text.chars().take(200).collect()
}
