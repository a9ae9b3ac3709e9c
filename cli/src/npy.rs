//! `.npy` arrays in and out.

use half::f16;
use npyz::{AutoSerialize, Deserialize, NpyFile, Order, Serialize, WriteOptions, WriterBuilder};
use std::io::Write;
use std::path::Path;
use wgpu_softmax::TargetIndex;

/// A caller's mistake, or the machine's.
#[derive(Debug)]
pub(crate) enum Failure {
    Caller(String),
    Machine(String),
}

/// An array in C order.
pub(crate) struct Array<T> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<T>,
}

/// A target as it was written: an error names it.
#[derive(Clone, Copy)]
pub(crate) struct Class(i128);

impl TargetIndex for Class {
    fn value(self) -> i128 {
        self.0
    }
}

pub(crate) enum Targets {
    /// One for each row.
    Classes(Array<Class>),
    /// One for each class of each row.
    Probabilities(Array<f32>),
}

/// A file that is what its header says.
struct File<'a> {
    path: &'a Path,
    bytes: Vec<u8>,
    shape: Vec<usize>,
    /// What its elements are, in numpy's words.
    kind: String,
}

impl File<'_> {
    fn caller(&self, message: &str) -> Failure {
        Failure::Caller(format!("{}: {message}", self.path.display()))
    }

    /// The elements, or `None` where they are of another type.
    fn values<T: Deserialize>(&self) -> Result<Option<Vec<T>>, Failure> {
        let what = |e: std::io::Error| self.caller(&e.to_string());
        match NpyFile::new(&self.bytes[..]).map_err(what)?.data::<T>() {
            Ok(reader) => Ok(Some(reader.collect::<Result<_, _>>().map_err(what)?)),
            Err(_) => Ok(None),
        }
    }

    fn floats(&self) -> Result<Option<Array<f32>>, Failure> {
        let values = if let Some(values) = self.values::<f32>()? {
            values
        } else if let Some(values) = self.values::<f16>()? {
            values.into_iter().map(f32::from).collect()
        } else if let Some(values) = self.values::<f64>()? {
            eprintln!("note: {} is f64 and was rounded to f32", self.path.display());
            values.into_iter().map(|v| v as f32).collect()
        } else {
            return Ok(None);
        };
        let shape = self.shape.clone();
        Ok(Some(Array { shape, values }))
    }
}

/// Reads a file and checks that it is what its header says, before anything is allocated for it.
fn open(path: &Path) -> Result<File<'_>, Failure> {
    let caller = |message: String| Failure::Caller(format!("{}: {message}", path.display()));
    let bytes = std::fs::read(path).map_err(|e| caller(e.to_string()))?;
    let mut rest = &bytes[..];
    let header = npyz::NpyHeader::from_reader(&mut rest).map_err(|e| caller(format!("no .npy array: {e}")))?;
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
    let kind = header.dtype().descr();
    Ok(File {
        path,
        bytes,
        shape,
        kind,
    })
}

/// Floats: f32 or f16, or f64, which is rounded to f32. `what` says what they are, for the message.
pub(crate) fn floats(path: &Path, what: &str) -> Result<Array<f32>, Failure> {
    let file = open(path)?;
    let must_be = |kind: &str| file.caller(&format!("{what} must be f32, f16 or f64, not {kind}"));
    file.floats()?.ok_or_else(|| must_be(&file.kind))
}

/// Targets: any integers, or floats.
pub(crate) fn targets(path: &Path) -> Result<Targets, Failure> {
    let file = open(path)?;
    macro_rules! first_of {
        ($($kind:ty)*) => {$(
            if let Some(values) = file.values::<$kind>()? {
                let values = values.into_iter().map(|v| Class(v.into())).collect();
                return Ok(Targets::Classes(Array { shape: file.shape, values }));
            }
        )*};
    }
    first_of!(i64 i32 u8 u32 i8 i16 u16 u64);
    let must_be = |kind: &str| file.caller(&format!("targets must be integers or floats, not {kind}"));
    let floats = file.floats()?.ok_or_else(|| must_be(&file.kind))?;
    Ok(Targets::Probabilities(floats))
}

/// An array for `path`, or for standard output where it is `-`, written beside its place: [`Output::publish`] puts it
/// there.
pub(crate) enum Output {
    File(tempfile::NamedTempFile, std::path::PathBuf),
    Standard(Vec<u8>),
}

impl Output {
    pub(crate) fn new<T: Serialize + AutoSerialize>(
        path: &Path,
        shape: &[usize],
        values: &[T],
    ) -> Result<Self, Failure> {
        let machine = |e: std::io::Error| Failure::Machine(format!("{}: {e}", path.display()));
        let mut bytes = Vec::new();
        let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
        let mut writer = WriteOptions::new()
            .default_dtype()
            .shape(&shape)
            .writer(&mut bytes)
            .begin_nd()
            .map_err(machine)?;
        writer.extend(values).map_err(machine)?;
        writer.finish().map_err(machine)?;
        if path == Path::new("-") {
            return Ok(Self::Standard(bytes));
        }
        let folder = path
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return Err(Failure::Caller(format!(
                "{}: there is no folder {}",
                path.display(),
                folder.display()
            )));
        }
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(machine)?;
        file.write_all(&bytes).map_err(machine)?;
        Ok(Self::File(file, path.to_path_buf()))
    }

    pub(crate) fn publish(self) -> Result<(), Failure> {
        match self {
            Self::Standard(bytes) => std::io::stdout()
                .write_all(&bytes)
                .map_err(|e| Failure::Machine(format!("standard output: {e}"))),
            Self::File(file, path) => {
                // Temporary files are private; results are not.
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt;
                    let open = std::fs::Permissions::from_mode(0o644);
                    file.as_file()
                        .set_permissions(open)
                        .map_err(|e| Failure::Machine(format!("{}: {e}", path.display())))?;
                }
                file.persist(&path)
                    .map(|_| ())
                    .map_err(|e| Failure::Machine(format!("{}: {}", path.display(), e.error)))
            }
        }
    }
}
