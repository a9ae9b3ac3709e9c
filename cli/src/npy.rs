//! `.npy` arrays in and out.

use half::f16;
use npyz::{AutoSerialize, NpyFile, Order, Serialize, WriteOptions, WriterBuilder};
use std::io::Write;
use std::path::Path;

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

/// The values of a file whose elements are of type `$kind`, or `None`.
macro_rules! values {
    ($bytes:expr, $what:expr, $kind:ty) => {
        match NpyFile::new($bytes).map_err($what)?.data::<$kind>() {
            Ok(reader) => Some(reader.collect::<Result<Vec<$kind>, _>>().map_err($what)?),
            Err(_) => None,
        }
    };
}

/// Reads a file and checks that it is what its header says, before anything is allocated for it.
fn open(path: &Path) -> Result<(Vec<u8>, Vec<usize>), Failure> {
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
    Ok((bytes, shape))
}

/// Logits: f32 or f16, or f64, which is rounded to f32.
pub(crate) fn logits(path: &Path) -> Result<Array<f32>, Failure> {
    let (bytes, shape) = open(path)?;
    let what = |e: std::io::Error| Failure::Caller(format!("{}: {e}", path.display()));
    let values = if let Some(values) = values!(&bytes[..], what, f32) {
        values
    } else if let Some(values) = values!(&bytes[..], what, f16) {
        values.into_iter().map(f32::from).collect()
    } else if let Some(values) = values!(&bytes[..], what, f64) {
        eprintln!("note: {} is f64 and was rounded to f32", path.display());
        values.into_iter().map(|v| v as f32).collect()
    } else {
        return Err(Failure::Caller(format!(
            "{}: logits must be f32, f16 or f64",
            path.display()
        )));
    };
    Ok(Array { shape, values })
}

/// Targets: any integers.
pub(crate) fn targets(path: &Path) -> Result<Array<i64>, Failure> {
    let (bytes, shape) = open(path)?;
    let what = |e: std::io::Error| Failure::Caller(format!("{}: {e}", path.display()));
    macro_rules! first_of {
        ($($kind:ty)*) => {$(
            if let Some(values) = values!(&bytes[..], what, $kind) {
                // What an i64 cannot hold names no class.
                let values = values.into_iter().map(|v| i64::try_from(v).unwrap_or(i64::MAX)).collect();
                return Ok(Array { shape, values });
            }
        )*};
    }
    first_of!(i64 i32 u8 u32 i8 i16 u16 u64);
    Err(Failure::Caller(format!("{}: targets must be integers", path.display())))
}

/// An array for `path`, or for standard output where it is `-`, written beside its place: [`Output::publish`] puts it there.
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
