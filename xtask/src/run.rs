//! Runs commands, passes their output on, and counts the tests in it.

use crate::report::{Counts, Outcome};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Cargo, the one that runs this program if there is one.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a command. Its outcome has the tests that its output reports, if it reports any.
pub(crate) fn run(name: &str, command: &mut Command) -> Result<Outcome, String> {
    run_tagged(name, "", command)
}

/// As [`run`], for commands that run at the same time: `tag` is put before each line of output.
pub(crate) fn run_tagged(name: &str, tag: &str, command: &mut Command) -> Result<Outcome, String> {
    println!("== {name}");
    let start = Instant::now();
    let fail = |e: std::io::Error| format!("{name}: {e}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(fail)?;
    let mut sums: Option<Counts> = None;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(fail)?;
            println!("{tag}{line}");
            if let Some(counts) = Counts::parse(&line) {
                sums.get_or_insert_default().add(counts);
            }
        }
    }
    std::io::stdout().flush().map_err(fail)?;
    let succeeded = child.wait().map_err(fail)?.success();
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(Outcome::new(sums, succeeded))
}
