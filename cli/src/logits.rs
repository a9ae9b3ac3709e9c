//! The logits, and the flags about them that softmax and cross-entropy share: how they are scaled, capped and masked, and the
//! type that the device stores them in.

use crate::arrays::{self, Array};
use crate::failure::Failure;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use wgpu_softmax::{Adjust, Element, FullyMasked, Mask, Rows, Scale, Values};

#[derive(Args)]
pub(crate) struct LogitArgs {
    /// What the logits are multiplied by: 1 / temperature; -1 for softmin.
    #[arg(long, value_name = "S", default_value_t = 1.0, allow_hyphen_values = true)]
    scale: f32,
    /// Bounds the scaled logits softly: CAP * tanh(v / CAP). Above 0.
    #[arg(long, value_name = "CAP", allow_hyphen_values = true)]
    softcap: Option<f32>,
    /// Added last, -inf takes a class out: floats of shape [classes], of the logits' shape, or where the
    /// class axis is the last [rows, classes]. Or the word causal: row r of a group sees classes 0 to r; a group is the
    /// axis before the class axis where that is the last, else all rows.
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// What a row of -inf alone gives.
    #[arg(long, value_enum, default_value = "nan")]
    fully_masked: Masked,
    /// How the device stores what has the logits' shape, rounded from f32; files stay f32.
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) dtype: DtypeWord,
    /// The driver's own exp and log, unprotected: faster where arithmetic is the limit, less accurate, and not the same on
    /// every adapter.
    #[arg(long)]
    pub(crate) fast: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Masked {
    Nan,
    Zeros,
    Uniform,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum DtypeWord {
    F32,
    F16,
    Bf16,
}

/// Rounds to the type that the device stores.
pub(crate) fn store<T: Element>(values: Vec<f32>) -> Vec<T> {
    values.into_iter().map(T::nearest).collect()
}

/// Converts back to f32. This is exact: every value of the stored types is one of f32.
pub(crate) fn widen<T: Element>(values: Vec<T>) -> Vec<f32> {
    values.into_iter().map(|v| v.into() as f32).collect()
}

/// Reads the logits; the class axis says how their rows are laid out.
pub(crate) fn read(path: &Path, axis: isize) -> Result<(Array<f32>, Rows), Failure> {
    let logits = arrays::floats(path, "logits")?;
    let rows = Rows::of_shape(&logits.shape, axis)?;
    rows.elements()?;
    Ok((logits, rows))
}

impl LogitArgs {
    /// The flags that change the logits before the softmax, and whether each of them was given.
    pub(crate) fn adjustments(&self) -> [(&'static str, bool); 3] {
        [
            ("--scale", self.scale != 1.0),
            ("--softcap", self.softcap.is_some()),
            ("--mask", self.mask.is_some()),
        ]
    }

    pub(crate) fn fully_masked(&self) -> FullyMasked {
        match self.fully_masked {
            Masked::Nan => FullyMasked::Nan,
            Masked::Zeros => FullyMasked::Zeros,
            Masked::Uniform => FullyMasked::Uniform,
        }
    }

    pub(crate) fn adjust(&self, shape: &[usize], rows: Rows) -> Result<Adjust, Failure> {
        Ok(Adjust {
            scale: Scale::Number(self.scale),
            softcap: self.softcap,
            mask: self.mask(shape, rows)?,
            ..Adjust::default()
        })
    }

    fn mask(&self, shape: &[usize], rows: Rows) -> Result<Mask, Failure> {
        let Some(path) = &self.mask else {
            return Ok(Mask::None);
        };
        let class_is_last = rows.inner() == 1 && shape.last() == Some(&rows.classes());
        if path == Path::new("causal") {
            let group = match shape {
                [.., group, _] if class_is_last => *group,
                _ => rows.count(),
            };
            let group = group.max(1);
            return Ok(Mask::Causal { group, offset: 0 });
        }
        let mask = arrays::floats(path, "a mask (0 keeps a class, -inf takes it out)")?;
        if mask.shape == [rows.classes()] {
            return Ok(Mask::Classes(Values::from(mask.values)));
        }
        let (flat, whole) = ([rows.count(), rows.classes()], shape);
        if mask.shape == whole || (class_is_last && mask.shape == flat) {
            return Ok(Mask::Full(Values::from(mask.values)));
        }
        let mut possible = vec![format!("{:?} (the classes)", [rows.classes()])];
        if class_is_last && flat != whole {
            possible.push(format!("{flat:?} (rows, classes)"));
        }
        Err(Failure::Caller(format!(
            "{}: the mask has shape {:?}, but logits of shape {shape:?} need {} or their own shape",
            path.display(),
            mask.shape,
            possible.join(", ")
        )))
    }
}
