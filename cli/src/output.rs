//! Arrays out, as `.npy` or `.safetensors`.

use crate::arrays::{Failure, SafetensorsPlace, SafetensorsType, safetensors_of};
use crate::say;
use npyz::{AutoSerialize, Serialize, WriteOptions, WriterBuilder};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The words for standard output. Under its other names, too, it is not to be opened anew: that would begin a file that
/// it is redirected to again.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

pub(crate) fn is_standard(path: &Path) -> bool {
    STANDARD.iter().any(|name| path == Path::new(name))
}

/// What an OUT names.
#[derive(PartialEq)]
enum Place {
    Standard,
    /// A file in a folder that is there, or will be one; no link.
    File(PathBuf),
    /// A device or a pipe, which a file must not replace.
    Stream(PathBuf),
}

fn caller(path: &Path, message: &str) -> Failure {
    Failure::Caller(format!("{}: {message}", path.display()))
}

fn machine(path: &Path, error: &std::io::Error) -> Failure {
    Failure::Machine(format!("{}: {error}", path.display()))
}

impl Place {
    fn of(path: &Path) -> Result<Self, Failure> {
        if is_standard(path) {
            return Ok(Self::Standard);
        }
        if SafetensorsPlace::of(path).is_some_and(|place| place.name.is_some()) {
            return Err(caller(
                path,
                "a tensor that is written is named after what it is: leave the name off",
            ));
        }
        let real = || path.canonicalize();
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Err(caller(path, "it is a folder, not a file")),
            Ok(there) if there.is_file() => Ok(Self::File(real().map_err(|e| machine(path, &e))?)),
            // A pipe without a name has no real path.
            Ok(_) => Ok(Self::Stream(real().unwrap_or_else(|_| path.into()))),
            Err(e) if e.kind() == ErrorKind::NotFound => Self::new_file(path),
            Err(e) => Err(caller(path, &e.to_string())),
        }
    }

    fn new_file(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // A link to what is not there yet.
        if let Ok(target) = path.read_link() {
            return Self::of(&folder.join(target));
        }
        let is_folder = path.to_string_lossy().ends_with(std::path::is_separator);
        let (Some(name), false) = (path.file_name(), is_folder) else {
            return Err(caller(path, "it is no file's name"));
        };
        let real = folder.canonicalize().ok().filter(|f| f.is_dir());
        let no_folder = || caller(path, &format!("there is no folder {}", folder.display()));
        Ok(Self::File(real.ok_or_else(no_folder)?.join(name)))
    }
}

/// A file beside its place, which it is to be renamed to.
fn beside(place: &Path) -> Result<NamedTempFile, Failure> {
    use ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    let folder = place.parent().unwrap_or(Path::new("."));
    NamedTempFile::new_in(folder).map_err(|e| match e.kind() {
        NotFound | PermissionDenied | ReadOnlyFilesystem => caller(place, &e.to_string()),
        _ => machine(place, &e),
    })
}

/// Checks flags' outputs before anything is computed for them.
pub(crate) fn check(outs: &[(&'static str, Option<&Path>)]) -> Result<(), Failure> {
    let mut places: Vec<(&str, Place)> = Vec::new();
    for &(flag, path) in outs {
        let Some(path) = path else {
            continue;
        };
        let place = Place::of(path)?;
        if let Some((other, _)) = places.iter().find(|(_, p)| *p == place) {
            return Err(caller(path, &format!("{other} and {flag} cannot go to one place")));
        }
        if let Place::File(place) = &place {
            drop(beside(place)?);
        }
        places.push((flag, place));
    }
    Ok(())
}

/// An array, whole, on its way to its place.
pub(crate) enum Output {
    Standard(Vec<u8>),
    Stream(Vec<u8>, PathBuf),
    File(NamedTempFile, PathBuf),
}

impl Output {
    /// `name` is that of the tensor, where the file is to have names.
    pub(crate) fn new<T: Serialize + AutoSerialize + SafetensorsType>(
        path: &Path,
        name: &str,
        shape: &[usize],
        values: &[T],
    ) -> Result<Self, Failure> {
        let machine = |e: std::io::Error| machine(path, &e);
        let bytes = match SafetensorsPlace::of(path) {
            Some(_) => safetensors_of(name, shape, values).map_err(|e| machine(std::io::Error::other(e)))?,
            None => npy(shape, values).map_err(machine)?,
        };
        Self::of_bytes(path, bytes)
    }

    pub(crate) fn of_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self, Failure> {
        let machine = |e: std::io::Error| machine(path, &e);
        Ok(match Place::of(path)? {
            Place::Standard => Self::Standard(bytes),
            Place::Stream(place) => Self::Stream(bytes, place),
            Place::File(place) => {
                let mut file = beside(&place)?;
                file.write_all(&bytes).map_err(machine)?;
                Self::File(file, place)
            }
        })
    }

    fn publish(self) -> Result<(), Failure> {
        match self {
            Self::Standard(bytes) => say::bytes(&bytes),
            Self::Stream(bytes, place) => {
                let opened = std::fs::OpenOptions::new().write(true).open(&place);
                opened
                    .and_then(|mut stream| stream.write_all(&bytes))
                    .map_err(|e| machine(&place, &e))
            }
            Self::File(file, place) => {
                // Temporary files are private; results are not.
                #[cfg(unix)]
                {
                    use std::os::unix::fs::PermissionsExt;
                    let open = std::fs::Permissions::from_mode(0o644);
                    file.as_file().set_permissions(open).map_err(|e| machine(&place, &e))?;
                }
                file.persist(&place).map(|_| ()).map_err(|e| machine(&place, &e.error))
            }
        }
    }
}

fn npy<T: Serialize + AutoSerialize>(shape: &[usize], values: &[T]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    let mut writer = WriteOptions::new()
        .default_dtype()
        .shape(&shape)
        .writer(&mut bytes)
        .begin_nd()?;
    writer.extend(values)?;
    writer.finish()?;
    Ok(bytes)
}

/// Puts outputs in their places: files last, as they are the least likely to fail.
pub(crate) fn publish(mut outputs: Vec<Output>) -> Result<(), Failure> {
    outputs.sort_by_key(|output| matches!(output, Output::File(..)));
    outputs.into_iter().try_for_each(Output::publish)
}
