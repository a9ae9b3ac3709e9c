//! `cargo xtask demo`, `test` and `compilers`: everything from a fresh clone, the driver included.

mod compilers;
mod counts;
mod setup;
mod tools;

use counts::{Counts, run, run_beside};
use setup::Adapter;
use std::path::Path;
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

/// What runs once, whatever the adapter, what runs on each, and what `--all` adds: the crate for Burn, which takes as long to
/// build as all the rest to test. The others have every feature, each of them: else one would rebuild what another has built.
const ONCE: Steps = &[
    ("formatting", &["fmt", "--all", "--check"]),
    (
        "clippy",
        &["clippy", "--all-features", "--all-targets", "--", "--deny", "warnings"],
    ),
    (
        "documentation",
        &[
            "doc",
            "--all-features",
            "--package",
            "wgpu-softmax",
            "--no-deps",
            "--quiet",
        ],
    ),
    ("tests without a GPU", &["test", "--all-features", "--lib", "--bins"]),
];
const ON_EACH: Steps = &[
    ("tests", &["test", "--all-features", "--test", "*"]),
    ("documentation examples", &["test", "--all-features", "--doc"]),
];
const BURN: Steps = &[
    (
        "Burn: clippy",
        &[
            "clippy",
            "--package",
            "burn-wgpu-softmax",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ],
    ),
    (
        "Burn: documentation",
        &["doc", "--package", "burn-wgpu-softmax", "--no-deps", "--quiet"],
    ),
    ("Burn: tests", &["test", "--package", "burn-wgpu-softmax"]),
];
type Steps = &'static [(&'static str, &'static [&'static str])];
type Report = Vec<(String, Counts)>;

/// What SwiftShader is fast enough for.
const ON_SWIFTSHADER: &[&str] = &[
    "test",
    "--all-features",
    "--test",
    "conformance",
    "--test",
    "known_issues",
    "--test",
    "recorded",
];

/// `all`: what takes minutes more, too.
fn test(adapters: &[Adapter], all: bool) -> Result<(), String> {
    let variants = compilers::folder()?;
    let mut report = once(ONCE, &variants)?;
    report.extend(compilers::check(&variants, all)?);
    let on_adapters = on_each(adapters)?;
    let has_run = on_adapters.iter().any(|(_, counts)| counts.passed > 0);
    report.extend(on_adapters);
    if all {
        report.extend(once(BURN, &variants)?);
        report.push(on_swiftshader()?);
    } else {
        println!("not asked for: DXC, SwiftShader and the crate for Burn, with cargo xtask test --all");
    }
    let total = conclude(&report);
    if has_run { total } else { Err("no GPU test ran".into()) }
}

fn once(steps: Steps, variants: &Path) -> Result<Report, String> {
    let each = steps.iter().map(|(name, arguments)| {
        let mut command = cargo(arguments);
        command
            .env("RUSTDOCFLAGS", "--deny warnings")
            .env("VARIANTS_FOLDER", variants);
        Ok((name.to_string(), run(name, &mut command)?))
    });
    each.collect()
}

/// The adapters side by side: each has times when it leaves cores idle.
fn on_each(adapters: &[Adapter]) -> Result<Report, String> {
    let on_one = |adapter: &Adapter| -> Result<Report, String> {
        let steps = ON_EACH.iter().map(|(name, arguments)| {
            let what = format!("{name}: {} ({})", adapter.name, adapter.backend);
            let tag = format!("{}: ", adapter.backend);
            let counts = run_beside(&what, &tag, cargo(arguments).envs(adapter.environment()))?;
            Ok((what, counts))
        });
        steps.collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = adapters.iter().map(|a| scope.spawn(move || on_one(a))).collect();
        let reports = threads.into_iter().map(|t| t.join().map_err(|_| "a run panicked")?);
        let reports: Result<Vec<Report>, String> = reports.collect();
        Ok(reports?.into_iter().flatten().collect())
    })
}

fn on_swiftshader() -> Result<(String, Counts), String> {
    let what = "tests: SwiftShader (vulkan)";
    let counts = match setup::swiftshader() {
        Ok(adapter) => run(what, cargo(ON_SWIFTSHADER).envs(adapter.environment()))?,
        Err(message) => {
            println!("{what}: not run: {message}");
            Counts {
                skipped: 1,
                ..Counts::default()
            }
        }
    };
    Ok((what.into(), counts))
}

fn check_variants() -> Result<(), String> {
    let folder = compilers::folder()?;
    let mut write = cargo(&[
        "test",
        "--all-features",
        "--package",
        "wgpu-softmax",
        "--lib",
        "every_variant",
    ]);
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
