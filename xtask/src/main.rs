//! `cargo xtask demo` and `cargo xtask test`: everything from a fresh clone, the graphics driver included. `tidy`, `features`,
//! `compilers`, `gpu-code`, `mpi`, `mutate` and `web` are steps of `test` that can be run alone.

mod adapters;
mod compilers;
mod features;
mod gpu_code;
mod mpi;
mod mutate;
mod report;
mod run;
mod test;
mod tidy;
mod tools;
mod web;

use report::Report;
use run::cargo;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask demo | test [--all] | tidy | features | compilers | mpi | gpu-code [--json | --write] [GPU …] \
     | mutate [--sample | TEXT …] | web [--serve | --package | --test TEXT | --verify [TEXT]]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["demo"] => adapters::find_or_install().and_then(|_| demo()),
        ["test"] => test::run_all(false),
        ["test", "--all"] => test::run_all(true),
        ["tidy"] => Report::of("tidy", tidy::run()).conclude(),
        ["features"] => Report::of("features", features::run()).conclude(),
        ["compilers"] => test::compilers(),
        ["mutate"] => mutate_alone(mutate::Which::All),
        ["mutate", "--sample"] => mutate_alone(mutate::Which::Sample),
        ["mutate", ref texts @ ..] => mutate_alone(mutate::Which::Named(texts)),
        ["mpi"] => mpi::run_alone(),
        ["web", ..] => web::run_alone(&words[1..]),
        ["gpu-code", "--check"] => gpu_code::check().conclude(),
        ["gpu-code", ..] => gpu_code::run(&words[1..]),
        [gpu_code::DRIVER_SUBCOMMAND, folder] => gpu_code::run_driver(folder.as_ref()),
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

fn mutate_alone(which: mutate::Which<'_>) -> Result<(), String> {
    Report::of("mutate", mutate::run(which)).conclude()
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
