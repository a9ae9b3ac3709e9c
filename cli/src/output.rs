//! Writes arrays, as `.npy` or `.safetensors`. An output appears whole or not at all: it is written to a temporary file in
//! the same folder, which is renamed once all results are there.

use crate::arrays::{SafetensorsPlace, SafetensorsType, file_of, is_standard_input, safetensors_of};
use crate::console;
use crate::failure::Failure;
use npyz::{AutoSerialize, Serialize, WriteOptions, WriterBuilder};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// The names of standard output. It is never opened by its name: where it is redirected to a file, that would truncate the
/// file.
const STANDARD: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

fn is_standard(path: &Path) -> bool {
    STANDARD.iter().any(|name| path == Path::new(name))
}

/// What the argument of `-o`, `--loss` and the like names.
#[derive(PartialEq)]
enum Place {
    Standard,
    /// A file, which may not exist yet, in a folder that does. Links have been followed.
    File(PathBuf),
    /// A device or a pipe. It is written to, since a rename would replace it by a file.
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
            // An anonymous pipe, such as /dev/fd/3 may be, has no real path.
            Ok(_) => Ok(Self::Stream(real().unwrap_or_else(|_| path.into()))),
            Err(e) if e.kind() == ErrorKind::NotFound => Self::new_file(path),
            Err(e) => Err(caller(path, &e.to_string())),
        }
    }

    /// A path at which nothing exists.
    fn new_file(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // A link whose target does not exist yet: the target is what will be created.
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

/// Creates a temporary file in the folder of `place`, so that it can be renamed to `place`.
fn temporary_beside(place: &Path) -> Result<NamedTempFile, Failure> {
    use ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    let folder = place.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // A new file can be read by whom the umask lets read it, which the system takes off here. One that will replace another
    // has its mode in the end, and until then is its owner's alone: the other may be.
    #[cfg(unix)]
    if !place.exists() {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder).map_err(|e| {
        // The error ends with the temporary file's name, which nobody has given.
        let text = e.to_string();
        let message = text.split(" at path ").next().unwrap_or(&text);
        match e.kind() {
            NotFound | PermissionDenied | ReadOnlyFilesystem => caller(place, message),
            _ => machine(place, &std::io::Error::new(e.kind(), message)),
        }
    })
}

/// Gives a file the mode of the one that it will replace.
#[cfg(unix)]
fn keep_mode(file: &NamedTempFile, place: &Path) -> std::io::Result<()> {
    match std::fs::metadata(place) {
        Ok(old) => file.as_file().set_permissions(old.permissions()),
        Err(_) => Ok(()),
    }
}

#[cfg(not(unix))]
fn keep_mode(_: &NamedTempFile, _: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Checks before anything is computed that each output can be written, and that no two go to the same place.
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
            drop(temporary_beside(place)?);
        }
        places.push((flag, place));
    }
    Ok(())
}

/// Checks that standard input is read once, and that no output replaces a file that is read.
/// Both are lists of flags and what was given to them.
pub(crate) fn check_inputs(
    ins: &[(&'static str, &Path)],
    outs: &[(&'static str, Option<&Path>)],
) -> Result<(), Failure> {
    let mut piped = ins.iter().filter(|(_, path)| is_standard_input(path));
    if let (Some((one, _)), Some((other, _))) = (piped.next(), piped.next()) {
        return Err(Failure::Caller(format!(
            "{one} and {other} cannot both be standard input: give one of them as a file"
        )));
    }
    for &(flag, path) in outs {
        let Some(path) = path else {
            continue;
        };
        let Place::File(place) = Place::of(path)? else {
            continue;
        };
        let is_it = |input: &Path| file_of(input).canonicalize().is_ok_and(|file| file == place);
        if let Some((input, _)) = ins.iter().find(|(_, input)| is_it(input)) {
            return Err(caller(
                path,
                &format!("{flag} would replace what {input} reads: give the output another name"),
            ));
        }
    }
    Ok(())
}

/// A whole array that has been encoded, and written as far as possible without anybody seeing it.
pub(crate) enum Output {
    Standard(Vec<u8>),
    Stream(Vec<u8>, PathBuf),
    File(NamedTempFile, PathBuf),
}

impl Output {
    /// Encodes an array in the format that the file's name asks for. `name` becomes the tensor's name in `.safetensors`.
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
                let mut file = temporary_beside(&place)?;
                // Not by the temporary file's own `write_all`, whose errors have its name.
                file.as_file_mut().write_all(&bytes).map_err(machine)?;
                Self::File(file, place)
            }
        })
    }

    fn publish(self) -> Result<(), Failure> {
        match self {
            Self::Standard(bytes) => console::bytes(&bytes),
            Self::Stream(bytes, place) => {
                let opened = std::fs::OpenOptions::new().write(true).open(&place);
                opened
                    .and_then(|mut stream| stream.write_all(&bytes))
                    .map_err(|e| machine(&place, &e))
            }
            Self::File(file, place) => {
                keep_mode(&file, &place).map_err(|e| machine(&place, &e))?;
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

/// Prints a line on standard output, or on standard error if an array has been written to standard output.
pub(crate) fn print_beside(outs: &[(&'static str, Option<&Path>)], line: &str) -> Result<(), Failure> {
    if outs.iter().any(|(_, path)| path.is_some_and(is_standard)) {
        console::note(line);
        Ok(())
    } else {
        console::line(line)
    }
}

/// Makes all outputs visible. Renaming a file hardly ever fails, so files come last: if a pipe fails before them, no file
/// has appeared.
pub(crate) fn publish(mut outputs: Vec<Output>) -> Result<(), Failure> {
    outputs.sort_by_key(|output| matches!(output, Output::File(..)));
    outputs.into_iter().try_for_each(Output::publish)
}
