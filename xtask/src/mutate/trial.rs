//! Runs `verify`, or a test, with a fault in the shaders.

use super::list::{Killer, Mutation};
use crate::run::cargo;
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A process that has said nothing for so long hangs.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// What came of a fault.
pub(super) enum Verdict {
    /// By this check or test.
    Killed(String),
    Survived,
    /// No result of the fault can change, and none was looked for.
    NoFault(String),
}

/// A copy of `shaders/` with a fault in it, and the program that reads it.
pub(super) struct Trial<'a> {
    pub(super) program: &'a Path,
    pub(super) folder: PathBuf,
}

impl Trial<'_> {
    /// Tries one fault. An error is a fault of which nothing is known: its text is not there, a compiler refused it, or a
    /// process did not end.
    pub(super) fn run(&self, mutation: &Mutation) -> Result<Verdict, String> {
        let shaders = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shaders");
        copy(&shaders, &self.folder)?;
        let file = format!("{}.wgsl", mutation.file);
        let text = std::fs::read_to_string(shaders.join(&file)).map_err(|e| format!("shaders/{file}: {e}"))?;
        let applied = mutation.applied(&text)?;
        std::fs::write(self.folder.join(&file), applied).map_err(|e| format!("{file}: {e}"))?;
        match &mutation.killer {
            Killer::Verify(check) => self.verify(check),
            Killer::Test(words) => self.test(words),
            Killer::Nothing(reason) => Ok(Verdict::NoFault(reason.clone())),
        }
    }

    /// Runs `verify` until a case fails, or the named check has ended.
    fn verify(&self, check: &str) -> Result<Verdict, String> {
        let log = self.folder.with_extension("log");
        let errors = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let mut child = Command::new(self.program)
            .args(["--json", "verify", "--only", check])
            .env("WGPU_SOFTMAX_SHADERS", &self.folder)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.program.display()))?;
        let verdict = self.watch(&mut child, check);
        // It may still run. One that has ended already is no error.
        let _ = child.kill();
        let status = child.wait().map_err(|e| e.to_string())?;
        match verdict? {
            Some(verdict) => Ok(verdict),
            None if status.success() => Ok(Verdict::Survived),
            None => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                Err(format!(
                    "verify ended without a verdict ({status}): {}",
                    last_line(&said)
                ))
            }
        }
    }

    /// What the lines of `verify` say, or nothing if they end before.
    fn watch(&self, child: &mut Child, check: &str) -> Result<Option<Verdict>, String> {
        let output = child.stdout.take().ok_or("verify has no output")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let start = Instant::now();
        loop {
            match lines.recv_timeout(TIME_LIMIT.saturating_sub(start.elapsed())) {
                Ok(line) => {
                    if let Some(verdict) = verdict_of(&line, check)? {
                        return Ok(Some(verdict));
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(None),
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    return Err(format!("verify had not ended after {} s", TIME_LIMIT.as_secs()));
                }
            }
        }
    }

    /// Runs a test.
    fn test(&self, words: &str) -> Result<Verdict, String> {
        let mut command = cargo(&["test", "--all-features", "--test"]);
        let output = command
            .args(words.split_whitespace())
            .env("WGPU_SOFTMAX_SHADERS", &self.folder)
            .output()
            .map_err(|e| format!("cargo test: {e}"))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        if said.contains(REFUSED) {
            return Err("the driver refused a kernel, which proves nothing".into());
        }
        let has_failed = said.contains("test result: FAILED");
        match output.status.success() {
            true => Ok(Verdict::Survived),
            false if has_failed => Ok(Verdict::Killed(format!("cargo test --test {words}"))),
            false => Err(format!("cargo test --test {words}: {}", last_line(&said))),
        }
    }
}

/// How the library begins the message of a kernel that does not compile.
const REFUSED: &str = "refused kernel";

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

/// What one line of `verify --json` says of the fault, if it decides.
fn verdict_of(line: &str, check: &str) -> Result<Option<Verdict>, String> {
    let line: Value = serde_json::from_str(line).map_err(|e| format!("verify printed {line:?}: {e}"))?;
    let name = line["check"].as_str().unwrap_or_default();
    let failed = line["failed"].as_u64().ok_or("verify says nothing of failed cases")?;
    Ok(match failed {
        0 if name == check => Some(Verdict::Survived),
        0 => None,
        _ => Some(Verdict::Killed(name.into())),
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let fail = |e: std::io::Error| format!("{}: {e}", to.display());
    std::fs::create_dir_all(to).map_err(fail)?;
    for entry in std::fs::read_dir(from).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).map_err(fail)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(line: &str, check: &str) -> String {
        match verdict_of(line, check) {
            Ok(Some(Verdict::Killed(by))) => format!("killed by {by}"),
            Ok(Some(Verdict::Survived)) => "survived".into(),
            Ok(Some(Verdict::NoFault(_))) | Ok(None) => "goes on".into(),
            Err(message) => message,
        }
    }

    #[test]
    fn a_failed_case_kills_and_the_named_check_ends_it() {
        let line = |name, failed| format!(r#"{{"check": "{name}", "cases": 4, "failed": {failed}}}"#);
        assert_eq!(says(&line("softmax/f32", 2), "softmax/f32"), "killed by softmax/f32");
        assert_eq!(
            says(&line("log_softmax/f32", 1), "softmax/f32"),
            "killed by log_softmax/f32"
        );
        assert_eq!(says(&line("softmax/f32", 0), "softmax/f32"), "survived");
        assert_eq!(says(&line("log_softmax/f32", 0), "softmax/f32"), "goes on");
        assert_eq!(says(&line("parts", 0), ""), "goes on");
        assert!(says("no JSON", "").contains("verify printed"));
        assert!(says("{}", "").contains("nothing of failed cases"));
    }
}
