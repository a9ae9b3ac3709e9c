//! Flags that take a number, or a file with a number for each row.

use crate::arrays::{self, Array};
use crate::failure::Failure;
use crate::layout::Layout;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use wgpu_softmax::TargetIndex;

/// The numbers that have a normal reciprocal, and how an error says so.
pub(crate) const INVERTIBLE: std::ops::RangeInclusive<f32> = f32::MIN_POSITIVE..=8.507_059e37;
pub(crate) const INVERTIBLE_WORDS: &str = "from 2^-126 to 2^126";

/// A word as an f32, or `None` if it is no number. One that f32 has only as an infinity or as 0 is an error here, where it can be
/// said of what was typed.
fn float(word: &str) -> Result<Option<f32>, String> {
    let Ok(number) = word.parse::<f32>() else {
        return Ok(None);
    };
    let mantissa = word.split(['e', 'E']).next().unwrap_or(word);
    let has_digit = |from: char| mantissa.chars().any(|digit| (from..='9').contains(&digit));
    // An infinity that was meant has no digits, and a 0 no other.
    if number.is_infinite() && has_digit('0') {
        return Err(format!(
            "{word} lies beyond f32, whose largest number is {:e}",
            f32::MAX
        ));
    }
    if number == 0.0 && has_digit('1') {
        let least = f32::from_bits(1);
        return Err(format!(
            "{word} would be 0 as f32, whose smallest number above 0 is {least:e}"
        ));
    }
    Ok(Some(number))
}

/// An integer. The range is what the type has, or less where the caller checks that, and is said of integers that are outside.
pub(crate) fn integer<N: FromStr + Display>(word: &str, least: N, most: N) -> Result<N, String> {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    let is_integer = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    word.parse().map_err(|_| match is_integer {
        true => format!("it must be from {least} to {most}"),
        false => "it must be an integer".into(),
    })
}

pub(crate) fn axis(word: &str) -> Result<isize, String> {
    integer(word, isize::MIN, isize::MAX)
}

pub(crate) fn int64(word: &str) -> Result<i64, String> {
    integer(word, i64::MIN, i64::MAX)
}

pub(crate) fn count(word: &str) -> Result<usize, String> {
    integer(word, 0, usize::MAX)
}

/// A number of a flag that takes no file.
fn number(word: &str, must: &str, is_good: impl Fn(f32) -> bool) -> Result<f32, String> {
    float(word)?
        .filter(|&number| is_good(number))
        .ok_or_else(|| format!("it must be a number {must}"))
}

pub(crate) fn finite(word: &str) -> Result<f32, String> {
    number(word, "that is finite", f32::is_finite)
}

pub(crate) fn invertible(word: &str) -> Result<f32, String> {
    number(word, INVERTIBLE_WORDS, |n| INVERTIBLE.contains(&n))
}

pub(crate) fn share(word: &str) -> Result<f32, String> {
    number(word, "from 0 to 1", |n| (0.0..=1.0).contains(&n))
}

pub(crate) fn seconds(word: &str) -> Result<f32, String> {
    number(word, "from 0 to 3600", |n| (0.0..=3600.0).contains(&n))
}

/// What such a flag was given.
#[derive(Debug, Clone)]
pub(crate) enum NumberArg<N> {
    Number(N),
    File(PathBuf),
}

/// The numbers that it means.
pub(crate) enum Column<N> {
    All(N),
    PerRow(Vec<N>),
}

/// A kind of number that flags take.
pub(crate) trait Number: Copy + Display {
    /// The number that a word is, or `None` if it must be a file's name.
    fn of_word(word: &str) -> Result<Option<Self>, String>;

    /// The numbers of a file. `flag` is how an error names them.
    fn read(path: &Path, flag: &str) -> Result<Array<Self>, Failure>;
}

impl Number for f32 {
    fn of_word(word: &str) -> Result<Option<Self>, String> {
        float(word)
    }

    fn read(path: &Path, flag: &str) -> Result<Array<Self>, Failure> {
        arrays::numbers(path, flag)
    }
}

