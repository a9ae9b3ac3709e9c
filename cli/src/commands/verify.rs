//! `wgpu-softmax verify`: what the library promises, checked on this adapter.

use crate::console;
use crate::failure::Failure;
use crate::global::Global;
use crate::number::count;
use crate::plot::{self, Bar as PlotBar};
use crate::progress::Bar;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use wgpu_softmax::{Check, Gpu, Verify};

#[derive(Args)]
pub(crate) struct VerifyArgs {
    /// Skip cases of more logits, for a slow adapter.
    #[arg(long, value_name = "N", default_value_t = Verify::default().most_elements, value_parser = count)]
    most_elements: usize,
    /// Only checks in whose name this is.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Draws the largest error of each check.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

pub(crate) fn run(global: &Global, args: &VerifyArgs) -> Result<(), Failure> {
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
    plot::check(args.plot.as_deref())?;
    let gpu = Gpu::with_options(&global.gpu_options())?;
    print_heading(global, &gpu)?;
    let bar = Bar::new(verify.count(), "checks");
    let show_progress = bar.on_progress();
    let (mut done, mut printed) = (0, Ok(()));
    let checks = gpu.verify(&verify, |check| {
        done += 1;
        let now = bar.suspend(|| report(global, check));
        // All checks run, even if a line of one could not be printed; that failure is returned after them.
        printed = std::mem::replace(&mut printed, Ok(())).and(now);
        show_progress(done, verify.count());
    })?;
    drop(bar);
    printed?;
    if let Some(path) = &args.plot {
        let title = "Largest errors, in units in the last place of what is stored";
        let bars: Vec<PlotBar> = checks.iter().map(plot_bar).collect();
        plot::write(path, title, gpu.adapter_info(), (1.0 / PLOT_ULP, "1 ULP"), &bars)?;
    }
    conclude(&checks)
}

/// The adapter on standard error, and the table's heading.
fn print_heading(global: &Global, gpu: &Gpu) -> Result<(), Failure> {
    let info = gpu.adapter_info();
    console::note(&format!(
        "wgpu-softmax {} on {} ({}) {} {}, {} subgroups",
        env!("CARGO_PKG_VERSION"),
        info.name,
        info.backend,
        info.driver,
        info.driver_info,
        if gpu.uses_subgroups() { "with" } else { "without" }
    ));
    if global.json {
        return Ok(());
    }
    console::line(&format!(
        "{:<26} {:>6} {:>6} {:>7} {:>9} {:>9}  hash of bits",
        "check", "cases", "failed", "skipped", "max ULP", "mean ULP"
    ))
}

/// The sums over all checks, and whether any case failed.
fn conclude(checks: &[Check]) -> Result<(), Failure> {
    let count = |of: fn(&Check) -> usize| checks.iter().map(of).sum::<usize>();
    let (cases, failed, skipped) = (count(|c| c.cases), count(|c| c.failed), count(|c| c.skipped));
    if failed > 0 {
        return Err(Failure::Machine(format!(
            "{failed} of {cases} cases failed on this adapter"
        )));
    }
    console::note(&format!("{cases} cases, none failed, {skipped} skipped"));
    Ok(())
}

/// The error that the longest bar of the plot stands for.
const PLOT_ULP: f64 = 6.0;

fn plot_bar(check: &Check) -> PlotBar {
    let ulp = check.max_ulp.map_or_else(String::new, |ulp| format!("{ulp:.2} ULP, "));
    let (cases, failed) = (check.cases, check.failed);
    PlotBar {
        name: check.name.clone(),
        length: check.max_ulp.unwrap_or(0.0) / PLOT_ULP,
        text: if failed > 0 {
            format!("{ulp}{failed} of {cases} cases failed")
        } else {
            format!("{ulp}{cases} cases")
        },
        color: if failed > 0 { plot::RED } else { plot::BLUE },
    }
}

/// A line on standard output for each check, and one on standard error for the first case of it that failed.
fn report(global: &Global, check: &Check) -> Result<(), Failure> {
    if let Some(failure) = &check.first_failure {
        console::note(&format!("{}: {failure}", check.name));
    }
    let hash = check.hash.map(|hash| format!("{hash:016x}"));
    if global.json {
        let line = json!({
            "check": check.name, "cases": check.cases, "failed": check.failed, "skipped": check.skipped,
            "max_ulp": check.max_ulp, "mean_ulp": check.mean_ulp, "hash": hash,
        });
        return console::line(&line.to_string());
    }
    let number = |ulp: Option<f64>| ulp.map_or_else(|| "-".into(), |ulp| format!("{ulp:.3}"));
    console::line(&format!(
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
