//! `cargo xtask gpu-code`: what the compilers of real GPUs make of the kernels. No GPU is needed, since nothing is run: the
//! numbers are instructions, not times.

mod amd;
mod committed;
mod compiled;
mod cuda;
mod driver;
mod figures;
mod kernels;
mod listing;
mod nvidia;
mod radv;
mod sass;
mod table;
mod target;

pub(crate) use driver::run as run_driver;
pub(crate) use radv::SUBCOMMAND as DRIVER_SUBCOMMAND;

use crate::report::{Counts, Outcome, Report};
use crate::tools;
use committed::Committed;
use compiled::Compilation;
use figures::Figure;
use kernels::Kernel;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::time::Instant;
use table::Results;
use target::Target;

/// The GPUs for which numbers are committed.
const DEFAULT: [&str; 2] = ["navi21", "sm_90"];

/// How results are given.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Table,
    Json,
    /// Into the file of committed numbers too.
    Write,
}

/// Compiles for the GPUs that `words` name, after an option.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let (form, names) = match words {
        ["--json", names @ ..] => (Form::Json, names),
        ["--write", names @ ..] => (Form::Write, names),
        names => (Form::Table, names),
    };
    let names = if names.is_empty() { &DEFAULT[..] } else { names };
    let (folder, kernels) = kernels()?;
    let mut committed = Committed::read()?;
    let (mut json, mut missing) = (Map::new(), 0);
    for name in names {
        let target = match Target::find(name) {
            Ok(target) => target,
            Err(message) => {
                eprintln!("{name}: not compiled for: {message}");
                missing += 1;
                continue;
            }
        };
        let (compilation, figures) = compile(&target, &folder, &kernels)?;
        let results = Results {
            target: &target,
            kernels: &kernels,
            compilation: &compilation,
            figures: &figures,
        };
        if form == Form::Json {
            json.insert((*name).into(), results.to_json());
        } else {
            results.print();
        }
        committed.set(name, &figures);
    }
    match form {
        Form::Table => {}
        Form::Json => println!("{:#}", Value::Object(json)),
        Form::Write => committed.write()?,
    }
    match missing {
        0 => Ok(()),
        _ => Err(format!("{missing} of {} compilers could not be had", names.len())),
    }
}

/// Compares with the committed numbers; no kernel may spill. A compiler that cannot be had is said, and its kernels are
/// counted as skipped.
pub(crate) fn check() -> Report {
    let written = kernels().and_then(|kernels| Ok((kernels, Committed::read()?)));
    let ((folder, kernels), committed) = match written {
        Ok(written) => written,
        Err(message) => return Report::of("GPU code", Err(message)),
    };
    let mut report = Report::default();
    for name in target::AMD.iter().chain(&["sm_90"]) {
        let step = format!("GPU code: {name}");
        println!("== {step}");
        let outcome = match Target::find(name) {
            Ok(target) => compile(&target, &folder, &kernels).map(|(compilation, figures)| {
                let spilled = kernels.iter().zip(&compilation.kernels).map(|(kernel, compiled)| {
                    let is_spilled = compiled.spills > 0.0 || compiled.scratch > 0.0;
                    is_spilled.then(|| format!("{kernel}: registers were spilled to memory"))
                });
                let is_absent = DEFAULT.contains(name) && !committed.has(name);
                let absent = is_absent.then(|| Some(format!("no numbers are committed for {name}")));
                count(spilled.chain(absent).chain(committed.compare(name, &figures)))
            }),
            Err(message) => {
                println!("{step}: not run: {message}");
                Ok(Outcome::Counted(Counts {
                    skipped: kernels.len(),
                    ..Counts::default()
                }))
            }
        };
        report.add(&step, outcome);
    }
    report
}

/// Prints what is wrong with each of the things that were checked, if anything is.
fn count(checks: impl Iterator<Item = Option<String>>) -> Outcome {
    let mut counts = Counts::default();
    for wrong in checks {
        match wrong {
            None => counts.passed += 1,
            Some(message) => {
                println!("{message}");
                counts.failed += 1;
            }
        }
    }
    if counts.failed > 0 {
        println!("if that is meant to be: cargo xtask gpu-code --write");
    }
    Outcome::Counted(counts)
}

/// The kernels, and the folder that they have been written to.
fn kernels() -> Result<(PathBuf, Vec<Kernel>), String> {
    let folder = tools::target()?.join("gpu_code");
    eprintln!("writing the kernels to {}", folder.display());
    Kernel::write_all(&folder)?;
    let kernels = Kernel::read_all(&folder)?;
    Ok((folder, kernels))
}

fn compile(
    target: &Target,
    folder: &std::path::Path,
    kernels: &[Kernel],
) -> Result<(Compilation, Vec<Figure>), String> {
    let start = Instant::now();
    let compilation = target.compile(folder, kernels)?;
    let (name, seconds) = (&target.name, start.elapsed().as_secs_f64());
    eprintln!("{name}: {} kernels compiled in {seconds:.0} s", kernels.len());
    let figures = Figure::all(target, &compilation, kernels);
    Ok((compilation, figures))
}
