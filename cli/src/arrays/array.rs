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

impl<T> Array<T> {
    pub(crate) fn map<U>(self, each: impl FnMut(T) -> U) -> Array<U> {
        let Self { shape, values } = self;
        let values = values.into_iter().map(each).collect();
        Array { shape, values }
    }
}

/// An integer with all the bits it has in the file, so that an error can name it as it is written there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Class(pub(super) i128);

impl TargetIndex for Class {
    fn value(self) -> i128 {
        self.0
    }
}

/// The elements of a file, by kind.
#[derive(Debug)]
pub(crate) enum Elements {
    Integers(Array<Class>),
    Floats(Array<f32>),
    Booleans(Array<bool>),
}

/// Rounds f64 to f32, and says so.
pub(super) fn rounded(path: &Path, values: Vec<f64>) -> Vec<f32> {
    console::note(&format!("note: {} is f64 and was rounded to f32", path.display()));
    let rounded: Vec<f32> = values.iter().map(|&v| v as f32).collect();
    let pairs = values.iter().zip(&rounded);
    note_overflow(
        path,
        "f32",
        pairs.filter(|(v, r)| v.is_finite() && r.is_infinite()).count(),
    );
    rounded
}

/// Says how many finite values a type is too narrow for.
pub(crate) fn note_overflow(path: &Path, dtype: &str, count: usize) {
    let values = match count {
        0 => return,
        1 => format!("1 finite value of {} lies", path.display()),
        count => format!("{count} finite values of {} lie", path.display()),
    };
    console::note(&format!(
        "note: {values} beyond what {dtype} holds and became +inf or -inf"
    ));
}

/// The beginning of a text out of a file, which may be as long as the file itself.
pub(super) fn brief(text: &str) -> String {
    text.chars().take(200).collect()
}
