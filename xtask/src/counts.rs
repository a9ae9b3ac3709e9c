//! Commands run, and the tests in their output counted.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
    fn read(&mut self, line: &str) {
        let Some(line) = line.strip_prefix("test result: ") else {
            return;
        };
        let number = |word: &str| {
            let before = line.split(word).next().and_then(|text| text.split_whitespace().last());
            before.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        self.passed += number(" passed");
        self.failed += number(" failed");
        self.skipped += number(" ignored");
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Runs a command, passes its output on, and counts the tests in it. A step that fails for another reason than a test
/// counts as one failure.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<Counts, String> {
    run_beside(name, "", command)
}

/// As [`run`], beside others: each line of output has a `tag` before it.
pub(crate) fn run_beside(name: &str, tag: &str, command: &mut Command) -> Result<Counts, String> {
    println!("== {name}");
    let start = Instant::now();
    let fail = |e: std::io::Error| format!("{name}: {e}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(fail)?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(fail)?;
            println!("{tag}{line}");
            counts.read(&line);
        }
    }
    std::io::stdout().flush().map_err(fail)?;
    if !child.wait().map_err(fail)?.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(counts)
}
