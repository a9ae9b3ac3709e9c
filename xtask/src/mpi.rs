//! `cargo xtask mpi`: the crate for several GPUs over MPI, which is no member of the workspace because it needs MPI's headers.

use crate::report::{Counts, Outcome, Report};
use crate::run::{cargo, run};
use crate::tools::{apt, target};
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "mpi/Cargo.toml";
/// OpenMPI, and what rsmpi makes its bindings with.
const PACKAGES: [&str; 3] = ["openmpi-bin", "libopenmpi-dev", "libclang-dev"];

/// Each step's name, and what cargo is called with. The tests start themselves on 1, 2 and 4 ranks.
const STEPS: &[(&str, &[&str])] = &[
    ("MPI: formatting", &["fmt", "--check"]),
    ("MPI: clippy", &["clippy", "--all-targets", "--", "--deny", "warnings"]),
    ("MPI: documentation", &["doc", "--no-deps", "--quiet"]),
    ("MPI: tests", &["test"]),
];

/// The example's runs: how many ranks, and how many of them share a row.
const EXAMPLES: [(&str, &str); 4] = [("1", "1"), ("2", "2"), ("4", "4"), ("4", "2")];

/// Everything of the crate. Where MPI is missing and cannot be installed, that is said, and counted as skipped.
pub(crate) fn check() -> Report {
    if let Err(message) = find_or_install() {
        println!("MPI: not run: {message}");
        let skipped = Counts {
            skipped: 1,
            ..Counts::default()
        };
        return Report::of("MPI", Ok(Outcome::Counted(skipped)));
    }
    let mut report = Report::default();
    for (name, arguments) in STEPS {
        report.add(name, step(name, arguments));
    }
    report.add("MPI: example", example());
    report
}

/// As [`check`], where somebody has asked for nothing else.
pub(crate) fn run_alone() -> Result<(), String> {
    crate::adapters::find_or_install()?;
    find_or_install()?;
    check().conclude()
}

fn find_or_install() -> Result<(), String> {
    if is_here() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err("install an MPI with mpicc and mpirun (OpenMPI, MPICH), and libclang".into());
    }
    println!("No MPI was found: installing OpenMPI and libclang with apt-get.");
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], &PACKAGES[..]].concat())?;
    if is_here() {
        Ok(())
    } else {
        Err("OpenMPI is installed, but there is still no mpicc, mpirun or libclang".into())
    }
}

fn is_here() -> bool {
    let runs = |program: &str| {
        Command::new(program)
            .arg("--version")
            .output()
            .is_ok_and(|o| o.status.success())
    };
    runs("mpicc") && runs("mpirun") && has_libclang()
}

/// Where Debian and its relatives have it, or where the caller says.
fn has_libclang() -> bool {
    let in_llvm = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = in_llvm.map(|entry| entry.path().join("lib"));
    let folders = folders.chain(std::env::var_os("LIBCLANG_PATH").map(PathBuf::from));
    let folders = folders.chain(["/usr/lib64", "/usr/local/lib"].map(PathBuf::from));
    let is_libclang =
        |name: &str| name.starts_with("libclang.so") || name.starts_with("libclang-") || name == "libclang.dylib";
    let mut files = folders.filter_map(|folder| folder.read_dir().ok()).flatten().flatten();
    files.any(|file| is_libclang(&file.file_name().to_string_lossy()))
}

/// Cargo, for the crate. What is built goes beside what the workspace has built.
fn cargo_of_crate(arguments: &[&str]) -> Result<Command, String> {
    let (first, rest) = arguments.split_first().ok_or("no arguments")?;
    let mut command = cargo(&[first, "--manifest-path", MANIFEST]);
    command
        .args(rest)
        .env("CARGO_TARGET_DIR", target()?.join("mpi"))
        .env("RUSTDOCFLAGS", "--deny warnings");
    Ok(command)
}

fn step(name: &str, arguments: &[&str]) -> Result<Outcome, String> {
    run(name, &mut cargo_of_crate(arguments)?)
}

/// Trains on so many ranks, and compares the losses to the bit.
fn example() -> Result<Outcome, String> {
    let name = "MPI: example";
    let built = step(name, &["build", "--example", "classifier"])?;
    let program = target()?.join("mpi/debug/examples/classifier");
    let mut losses: Vec<String> = Vec::new();
    for (ranks, vocab_ranks) in EXAMPLES {
        println!("mpirun -n {ranks} {} {vocab_ranks}", program.display());
        let mut mpirun = Command::new("mpirun");
        mpirun.args(["-n", ranks]).arg(&program).arg(vocab_ranks);
        let output = with_open_mpi(&mut mpirun)
            .output()
            .map_err(|e| format!("mpirun: {e}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        println!("{text}");
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().into());
        }
        losses.push(text.lines().filter(|line| line.starts_with("step")).collect());
    }
    let are_equal = losses.iter().all(|other| !other.is_empty() && *other == losses[0]);
    println!("the losses are the same to the bit: {are_equal}");
    Ok(Outcome::new(None, built == Outcome::Ok && are_equal))
}

/// What OpenMPI asks for where all is root's, and where ranks are more than cores. Others take no notice.
fn with_open_mpi(command: &mut Command) -> &mut Command {
    let names = [
        "ALLOW_RUN_AS_ROOT",
        "ALLOW_RUN_AS_ROOT_CONFIRM",
        "MCA_rmaps_base_oversubscribe",
        "MCA_mpi_yield_when_idle",
    ];
    command.envs(names.map(|name| (format!("OMPI_{name}"), "1")))
}
