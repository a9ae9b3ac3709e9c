//! Text to people and scripts. Macros that print would panic where nothing can be written.

use crate::arrays::Failure;
use std::io::{ErrorKind, Write};

/// On standard output. A reader that has gone has seen enough.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    match write(text.as_bytes()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(unwritten),
    }
}

pub(crate) fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// An array on standard output, which is of no use in part.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    write(bytes).map_err(unwritten)
}

/// A line on standard error; where that fails there is nobody to tell.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn unwritten(e: std::io::Error) -> Failure {
    Failure::Machine(format!("standard output: {e}"))
}

fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    // At exit an error would be lost.
    out.flush()
}
