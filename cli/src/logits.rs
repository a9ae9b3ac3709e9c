//! The logits, and the flags about them that softmax and cross-entropy share: how they are scaled, biased, capped and masked,
//! and the type that the device stores them in.

mod mask;

pub(crate) use mask::weights;

use crate::arrays;
use crate::failure::Failure;
use crate::layout::Layout;
use crate::number::{Column, INVERTIBLE, INVERTIBLE_WORDS, NumberArg, int64, invertible};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use wgpu_softmax::{Adjust, Dtype, Element, FullyMasked, Scale, Values};

#[derive(Args)]
pub(crate) struct LogitArgs {
    /// What the logits are multiplied by: 1 / temperature; -1 for softmin. A number, or a file with one for each row.
    #[arg(long, value_name = "S", default_value = "1", allow_hyphen_values = true)]
    scale: NumberArg<f32>,
    /// What the logits are divided by, in place of --scale: a number above 0, or a file with one for each row.
    #[arg(long, value_name = "T", conflicts_with = "scale", allow_hyphen_values = true)]
    temperature: Option<NumberArg<f32>>,
    /// Added to the scaled logits: a float for each class.
    #[arg(long, value_name = "B")]
    bias: Option<PathBuf>,
    /// Bounds the scaled logits softly: CAP * tanh(v / CAP). From 2^-126 to 2^126.
    #[arg(long, value_name = "CAP", allow_hyphen_values = true, value_parser = invertible)]
    softcap: Option<f32>,
    /// Added last: floats, of which -inf takes a class out, or booleans, of which true keeps a class. Of shape [classes], of
    /// the logits' shape or one that broadcasts to it, or where the class axis is the last [rows, classes]. Or the word
    /// causal, where the class axis is the last: row r of the axis before it sees classes 0 to r.
    #[arg(long, value_name = "MASK")]
    mask: Option<PathBuf>,
    /// With --mask causal: row r sees classes 0 to r + K.
    #[arg(long, value_name = "K", allow_negative_numbers = true, value_parser = int64)]
    causal_offset: Option<i64>,
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

/// Rounds to the type that the device stores. The file that the values come from is named where they are too large for it.
pub(crate) fn store<T: Element>(values: Vec<f32>, path: &Path) -> Vec<T> {
    let stored: Vec<T> = values.iter().map(|&v| T::nearest(v)).collect();
    let name = match T::DTYPE {
        Dtype::F16 => "f16",
        Dtype::Bf16 => "bf16",
        // It has every value of f32.
        _ => return stored,
    };
    let overflows = |(v, s): &(&f32, &T)| v.is_finite() && !(**s).into().is_finite();
    arrays::note_overflow(path, name, values.iter().zip(&stored).filter(overflows).count());
    stored
}

/// Converts back to f32. This is exact: every value of the stored types is one of f32.
pub(crate) fn widen<T: Element>(values: Vec<T>) -> Vec<f32> {
    values.into_iter().map(|v| v.into() as f32).collect()
}

/// Reads an f32 for each class, which must be finite. `what` is how an error names them, and `one` each of them.
pub(crate) fn per_class(path: &Path, layout: &Layout, what: &str, one: &str) -> Result<Values, Failure> {
    arrays::refuse_number(path, what)?;
    let array = arrays::floats(path, what)?;
    let classes = layout.classes();
    if array.shape != [classes] {
        return Err(arrays::refused(
            path,
            &format!(
                "{what} have shape {:?}, but {classes} classes need [{classes}]{}",
                array.shape,
                layout.other_axes(|other| array.shape == [other.classes()])
            ),
        ));
    }
    match array.values.iter().position(|v| !v.is_finite()) {
        Some(class) => {
            let value = array.values[class];
            let message = format!("the {one} of class {class} is {value}, but must be finite");
            Err(arrays::refused(path, &message))
        }
        None => Ok(Values::from(array.values)),
    }
}

impl LogitArgs {
    /// The flags that change the logits before the softmax, and whether each of them was given.
    pub(crate) fn adjustments(&self) -> [(&'static str, bool); 6] {
        [
            ("--scale", !matches!(self.scale, NumberArg::Number(1.0))),
            ("--temperature", self.temperature.is_some()),
            ("--bias", self.bias.is_some()),
            ("--softcap", self.softcap.is_some()),
            ("--mask", self.mask.is_some()),
            ("--causal-offset", self.causal_offset.is_some()),
        ]
    }

    /// The flags that name a file that is read, and the files.
    pub(crate) fn ins(&self) -> Vec<(&'static str, &Path)> {
        let temperature = self.temperature.as_ref();
        let mask = self.mask.as_deref().filter(|path| !mask::is_causal(path));
        let flags = [
            ("--scale", self.scale.file()),
            ("--temperature", temperature.and_then(NumberArg::file)),
            ("--bias", self.bias.as_deref()),
            ("--mask", mask),
        ];
        flags
            .into_iter()
            .filter_map(|(flag, path)| Some((flag, path?)))
            .collect()
    }

    pub(crate) fn fully_masked(&self) -> FullyMasked {
        match self.fully_masked {
            Masked::Nan => FullyMasked::Nan,
            Masked::Zeros => FullyMasked::Zeros,
            Masked::Uniform => FullyMasked::Uniform,
        }
    }

    pub(crate) fn adjust(&self, layout: &Layout) -> Result<Adjust, Failure> {
        let bias = self.bias.as_deref();
        let bias = bias.map(|path| per_class(path, layout, "biases", "bias"));
        Ok(Adjust {
            scale: self.scale(layout)?,
            bias: bias.transpose()?,
            softcap: self.softcap,
            mask: mask::read(self.mask.as_deref(), self.causal_offset, layout)?,
        })
    }

    fn scale(&self, layout: &Layout) -> Result<Scale, Failure> {
        let column = match &self.temperature {
            Some(t) => t
                .column("--temperature", layout, INVERTIBLE_WORDS, |t| INVERTIBLE.contains(&t))?
                .map(f32::recip),
            None => self.scale.column("--scale", layout, "finite", f32::is_finite)?,
        };
        Ok(match column {
            Column::All(number) => Scale::Number(number),
            Column::PerRow(numbers) => Scale::PerRow(Values::from(numbers)),
        })
    }
}
