//! Reads `.npy` files.

use super::array::{Array, Class, Elements, brief, rounded};
use super::source::{other_format, read, refused};
use crate::failure::Failure;
use half::f16;
use npyz::{DType, Deserialize, NpyFile, Order, TypeChar};
use std::path::Path;

#[cfg(test)]
mod tests;

/// A file whose length has been found to fit its header.
struct File<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
    shape: Vec<usize>,
    dtype: DType,
    order: Order,
}

/// The elements in C order, of an array whose first index is the one that changes fastest.
fn to_c_order<T: Copy>(values: &[T], shape: &[usize]) -> Vec<T> {
    let mut result = Vec::with_capacity(values.len());
    if values.is_empty() {
        return result;
    }
    let mut stride = 1;
    // For each axis its index, its length, and how far apart its elements lie.
    let mut axes: Vec<[usize; 3]> = Vec::with_capacity(shape.len());
    for &length in shape {
        axes.push([0, length, stride]);
        stride *= length;
    }
    let mut at = 0;
    for _ in 0..values.len() {
        result.push(values[at]);
        for [index, length, stride] in axes.iter_mut().rev() {
            *index += 1;
            at += *stride;
            if *index < *length {
                break;
            }
            at -= *stride * *length;
            *index = 0;
        }
    }
    result
}

impl File<'_> {
    fn caller(&self, message: &str) -> Failure {
        refused(self.path, message)
    }

    /// The elements, or `None` if they are of another type than `T`.
    fn values<T: Deserialize + Copy>(&self) -> Result<Option<Vec<T>>, Failure> {
        let what = |e: std::io::Error| self.caller(&e.to_string());
        match NpyFile::new(&self.bytes[..]).map_err(what)?.data::<T>() {
            Ok(reader) => {
                let values: Vec<T> = reader.collect::<Result<_, _>>().map_err(what)?;
                Ok(Some(match self.order {
                    Order::C => values,
                    Order::Fortran => to_c_order(&values, &self.shape),
                }))
            }
            Err(_) => Ok(None),
        }
    }

    /// The elements as f32, or `None` if they are no floats.
    fn floats(&self) -> Result<Option<Array<f32>>, Failure> {
        let values = if let Some(values) = self.values::<f32>()? {
            values
        } else if let Some(values) = self.values::<f16>()? {
            values.into_iter().map(f32::from).collect()
        } else if let Some(values) = self.values::<f64>()? {
            rounded(self.path, values)
        } else {
            return Ok(None);
        };
        let shape = self.shape.clone();
        Ok(Some(Array { shape, values }))
    }
}

/// How deeply the brackets of a header may be nested. An array of numbers has 2 levels. One of structures has 4; it is let
/// through, since npyz's error about it says more.
const MAX_NESTING: usize = 5;

/// How deeply the brackets of a header are nested. This is checked first because npyz takes three times as long for each
/// level of structures: half a minute for ten of them.
fn nesting(bytes: &[u8]) -> usize {
    let (start, length) = match *bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, u16::from_le_bytes([a, b]).into()),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => (12, u32::from_le_bytes([a, b, c, d]) as usize),
        _ => return 0,
    };
    let header = bytes.iter().skip(start).take(length);
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in header {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Reads a file, and checks that its length fits its header before memory is allocated for the elements.
fn open(path: &Path) -> Result<File<'_>, Failure> {
    let caller = |message: String| refused(path, &message);
    let bytes = read(path)?;
    if let Some(kind) = other_format(&bytes, ".npy") {
        return Err(caller(format!("no .npy array: {kind}")));
    }
    if nesting(&bytes) > MAX_NESTING {
        return Err(caller("no .npy array: its header is nested too deeply".into()));
    }
    let mut rest = &bytes[..];
    let header = npyz::NpyHeader::from_reader(&mut rest)
        .map_err(|e| caller(format!("no .npy array: {}", brief(&e.to_string()))))?;
    let shape: Option<Vec<usize>> = header.shape().iter().map(|&n| usize::try_from(n).ok()).collect();
    let shape = shape.ok_or_else(|| caller("its shape is too large".into()))?;
    let item = header
        .dtype()
        .num_bytes()
        .ok_or_else(|| caller("its elements have no fixed size".into()))?;
    let elements = shape.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
    let needed = elements.and_then(|n| n.checked_mul(item));
    let needed = needed.ok_or_else(|| caller(format!("shape {shape:?} is too large")))?;
    if needed > rest.len() {
        return Err(caller(format!(
            "shape {shape:?} needs {needed} bytes, but {} follow the header",
            rest.len()
        )));
    }
    // Perhaps a second array, which would be lost without a word.
    let more = rest.len() - needed;
    if more > 0 {
        let bytes = if more == 1 { "byte follows" } else { "bytes follow" };
        return Err(caller(format!(
            "{more} {bytes} the array of shape {shape:?}, but a file of one array ends with it"
        )));
    }
    let (dtype, order) = (header.dtype(), header.order());
    Ok(File {
        path,
        bytes,
        shape,
        dtype,
        order,
    })
}

/// Reads floats: f32 or f16, or f64, which is rounded to f32. `what` is how an error names them.
pub(super) fn floats(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    let file = open(path)?;
    let must_be = || {
        let recipe = match &file.dtype {
            DType::Plain(plain) => match plain.type_char() {
                TypeChar::Int | TypeChar::Uint | TypeChar::Bool => ": .astype('float32') makes them floats",
                _ => "",
            },
            _ => "",
        };
        let kind = file.dtype.descr();
        file.caller(&format!("{what} must be f32, f16 or f64, not {}{recipe}", brief(&kind)))
    };
    file.floats()?.ok_or_else(must_be)
}

/// Reads numbers or booleans. `what` is how an error names them.
pub(super) fn elements(path: &Path, what: &str) -> Result<Elements, Failure> {
    let file = open(path)?;
    let must_be = |kind: &str| file.caller(&format!("{what} must be integers or floats, not {}", brief(kind)));
    // npyz would read dates and time spans as integers.
    if let DType::Plain(plain) = &file.dtype
        && matches!(plain.type_char(), TypeChar::TimeDelta | TypeChar::DateTime)
    {
        return Err(must_be(&file.dtype.descr()));
    }
    if let Some(values) = file.values::<bool>()? {
        let shape = file.shape;
        return Ok(Elements::Booleans(Array { shape, values }));
    }
    macro_rules! integers_of_type {
        ($($kind:ty)*) => {$(
            if let Some(values) = file.values::<$kind>()? {
                let shape = file.shape;
                return Ok(Elements::Integers(Array { shape, values }.map(|v| Class(v.into()))));
            }
        )*};
    }
    integers_of_type!(i64 i32 u8 u32 i8 i16 u16 u64);
    let floats = file.floats()?.ok_or_else(|| must_be(&file.dtype.descr()))?;
    Ok(Elements::Floats(floats))
}

/// Reads words of 32 bits.
pub(super) fn words(path: &Path, what: &str) -> Result<Array<u32>, Failure> {
    let file = open(path)?;
    let values = if let Some(values) = file.values::<u32>()? {
        values
    } else if let Some(values) = file.values::<i32>()? {
        bytemuck::cast_vec(values)
    } else {
        let kind = file.dtype.descr();
        return Err(file.caller(&format!("{what} must be u32 or i32 words, not {}", brief(&kind))));
    };
    let shape = file.shape;
    Ok(Array { shape, values })
}
