//! `cargo xtask mutate`: puts faults into the shaders, one at a time, and sees that `verify` finds each. The faults are in
//! `xtask/mutations.txt`. `--sample` takes ten of them, others with each commit, and each TEXT
//! those in whose name it is.

mod list;
mod trial;

use crate::report::{Counts, Outcome};
use crate::run::cargo;
use crate::tools;
use list::{Killer, Mutation};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;
use trial::{Trial, Verdict};

/// Faults of a sample.
const SAMPLE: usize = 10;

/// Which faults are tried.
#[derive(Clone, Copy)]
pub(crate) enum Which<'a> {
    All,
    Sample,
    Named(&'a [&'a str]),
}

pub(crate) fn run(which: Which<'_>) -> Result<Outcome, String> {
    println!("== mutate");
    let start = Instant::now();
    let all = list::read()?;
    let chosen: Vec<&Mutation> = match which {
        Which::All => all.iter().collect(),
        Which::Sample => sample(&all, commits()),
        Which::Named(texts) => all
            .iter()
            .filter(|m| texts.iter().any(|text| m.name.contains(text)))
            .collect(),
    };
    if chosen.is_empty() {
        return Err("no fault in xtask/mutations.txt has that in its name".into());
    }
    let program = program()?;
    let folder = tools::target()?.join("mutate").join("shaders");
    let trial = Trial {
        program: &program,
        folder,
    };
    let (mut counts, mut by_verify) = (Counts::default(), 0);
    for mutation in &chosen {
        counts.add(try_one(&trial, mutation));
        by_verify += usize::from(matches!(mutation.killer, Killer::Verify(_)));
    }
    println!(
        "== mutate: {:.0} s, {} faults, {by_verify} of them for verify",
        start.elapsed().as_secs_f64(),
        chosen.len()
    );
    Ok(Outcome::Counted(counts))
}

/// Tries a fault, and prints its name, what killed it, and the seconds.
fn try_one(trial: &Trial<'_>, mutation: &Mutation) -> Counts {
    let start = Instant::now();
    let (outcome, text) = match trial.run(mutation) {
        Ok(Verdict::Killed(by)) => ((1, 0, 0), format!("killed by {by}")),
        Ok(Verdict::NoFault(why)) => ((0, 0, 1), format!("no fault: {why}")),
        Ok(Verdict::Survived) => ((0, 1, 0), format!("SURVIVED {:?}", mutation.killer)),
        Err(message) => ((0, 1, 0), format!("NO VERDICT: {message}")),
    };
    println!("{}: {text} ({:.1} s)", mutation.name, start.elapsed().as_secs_f64());
    let (passed, failed, skipped) = outcome;
    Counts {
        passed,
        failed,
        skipped,
    }
}

/// The command with all features, as the other steps build it, in a place of its own, where no build replaces it.
fn program() -> Result<PathBuf, String> {
    let status = cargo(&["build", "--quiet", "--all-features", "--bin", "wgpu-softmax"])
        .status()
        .map_err(|e| format!("cargo build: {e}"))?;
    if !status.success() {
        return Err("the command could not be built".into());
    }
    let target = tools::target()?;
    let name = format!("wgpu-softmax{}", std::env::consts::EXE_SUFFIX);
    let (built, kept) = (target.join("debug").join(&name), target.join("mutate").join(&name));
    let fail = |e: std::io::Error| format!("{}: {e}", kept.display());
    std::fs::create_dir_all(target.join("mutate")).map_err(fail)?;
    std::fs::copy(&built, &kept).map_err(fail)?;
    Ok(kept)
}

/// How many commits there are, or 0 without git: the number of the sample.
fn commits() -> usize {
    let output = Command::new("git").args(["rev-list", "--count", "HEAD"]).output();
    let count = output
        .ok()
        .and_then(|o| String::from_utf8_lossy(&o.stdout).trim().parse().ok());
    count.unwrap_or(0)
}

/// Ten faults or one fewer, spread over the list, whose kinds take unlike times: others with each number, until all have been.
fn sample(all: &[Mutation], number: usize) -> Vec<&Mutation> {
    let is_fault = |m: &&Mutation| !matches!(m.killer, Killer::Nothing(_));
    let faults: Vec<&Mutation> = all.iter().filter(is_fault).collect();
    let step = faults.len().div_ceil(SAMPLE).max(1);
    faults.into_iter().skip(number % step).step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_go_round() -> Result<(), String> {
        let all = list::read()?;
        let names = |number| -> Vec<String> { sample(&all, number).iter().map(|m| m.name.clone()).collect() };
        assert!((SAMPLE - 1..=SAMPLE).contains(&names(0).len()));
        let rounds = all.len().div_ceil(SAMPLE);
        let seen: std::collections::BTreeSet<String> = (0..rounds).flat_map(names).collect();
        let faults = all.iter().filter(|m| !matches!(m.killer, Killer::Nothing(_)));
        assert_eq!(seen.len(), faults.count());
        Ok(())
    }
}
