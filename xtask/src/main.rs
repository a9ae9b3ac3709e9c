//! `cargo xtask demo` and `cargo xtask test`: everything from a fresh clone, the driver included.

mod setup;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

const USAGE: &str = "usage: cargo xtask demo | cargo xtask test";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["demo"] => setup::adapters().and_then(|_| demo()),
        ["test"] => setup::adapters().and_then(|adapters| test(&adapters)),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn cargo(arguments: &[&str], backend: Option<&str>) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(arguments).envs(setup::environment());
    if let Some(backend) = backend {
        command.env("WGPU_BACKEND", backend);
    }
    command
}

fn demo() -> Result<(), String> {
    let status = cargo(&["run", "--example", "digits"], None)
        .status()
        .map_err(|e| e.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err("the demo failed".into())
    }
}

/// What runs once, whatever the adapter, and what runs on each.
const ONCE: &[(&str, &[&str])] = &[
    ("formatting", &["fmt", "--all", "--check"]),
    (
        "clippy",
        &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
    ),
    (
        "documentation",
        &["doc", "--package", "wgpu-softmax", "--no-deps", "--quiet"],
    ),
    ("tests without a GPU", &["test", "--workspace", "--lib", "--bins"]),
];
const ON_EACH: &[(&str, &[&str])] = &[
    ("tests", &["test", "--workspace", "--test", "*"]),
    ("documentation examples", &["test", "--workspace", "--doc"]),
];

fn test(adapters: &[setup::Adapter]) -> Result<(), String> {
    let mut report = Vec::new();
    for (name, arguments) in ONCE {
        let counts = run(name, cargo(arguments, None).env("RUSTDOCFLAGS", "--deny warnings"))?;
        report.push((format!("{name}: no adapter"), counts));
    }
    for adapter in adapters {
        for (name, arguments) in ON_EACH {
            let what = format!("{name}: {} ({})", adapter.name, adapter.backend);
            let mut command = cargo(arguments, Some(adapter.backend));
            if adapter.backend == "gl" {
                // wgpu has one OpenGL context for all threads, and panics in one that waits 6 s for it. The library's own
                // calls take turns; what the tests themselves submit and wait for does not.
                command.env("RUST_TEST_THREADS", "1");
            }
            let counts = run(&what, &mut command)?;
            report.push((what, counts));
        }
    }
    println!();
    let mut total = Counts::default();
    let mut on_gpu = 0;
    for (what, counts) in &report {
        println!(
            "{what}: {} passed, {} failed, {} skipped",
            counts.passed, counts.failed, counts.skipped
        );
        total.add(counts);
        on_gpu += if what.ends_with("no adapter") { 0 } else { counts.passed };
    }
    println!(
        "{} passed, {} failed, {} skipped",
        total.passed, total.failed, total.skipped
    );
    if on_gpu == 0 {
        return Err("no GPU test ran".into());
    }
    if total.failed > 0 {
        Err(format!("{} failed", total.failed))
    } else {
        Ok(())
    }
}

#[derive(Default)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    fn add(&mut self, other: &Self) {
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

/// Runs a command, passes its output on, and counts the tests in it. A step that fails for another reason than a test
/// counts as one failure.
fn run(name: &str, command: &mut Command) -> Result<Counts, String> {
    println!("== {name}");
    let fail = |e: std::io::Error| format!("{name}: {e}");
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(fail)?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.map_err(fail)?;
            println!("{line}");
            counts.read(&line);
        }
    }
    std::io::stdout().flush().map_err(fail)?;
    if !child.wait().map_err(fail)?.success() && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}
