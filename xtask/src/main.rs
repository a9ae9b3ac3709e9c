//! `cargo xtask demo`, `test` and `compilers`: everything from a fresh clone, the driver included.

mod compilers;
mod counts;
mod setup;
mod tools;

use counts::{Counts, run};
use setup::Adapter;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask demo | cargo xtask test [--all] | cargo xtask compilers";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["compilers"] => check_variants(),
        ["demo"] => setup::adapters().and_then(|_| demo()),
        ["test"] => setup::adapters().and_then(|adapters| test(&adapters, false)),
        ["test", "--all"] => setup::adapters().and_then(|adapters| test(&adapters, true)),
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

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(arguments).envs(setup::environment());
    command
}

fn demo() -> Result<(), String> {
    let status = cargo(&["run", "--example", "digits"])
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

/// What SwiftShader is fast enough for, with small cases.
const ON_SWIFTSHADER: &[&str] = &[
    "test",
    "--test",
    "conformance",
    "--test",
    "known_issues",
    "--",
    "--skip",
    TOO_LONG,
];
/// After nine minutes there it had taken 23 GB of memory, and was not done.
const TOO_LONG: &str = "every_schedule_gives_the_same_bits";

/// `all`: what takes minutes more, too.
fn test(adapters: &[Adapter], all: bool) -> Result<(), String> {
    let variants = compilers::folder()?;
    let mut report = Vec::new();
    for (name, arguments) in ONCE {
        let mut command = cargo(arguments);
        command
            .env("RUSTDOCFLAGS", "--deny warnings")
            .env("VARIANTS_FOLDER", &variants);
        report.push((name.to_string(), run(name, &mut command)?));
    }
    report.extend(compilers::check(&variants, all)?);
    let before = report.len();
    for adapter in adapters {
        for (name, arguments) in ON_EACH {
            let what = format!("{name}: {} ({})", adapter.name, adapter.backend);
            let counts = run(&what, cargo(arguments).envs(adapter.environment()))?;
            report.push((what, counts));
        }
    }
    if all {
        let what = "small cases: SwiftShader (vulkan)";
        let counts = match setup::swiftshader() {
            Ok(adapter) => {
                let mut command = cargo(ON_SWIFTSHADER);
                let mut counts = run(what, command.envs(adapter.environment()).env("SMALL_CASES", "1"))?;
                println!("{what}: not run: {TOO_LONG}");
                counts.skipped += 1;
                counts
            }
            Err(message) => {
                println!("{what}: not run: {message}");
                Counts {
                    skipped: 1,
                    ..Counts::default()
                }
            }
        };
        report.push((what.into(), counts));
    }
    if !all {
        println!("not asked for: DXC and SwiftShader, with cargo xtask test --all");
    }
    let total = conclude(&report);
    if report[before..].iter().all(|(_, counts)| counts.passed == 0) {
        return Err("no GPU test ran".into());
    }
    total
}

fn check_variants() -> Result<(), String> {
    let folder = compilers::folder()?;
    let mut write = cargo(&["test", "--package", "wgpu-softmax", "--lib", "every_variant"]);
    let what = "variants written";
    let mut report = vec![(what.into(), run(what, write.env("VARIANTS_FOLDER", &folder))?)];
    report.extend(compilers::check(&folder, true)?);
    conclude(&report)
}

fn conclude(report: &[(String, Counts)]) -> Result<(), String> {
    println!();
    let mut total = Counts::default();
    for (what, counts) in report {
        println!("{what}: {counts}");
        total.add(counts);
    }
    println!("{total}");
    if total.failed > 0 {
        Err(format!("{} failed", total.failed))
    } else {
        Ok(())
    }
}
