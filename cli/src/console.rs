//! Text for people and scripts, on standard output and standard error. `println!` and its like are not used in this crate:
//! they panic where nothing can be written.

use crate::failure::Failure;
use std::io::{ErrorKind, Write};

/// Writes text to standard output. A reader that closes it early, as `head` does, has seen enough: that is no error.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    match write(text.as_bytes()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(failure),
    }
}

/// Writes a line to standard output, as [`text`] does.
pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// Writes an array to standard output. A reader that closes it early is an error here, since part of an array is of no use.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes).map_err(failure)
}

/// Writes a line to standard error. If that fails, there is nowhere left to report it.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn failure(e: std::io::Error) -> Failure {
    Failure::Machine(format!("standard output: {e}"))
}

fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    // What is still buffered at exit is written there without a check, and an error would be lost.
    out.flush()
}
