//! `wgpu-softmax verify`: what the library promises, checked on this adapter.

use crate::arrays::Failure;
use crate::plot::{self, Bar as Drawn};
use crate::progress::Bar;
use crate::{Cli, options, say};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use wgpu_softmax::{Check, Gpu, Verify};

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Skip cases of more logits, for a slow adapter.
    #[arg(long, value_name = "N", default_value_t = Verify::default().most_elements)]
    most_elements: usize,
    /// Only checks in whose name this is.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Draws the largest error of each check.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

pub(crate) fn run(cli: &Cli, args: &VerifyArgs) -> Result<(), Failure> {
    plot::check(args.plot.as_deref())?;
    let gpu = Gpu::with_options(&options(cli))?;
    let info = gpu.adapter_info();
    say::note(&format!(
        "wgpu-softmax {} on {} ({}) {} {}, {} subgroups",
        env!("CARGO_PKG_VERSION"),
        info.name,
        info.backend,
        info.driver,
        info.driver_info,
        if gpu.uses_subgroups() { "with" } else { "without" }
    ));
    if !cli.json {
        say::line(&format!(
            "{:<26} {:>6} {:>6} {:>7} {:>9} {:>9}  hash of bits",
            "check", "cases", "failed", "skipped", "max ULP", "mean ULP"
        ))?;
    }
    let verify = Verify {
        most_elements: args.most_elements,
        only: args.only.clone(),
    };
    if verify.count() == 0 {
        return Err(Failure::Caller(format!(
            "--only {}: no check has that in its name",
            args.only
        )));
    }
    let bar = Bar::new(verify.count(), "checks");
    let tell = bar.teller();
    let (mut done, mut unwritten) = (0, Ok(()));
    let checks = gpu.verify(&verify, |check| {
        done += 1;
        let written = bar.aside(|| report(cli, check));
        unwritten = std::mem::replace(&mut unwritten, Ok(())).and(written);
        tell(done, verify.count());
    })?;
    drop(bar);
    unwritten?;
    if let Some(path) = &args.plot {
        let title = "Largest errors, in units in the last place of what is stored";
        let drawn: Vec<Drawn> = checks.iter().map(drawn).collect();
        plot::write(path, title, info, (1.0 / MOST_ULP, "1 ULP"), &drawn)?;
    }
    let count = |of: fn(&Check) -> usize| checks.iter().map(of).sum::<usize>();
    let (cases, failed, skipped) = (count(|c| c.cases), count(|c| c.failed), count(|c| c.skipped));
    if failed > 0 {
        return Err(Failure::Machine(format!(
            "{failed} of {cases} cases failed on this adapter"
        )));
    }
    say::note(&format!("{cases} cases, none failed, {skipped} skipped"));
    Ok(())
}

/// What the longest bar stands for.
const MOST_ULP: f64 = 6.0;

fn drawn(check: &Check) -> Drawn {
    let ulp = check.max_ulp.map_or_else(String::new, |ulp| format!("{ulp:.2} ULP, "));
    let (cases, failed) = (check.cases, check.failed);
    Drawn {
        name: check.name.clone(),
        share: check.max_ulp.unwrap_or(0.0) / MOST_ULP,
        text: if failed > 0 {
            format!("{ulp}{failed} of {cases} cases failed")
        } else {
            format!("{ulp}{cases} cases")
        },
        color: if failed > 0 { plot::RED } else { plot::BLUE },
    }
}

fn report(cli: &Cli, check: &Check) -> Result<(), Failure> {
    if let Some(failure) = &check.first_failure {
        say::note(&format!("{}: {failure}", check.name));
    }
    let hash = check.hash.map(|hash| format!("{hash:016x}"));
    if cli.json {
        let line = json!({
            "check": check.name, "cases": check.cases, "failed": check.failed, "skipped": check.skipped,
            "max_ulp": check.max_ulp, "mean_ulp": check.mean_ulp, "hash": hash,
        });
        return say::line(&line.to_string());
    }
    let number = |ulp: Option<f64>| ulp.map_or_else(|| "-".into(), |ulp| format!("{ulp:.3}"));
    say::line(&format!(
        "{:<26} {:>6} {:>6} {:>7} {:>9} {:>9}  {}",
        check.name,
        check.cases,
        check.failed,
        check.skipped,
        number(check.max_ulp),
        number(check.mean_ulp),
        hash.unwrap_or_else(|| "-".into())
    ))
}
