//! Reads `.npy` files.

use super::array::{Array, Class, Targets, brief, note_rounded};
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
}

impl File<'_> {
    fn caller(&self, message: &str) -> Failure {
        Failure::Caller(format!("{}: {message}", self.path.display()))
    }

    /// The elements, or `None` if they are of another type than `T`.
    fn values<T: Deserialize>(&self) -> Result<Option<Vec<T>>, Failure> {
        let what = |e: std::io::Error| self.caller(&e.to_string());
        match NpyFile::new(&self.bytes[..]).map_err(what)?.data::<T>() {
            Ok(reader) => Ok(Some(reader.collect::<Result<_, _>>().map_err(what)?)),
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
            note_rounded(self.path);
            values.into_iter().map(|v| v as f32).collect()
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
    let caller = |message: String| Failure::Caller(format!("{}: {message}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| caller(e.to_string()))?;
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
    if header.order() == Order::Fortran && shape.iter().filter(|&&n| n > 1).count() > 1 {
        return Err(caller(
            "it is in Fortran order; C order is needed (numpy.ascontiguousarray)".into(),
        ));
    }
    let dtype = header.dtype();
    Ok(File {
        path,
        bytes,
        shape,
        dtype,
    })
}

/// Reads floats: f32 or f16, or f64, which is rounded to f32. `what` is how an error names them.
pub(super) fn floats(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    let file = open(path)?;
    let must_be = |kind: &str| file.caller(&format!("{what} must be f32, f16 or f64, not {}", brief(kind)));
    file.floats()?.ok_or_else(|| must_be(&file.dtype.descr()))
}

/// Reads targets: any integers are classes, floats are probabilities. `what` is how an error names them.
pub(super) fn targets(path: &Path, what: &str) -> Result<Targets, Failure> {
    let file = open(path)?;
    let must_be = |kind: &str| file.caller(&format!("{what} must be integers or floats, not {}", brief(kind)));
    // npyz would read dates and time spans as integers.
    if let DType::Plain(plain) = &file.dtype
        && matches!(plain.type_char(), TypeChar::TimeDelta | TypeChar::DateTime)
    {
        return Err(must_be(&file.dtype.descr()));
    }
    macro_rules! classes_of_type {
        ($($kind:ty)*) => {$(
            if let Some(values) = file.values::<$kind>()? {
                let values = values.into_iter().map(|v| Class(v.into())).collect();
                return Ok(Targets::Classes(Array { shape: file.shape, values }));
            }
        )*};
    }
    classes_of_type!(i64 i32 u8 u32 i8 i16 u16 u64);
    let floats = file.floats()?.ok_or_else(|| must_be(&file.dtype.descr()))?;
    Ok(Targets::Probabilities(floats))
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
