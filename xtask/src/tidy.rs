//! `cargo xtask tidy`: house rules that neither rustfmt nor clippy checks. It finds lines of 140 columns or more, long files, a
//! long README, and files that import each other in a circle. (The length of functions is clippy's `too_many_lines`.)

mod file;
mod imports;
mod lengths;
mod tokens;

use crate::report::Outcome;
use file::{File, Finding};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// The crates in which no circle of imports is allowed.
const CRATES: [&str; 6] = ["src", "burn/src", "cli/src", "mpi/src", "web/src", "xtask/src"];

pub(crate) fn run() -> Result<Outcome, String> {
    println!("== tidy");
    let start = Instant::now();
    let files = tracked_files()?;
    let mut findings: Vec<Finding> = files.iter().flat_map(lengths::check).collect();
    for folder in CRATES {
        findings.extend(imports::circles(folder, &files));
    }
    for finding in &findings {
        println!("{finding}");
    }
    println!("== tidy: {:.1} s, {} files", start.elapsed().as_secs_f64(), files.len());
    Ok(Outcome::new(None, findings.is_empty()))
}

/// The files that git tracks, of the kinds that are checked.
fn tracked_files() -> Result<Vec<File>, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(&root).output();
    let output = output.map_err(|e| format!("git could not be run: {e}"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        return Err(format!("git ls-files: {}", message.trim()));
    }
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&output.stdout).split_terminator('\0') {
        let mut file = File {
            path: path.into(),
            text: String::new(),
        };
        // A tracked file may have been deleted since.
        if file.has_extension(&lengths::KINDS) && root.join(path).exists() {
            file.text = std::fs::read_to_string(root.join(path)).map_err(|e| format!("{path}: {e}"))?;
            files.push(file);
        }
    }
    Ok(files)
}
