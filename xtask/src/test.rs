//! `cargo xtask test`, and its step `compilers`.

use crate::adapters::{self, Adapter};
use crate::mutate::{self, Which};
use crate::report::{Counts, Outcome, Report};
use crate::run::{cargo, run, run_tagged};
use crate::{compilers, features, gpu_code, mpi, tidy, web};
use std::path::Path;

/// A step's name, and what cargo is called with.
type Steps = &'static [(&'static str, &'static [&'static str])];

/// Steps that do not depend on an adapter. These and the next have all features on: steps with different features would each
/// rebuild what the other has built.
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

/// Steps that run on each adapter.
const ON_EACH: Steps = &[
    ("tests", &["test", "--all-features", "--test", "*"]),
    ("documentation examples", &["test", "--all-features", "--doc"]),
];

/// The crate for Burn takes as long to build as everything else takes to test, so `--all` is needed for it.
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

/// Those tests that SwiftShader, which is slow, does in a few minutes.
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

/// Runs everything. `all` adds what takes minutes more.
pub(crate) fn run_all(all: bool) -> Result<(), String> {
    let adapters = adapters::find_or_install()?;
    let variants = compilers::folder()?;
    let mut report = Report::of("tidy", tidy::run());
    report.extend(once(ONCE, &variants));
    report.add("features", features::run());
    report.extend(compilers::check(&variants, all)?);
    let on_adapters = on_each(&adapters, all)?;
    let has_run = on_adapters.total().passed > 0;
    report.extend(on_adapters);
    report.add("mutate", mutate::run(if all { Which::All } else { Which::Sample }));
    if all {
        report.extend(once(BURN, &variants));
        let (name, outcome) = on_swiftshader();
        report.add(name, outcome);
        report.extend(gpu_code::check());
        report.extend(mpi::check());
        report.extend(web::check());
    } else {
        // What compiles here may not compile there.
        report.extend(web::check_clippy());
        println!(
            "not asked for: tests without subgroups on adapters that have them, DXC, all faults of xtask/mutations.txt, SwiftShader, \
             compilers of real GPUs, the crates for Burn, MPI and browsers, with cargo xtask test --all"
        );
    }
    let total = report.conclude();
    if has_run { total } else { Err("no GPU test ran".into()) }
}

/// `variants` is where a test of the library writes every variant of the kernels, for the compilers.
fn once(steps: Steps, variants: &Path) -> Report {
    let mut report = Report::default();
    for (name, arguments) in steps {
        let mut command = cargo(arguments);
        command
            .env("RUSTDOCFLAGS", "--deny warnings")
            .env("VARIANTS_FOLDER", variants);
        report.add(name, run(name, &mut command));
    }
    report
}

/// Runs the adapters' tests at the same time, since those of one adapter do not keep all cores busy.
/// Each fuzzes with cases of its own, a share of them all. Where one has no subgroups, the others leave to it what does without them,
/// unless `all` is asked for: that is half of their time.
fn on_each(adapters: &[Adapter], all: bool) -> Result<Report, String> {
    let has_plain = adapters.iter().any(|adapter| !adapter.has_subgroups);
    let on_one = |number: usize, adapter: &Adapter| -> Report {
        let share = [("FUZZ_SHARE", number), ("FUZZ_SHARES", adapters.len())].map(|(name, n)| (name, n.to_string()));
        let mut report = Report::default();
        for (name, arguments) in ON_EACH {
            let what = format!("{name}: {} ({})", adapter.name, adapter.backend);
            let tag = format!("{}: ", adapter.backend);
            let mut command = cargo(arguments);
            command.envs(adapter.environment()).envs(share.clone());
            if has_plain && adapter.has_subgroups && !all {
                command.env("SUBGROUPS_ALONE", "1");
            }
            let outcome = run_tagged(&what, &tag, &mut command);
            report.add(&what, outcome);
        }
        report
    };
    std::thread::scope(|scope| {
        let numbered = adapters.iter().enumerate();
        let threads: Vec<_> = numbered.map(|(i, a)| scope.spawn(move || on_one(i, a))).collect();
        let mut report = Report::default();
        for thread in threads {
            report.extend(thread.join().map_err(|_| "a run panicked")?);
        }
        Ok(report)
    })
}

fn on_swiftshader() -> (&'static str, Result<Outcome, String>) {
    let name = "tests: SwiftShader (vulkan)";
    let outcome = match adapters::swiftshader() {
        Ok(adapter) => run(name, cargo(ON_SWIFTSHADER).envs(adapter.environment())),
        Err(message) => {
            println!("{name}: not run: {message}");
            Ok(Outcome::Counted(Counts {
                skipped: 1,
                ..Counts::default()
            }))
        }
    };
    (name, outcome)
}

/// Writes every variant of the kernels, and gives them to every compiler.
pub(crate) fn compilers() -> Result<(), String> {
    let folder = compilers::folder()?;
    let mut write = cargo(&[
        "test",
        "--all-features",
        "--package",
        "wgpu-softmax",
        "--lib",
        "every_variant",
    ]);
    let name = "variants written";
    let mut report = Report::of(name, run(name, write.env("VARIANTS_FOLDER", &folder)));
    report.extend(compilers::check(&folder, true)?);
    report.conclude()
}
