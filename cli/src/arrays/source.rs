//! The bytes that an array is read from, and what they are if they are no array.

use crate::failure::Failure;
use std::io::Read;
use std::path::Path;

/// The names of standard input.
const STANDARD: [&str; 4] = ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

pub(crate) fn is_standard_input(path: &Path) -> bool {
    STANDARD.iter().any(|name| path == Path::new(name))
}

/// The mistake of a caller about what he gave, which the message begins with.
pub(crate) fn refused(path: &Path, message: &str) -> Failure {
    if path == Path::new(STANDARD[0]) {
        return Failure::Caller(format!("standard input: {message}"));
    }
    Failure::Caller(format!("{}: {message}", path.display()))
}

/// All bytes of a file, or of standard input.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = if path == Path::new(STANDARD[0]) {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(path)
    };
    bytes.map_err(|e| refused(path, &e.to_string()))
}

const MEMBER: &str = ".npy";

/// The name of the first file of a zip archive.
fn first_of_archive(bytes: &[u8]) -> Option<String> {
    let length = u16::from_le_bytes([*bytes.get(26)?, *bytes.get(27)?]);
    let name = bytes.get(30..30 + usize::from(length))?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// Says what bytes are that begin as another format than the expected one does, and what to do about it. Nothing if they may
/// be a damaged array.
pub(super) fn other_format(bytes: &[u8], expected: &str) -> Option<String> {
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return Some(match first_of_archive(bytes) {
            Some(name) if name.ends_with(MEMBER) => {
                let name: String = name.trim_end_matches(MEMBER).chars().take(60).collect();
                format!("it is a .npz archive: save one of its arrays alone, numpy.save(\"x.npy\", archive[{name:?}])")
            }
            Some(name) if name.ends_with("data.pkl") => {
                "it is a file of PyTorch: save the tensor with numpy.save(\"x.npy\", tensor.numpy())".into()
            }
            _ => "it is a zip archive".into(),
        });
    }
    let is_npy = bytes.starts_with(b"\x93NUMPY");
    let begins = |with: &[u8]| bytes.starts_with(with);
    let known = if bytes.is_empty() {
        "it is empty"
    } else if is_npy && expected != MEMBER {
        "it is a .npy array: give the file a name that ends in .npy"
    } else if begins(b"\x1f\x8b") {
        "it is compressed with gzip: decompress it first"
    } else if begins(b"\x89HDF") {
        "it is an HDF5 file"
    } else if begins(b"\x80") && bytes.get(1).is_some_and(|version| (2..=5).contains(version)) {
        "it is a pickle of Python: save the array with numpy.save"
    } else if bytes.get(8..10) == Some(b"{\"") && expected == MEMBER {
        "it is a .safetensors file: give it a name that ends in .safetensors"
    } else {
        let beginning = &bytes[..bytes.len().min(512)];
        let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t') || *byte >= 0x80;
        // A letter outside ASCII may be cut off at the end.
        let is_utf8 = std::str::from_utf8(beginning).map_or_else(|e| e.error_len().is_none(), |_| true);
        if !is_utf8 || !beginning.iter().all(is_text) {
            return None;
        }
        "it is text: read it with numpy.loadtxt and save it with numpy.save"
    };
    Some(known.into())
}