/// Integers have all the bits that they are written with, so that an error can name them.
impl Number for i128 {
    fn of_word(word: &str) -> Result<Option<Self>, String> {
        match word.parse() {
            Ok(integer) => Ok(Some(integer)),
            Err(_) if word.parse::<f64>().is_ok() => Err("it must be an integer, or a file of integers".into()),
            Err(_) => Ok(None),
        }
    }

    fn read(path: &Path, flag: &str) -> Result<Array<Self>, Failure> {
        let Array { shape, values } = arrays::integers(path, flag)?;
        let values = values.into_iter().map(TargetIndex::value).collect();
        Ok(Array { shape, values })
    }
}

impl<N: Number> FromStr for NumberArg<N> {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Ok(match N::of_word(word)? {
            Some(number) => Self::Number(number),
            None if arrays::is_standard_input(Path::new(word)) => Self::File(word.into()),
            None if arrays::file_of(Path::new(word)).exists() => Self::File(word.into()),
            None => return Err("it is neither a number nor a file that exists".into()),
        })
    }
}

impl<N: Number> NumberArg<N> {
    /// The file that was given.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Self::Number(_) => None,
            Self::File(path) => Some(path),
        }
    }

    /// The numbers, each of which must be good; `must` says what that is.
    pub(crate) fn column(
        &self,
        flag: &str,
        layout: &Layout,
        must: &str,
        is_good: impl Fn(N) -> bool,
    ) -> Result<Column<N>, Failure> {
        let path = match self {
            Self::Number(number) if is_good(*number) => return Ok(Column::All(*number)),
            Self::Number(number) => {
                return Err(Failure::Caller(format!("{flag} is {number}, but must be {must}")));
            }
            Self::File(path) => path,
        };
        let refused = |message: String| Err(arrays::refused(path, &message));
        let Array { shape, values } = N::read(path, flag)?;
        if !shape.is_empty() && !layout.fits_rows(&shape) {
            return refused(misfit(flag, &shape, layout));
        }
        if let Some(row) = values.iter().position(|&number| !is_good(number)) {
            let (value, index) = (values[row], layout.index(row));
            let place = if shape.is_empty() {
                String::new()
            } else {
                format!(" in row {index:?}")
            };
            return refused(format!("{flag} is {value}{place}, but must be {must}"));
        }
        Ok(match (&shape[..], &values[..]) {
            ([], [number]) => Column::All(*number),
            _ => Column::PerRow(values),
        })
    }
}

/// What is wrong with numbers of a shape that is not the rows'.
fn misfit(flag: &str, shape: &[usize], layout: &Layout) -> String {
    let mut possible = vec![layout.row_shape(), layout.kept_row_shape(), vec![layout.count()]];
    // With rows of one axis the last is the first.
    possible.dedup();
    if possible.first() == possible.last() {
        possible.pop();
    }
    let possible: Vec<String> = possible.iter().map(|shape| format!("{shape:?}")).collect();
    format!(
        "{flag} has shape {shape:?}, but {} have {}: give one number for all, or one for each row, of shape {}{}",
        layout.describe(),
        layout.count_in_words(),
        possible.join(" or "),
        layout.other_axes(|other| other.fits_rows(shape))
    )
}

impl<N: Copy> Column<N> {
    pub(crate) fn map(self, each: impl Fn(N) -> N) -> Self {
        match self {
            Self::All(number) => Self::All(each(number)),
            Self::PerRow(numbers) => Self::PerRow(numbers.into_iter().map(each).collect()),
        }
    }

    pub(crate) fn at(&self, row: usize) -> N {
        match self {
            Self::All(number) => *number,
            Self::PerRow(numbers) => numbers[row],
        }
    }

    pub(crate) fn is_per_row(&self) -> bool {
        matches!(self, Self::PerRow(_))
    }

    pub(crate) fn any(&self, is: impl Fn(N) -> bool) -> bool {
        match self {
            Self::All(number) => is(*number),
            Self::PerRow(numbers) => numbers.iter().any(|&number| is(number)),
        }
    }
}
