//! `wgpu-softmax bench`: the time of each operation on each shape, beside that of a copy of the same bytes in the same run.

mod case;
mod check;
mod copy;
mod host;
mod measure;
mod options;
mod report;
mod sampling;
mod timer;
mod work;

use crate::console;
use crate::failure::Failure;
use crate::global::Global;
use crate::logits::DtypeWord;
use crate::number::{count, seconds};
use crate::plot;
use case::{Case, Op};
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;
use timer::Timer;
use wgpu_softmax::wgpu::Features;
use wgpu_softmax::{Gpu, GpuOptions, Rows, Schedule};

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Rows; with --classes, instead of the usual shapes.
    #[arg(long, value_name = "R", requires = "classes", value_parser = count)]
    rows: Option<usize>,
    /// Classes of a row.
    #[arg(long, value_name = "C", requires = "rows", value_parser = count)]
    classes: Option<usize>,
    /// An operation; may be repeated. Without any: softmax and cross-entropy.
    #[arg(long, value_enum)]
    op: Vec<Op>,
    /// A type; may be repeated. Without any: f32.
    #[arg(long, value_enum)]
    dtype: Vec<DtypeWord>,
    /// Instead of the best known one: held/LANES, chunked/LANES or split/LANESxPIECES.
    #[arg(long)]
    schedule: Option<Schedule>,
    /// Seconds for each measurement.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, allow_hyphen_values = true, value_parser = seconds)]
    time: f32,
    /// Draws each as a share of the copy's speed.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// The shapes that are measured by default, from many short rows to few long ones.
const SHAPES: [(usize, usize); 9] = [
    (1_000_000, 10),
    (8192, 64),
    (4096, 1024),
    (1024, 4096),
    (128, 32_000),
    (32, 128_256),
    (8, 128_256),
    (1, 128_256),
    (16, 1_048_576),
];

impl BenchArgs {
    /// Every combination of the types, operations and shapes that were asked for.
    fn cases(&self) -> Vec<Case> {
        let shapes = match (self.rows, self.classes) {
            (Some(rows), Some(classes)) => vec![(rows, classes)],
            _ => SHAPES.to_vec(),
        };
        let ops = given_or(&self.op, &[Op::Softmax, Op::CrossEntropy]);
        let mut cases = Vec::new();
        for &dtype in given_or(&self.dtype, &[DtypeWord::F32]) {
            for &op in ops {
                cases.extend(shapes.iter().map(|&(rows, classes)| Case {
                    op,
                    rows,
                    classes,
                    dtype,
                    schedule: self.schedule,
                }));
            }
        }
        cases
    }
}

fn given_or<'a, T>(given: &'a [T], default: &'a [T]) -> &'a [T] {
    if given.is_empty() { default } else { given }
}

pub(crate) fn run(global: &Global, args: &BenchArgs) -> Result<(), Failure> {
    plot::check(args.plot.as_deref())?;
    for case in args.cases() {
        Rows::new(case.rows, case.classes).elements()?;
    }
    let gpu = Gpu::with_options(&GpuOptions {
        features: Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS,
        ..global.gpu_options()
    })?;
    let timer = Timer::new(&gpu);
    report::note_adapter(gpu.adapter_info(), timer.clock());
    let time = Duration::from_secs_f32(args.time);
    let mut bars = Vec::new();
    for case in args.cases() {
        match measure::measure(&gpu, &timer, &case, time) {
            Ok(measured) => {
                // Not before: a table without a line would be all that a first case in error leaves.
                if bars.is_empty() {
                    report::print_heading(global)?;
                }
                report::print(global, gpu.adapter_info(), &case, &measured)?;
                bars.push(report::plot_bar(&case, &measured));
            }
            // The largest of the default shapes may need more memory than the adapter has.
            Err(Failure::Machine(why)) if args.rows.is_none() => {
                console::note(&format!("skipped {case}: {why}"));
            }
            Err(failure) => return Err(failure),
        }
    }
    if let Some(path) = &args.plot {
        let title = "Speed as a share of a copy of the same bytes";
        plot::write(path, title, gpu.adapter_info(), (1.0, "a copy"), &bars)?;
    }
    Ok(())
}
