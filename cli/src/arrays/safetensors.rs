//! Reads and writes tensors of `.safetensors` files. A tensor is named `FILE.safetensors`, or `FILE.safetensors:NAME` if the
//! file has several.

use super::array::{Array, Class, Elements, brief, rounded};
use super::source::other_format;
use crate::failure::Failure;
use bytemuck::{AnyBitPattern, NoUninit};
use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorView};
use std::path::{Path, PathBuf};

#[cfg(test)]
mod tests;

const ENDING: &str = ".safetensors";

/// A file, and which of its tensors.
#[derive(Debug, PartialEq)]
pub(crate) struct Place {
    pub(super) path: PathBuf,
    pub(crate) name: Option<String>,
}

impl Place {
    /// `None` if the path names another kind of file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        if path.extension().is_some_and(|e| e == &ENDING[1..]) {
            return Some(Self {
                path: path.into(),
                name: None,
            });
        }
        let text = path.to_str()?;
        let (file, name) = text.split_once(&format!("{ENDING}:"))?;
        Some(Self {
            path: format!("{file}{ENDING}").into(),
            name: Some(name.into()),
        })
    }

    fn caller(&self, message: &str) -> Failure {
        let name = self.name.as_ref().map_or(String::new(), |name| format!(":{name}"));
        Failure::Caller(format!("{}{name}: {message}", self.path.display()))
    }

    fn read(&self) -> Result<Vec<u8>, Failure> {
        super::source::read(&self.path)
    }

    /// The tensor that is asked for. The safetensors crate checks that its length fits its shape, and that the tensors of a
    /// file follow each other without gaps.
    fn tensor<'a>(&self, bytes: &'a [u8]) -> Result<TensorView<'a>, Failure> {
        let bad = |message: &str| self.caller(&format!("no .safetensors file: {}", brief(message)));
        let (header, data) = header(bytes).map_err(|e| bad(&other_format(bytes, ENDING).unwrap_or(e)))?;
        let mut names = header.offset_keys();
        names.sort_unstable();
        let listed = || brief(&names.join(", "));
        let name = match (&self.name, &names[..]) {
            (_, []) => return Err(self.caller("there is no tensor in it")),
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, _) => return Err(self.caller(&format!("say which tensor, FILE{ENDING}:NAME, of {}", listed()))),
        };
        let none = || self.caller(&format!("there is no such tensor among {}", listed()));
        let tensor = header.info(name).ok_or_else(none)?;
        let (start, end) = tensor.data_offsets;
        let data = data.get(start..end).unwrap_or_default();
        TensorView::new(tensor.dtype, tensor.shape.clone(), data).map_err(|e| bad(&e.to_string()))
    }
}

/// The header, and the bytes that follow it, which are as many as it says. The crate's own reader is not used here: it adds
/// up lengths that the file states, which overflows.
fn header(bytes: &[u8]) -> Result<(Metadata, &[u8]), String> {
    let short = || format!("{} bytes hold no whole header", bytes.len());
    let (length, rest) = bytes.split_first_chunk().ok_or_else(short)?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
    let (text, data) = rest.split_at_checked(length).ok_or_else(short)?;
    let header: Metadata = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    if header.data_len() != data.len() {
        let needed = header.data_len();
        return Err(format!(
            "its tensors need {needed} bytes, but {} follow the header",
            data.len()
        ));
    }
    Ok((header, data))
}

/// The elements of a tensor. The format promises no alignment, hence the unaligned reads; it is little-endian, and so must the
/// host be.
fn values<T: AnyBitPattern + NoUninit>(tensor: &TensorView<'_>) -> Vec<T> {
    let bytes = tensor.data().chunks_exact(size_of::<T>());
    bytes.map(|b| bytemuck::pod_read_unaligned(b)).collect()
}

fn widened<T: AnyBitPattern + NoUninit>(tensor: &TensorView<'_>, widen: impl Fn(T) -> f32) -> Vec<f32> {
    values(tensor).into_iter().map(widen).collect()
}

/// The elements as f32, or `None` if they are no floats.
fn some_floats(place: &Place, tensor: &TensorView<'_>) -> Option<Array<f32>> {
    let values = match tensor.dtype() {
        Dtype::F32 => values(tensor),
        Dtype::F16 => widened(tensor, f16::to_f32),
        Dtype::BF16 => widened(tensor, bf16::to_f32),
        Dtype::F64 => rounded(&place.path, values(tensor)),
        _ => return None,
    };
    let shape = tensor.shape().to_vec();
    Some(Array { shape, values })
}

pub(super) fn floats(place: &Place, what: &str) -> Result<Array<f32>, Failure> {
    let bytes = place.read()?;
    let tensor = place.tensor(&bytes)?;
    let must_be = || {
        place.caller(&format!(
            "{what} must be F32, F16, BF16 or F64, not {:?}",
            tensor.dtype()
        ))
    };
    some_floats(place, &tensor).ok_or_else(must_be)
}

/// Reads numbers or booleans. `what` is how an error names them.
pub(super) fn elements(place: &Place, what: &str) -> Result<Elements, Failure> {
    let bytes = place.read()?;
    let tensor = place.tensor(&bytes)?;
    fn array<T: AnyBitPattern + NoUninit>(tensor: &TensorView<'_>) -> Array<T> {
        let (shape, values) = (tensor.shape().to_vec(), values(tensor));
        Array { shape, values }
    }
    fn classes<T: AnyBitPattern + NoUninit + Into<i128>>(tensor: &TensorView<'_>) -> Elements {
        Elements::Integers(array::<T>(tensor).map(|v| Class(v.into())))
    }
    Ok(match tensor.dtype() {
        Dtype::I64 => classes::<i64>(&tensor),
        Dtype::I32 => classes::<i32>(&tensor),
        Dtype::I16 => classes::<i16>(&tensor),
        Dtype::I8 => classes::<i8>(&tensor),
        Dtype::U64 => classes::<u64>(&tensor),
        Dtype::U32 => classes::<u32>(&tensor),
        Dtype::U16 => classes::<u16>(&tensor),
        Dtype::U8 => classes::<u8>(&tensor),
        Dtype::BOOL => Elements::Booleans(array::<u8>(&tensor).map(|byte| byte != 0)),
        other => {
            let must_be = || place.caller(&format!("{what} must be integers or floats, not {other:?}"));
            Elements::Floats(some_floats(place, &tensor).ok_or_else(must_be)?)
        }
    })
}

pub(super) fn words(place: &Place, what: &str) -> Result<Array<u32>, Failure> {
    let bytes = place.read()?;
    let tensor = place.tensor(&bytes)?;
    let values = match tensor.dtype() {
        Dtype::U32 | Dtype::I32 => values(&tensor),
        other => return Err(place.caller(&format!("{what} must be U32 or I32 words, not {other:?}"))),
    };
    let shape = tensor.shape().to_vec();
    Ok(Array { shape, values })
}

/// A type that is written, and the format's word for it.
pub(crate) trait Stored: NoUninit {
    const DTYPE: Dtype;
}

impl Stored for f32 {
    const DTYPE: Dtype = Dtype::F32;
}

impl Stored for i64 {
    const DTYPE: Dtype = Dtype::I64;
}

/// The bytes of a file with one tensor in it.
pub(crate) fn bytes_of<T: Stored>(name: &str, shape: &[usize], values: &[T]) -> Result<Vec<u8>, String> {
    let tensor = TensorView::new(T::DTYPE, shape.to_vec(), bytemuck::cast_slice(values)).map_err(|e| e.to_string())?;
    safetensors::serialize([(name, tensor)], None).map_err(|e| e.to_string())
}
