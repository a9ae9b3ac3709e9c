//! What is known of a compiled kernel.

use super::listing::Listing;
use std::io::{IsTerminal, Write};

/// All kernels, compiled for one GPU.
#[derive(Debug)]
pub(crate) struct Compilation {
    /// The compiler's name and version.
    pub(crate) compiler: String,
    /// In the order of the kernels.
    pub(crate) kernels: Vec<Compiled>,
}

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) listing: Listing,
    /// Registers of a lane.
    pub(crate) registers: f64,
    /// Registers, or bytes of them, that went to memory.
    pub(crate) spills: f64,
    /// Bytes of memory of its own that a lane needs.
    pub(crate) scratch: f64,
    /// Bytes of work-group memory.
    pub(crate) group_memory: f64,
    /// Subgroups that run at the same time on one of the GPU's units. NVIDIA's compiler does not say it.
    pub(crate) subgroups: Option<f64>,
}

/// On the terminal only, since a log has no use for it.
pub(crate) fn show_progress(target: &str, done: usize, all: usize) {
    let mut out = std::io::stderr();
    if out.is_terminal() {
        let end = if done == all { "\n" } else { "" };
        // A terminal that is gone misses nothing.
        let _ = write!(out, "\r{target}: {done} of {all} kernels{end}").and_then(|()| out.flush());
    }
}
