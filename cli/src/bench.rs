//! `wgpu-softmax bench`: time for each operation and shape, beside a copy of the same bytes in the same run.

mod copy;
mod host;
mod timer;
mod work;

use crate::arrays::Failure;
use crate::shared::DtypeWord;
use crate::{Cli, options, plot, say};
use clap::{Args, ValueEnum};
use copy::Copy;
use half::{bf16, f16};
use host::HostTimes;
use plot::Bar;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use timer::{Timer, median};
use wgpu_softmax::wgpu::Features;
use wgpu_softmax::{Element, Gpu, GpuOptions, Recorded, Rows, Schedule};
use work::Work;

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Rows; with --classes, instead of the usual shapes.
    #[arg(long, value_name = "R", requires = "classes")]
    rows: Option<usize>,
    /// Classes of a row.
    #[arg(long, value_name = "C", requires = "rows")]
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
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    time: f64,
    /// Draws each as a share of the copy's speed.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    Softmax,
    LogSoftmax,
    SoftmaxGrad,
    Logsumexp,
    /// The mean loss and its gradient.
    CrossEntropy,
    /// The mean loss alone.
    CrossEntropyLoss,
}

/// The word that a flag knows it by.
fn word(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |v| v.get_name().into())
}

/// From many short rows to few long ones; the last where memory allows.
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

/// Rounds at least and at most.
const ROUNDS: (usize, usize) = (7, 400);

/// What was measured of one operation on one shape.
struct Measured {
    schedule: Schedule,
    ms: f64,
    copy_ms: f64,
    bytes: u64,
    record_us: f64,
    recorded: Recorded,
    host: HostTimes,
}

impl Measured {
    fn share(&self) -> f64 {
        self.copy_ms / self.ms
    }
}

pub(crate) fn run(cli: &Cli, args: &BenchArgs) -> Result<(), Failure> {
    plot::check(args.plot.as_deref())?;
    let gpu = Gpu::with_options(&GpuOptions {
        features: Features::TIMESTAMP_QUERY | Features::TIMESTAMP_QUERY_INSIDE_ENCODERS,
        ..options(cli)
    })?;
    let timer = Timer::new(&gpu);
    let info = gpu.adapter_info();
    say::note(&format!(
        "{} ({}) {}, times by {}",
        info.name,
        info.backend,
        info.driver_info,
        timer.clock()
    ));
    if !cli.json {
        say::line(&format!(
            "{:<18} {:>16} {:>5} {:>12} {:>9} {:>9} {:>6} {:>8} {:>10} {:>10} {:>9} {:>9} {:>9}  share of a copy",
            "op",
            "rows x classes",
            "type",
            "schedule",
            "ms",
            "copy ms",
            "ratio",
            "GB/s",
            "record us",
            "dispatches",
            "allocated",
            "host ms",
            "memcpy ms"
        ))?;
    }
    let shapes = match (args.rows, args.classes) {
        (Some(rows), Some(classes)) => vec![(rows, classes)],
        _ => SHAPES.to_vec(),
    };
    let ops = or(&args.op, &[Op::Softmax, Op::CrossEntropy]);
    let mut bars = Vec::new();
    for &dtype in or(&args.dtype, &[DtypeWord::F32]) {
        for &op in ops {
            for &shape in &shapes {
                let measured = match dtype {
                    DtypeWord::F32 => measure::<f32>(&gpu, &timer, args, op, shape),
                    DtypeWord::F16 => measure::<f16>(&gpu, &timer, args, op, shape),
                    DtypeWord::Bf16 => measure::<bf16>(&gpu, &timer, args, op, shape),
                };
                match measured {
                    Ok(measured) => {
                        report(cli, &gpu, op, shape, dtype, &measured)?;
                        bars.push(bar(op, shape, dtype, &measured));
                    }
                    // One of many that this adapter has no room for.
                    Err(Failure::Machine(why)) if args.rows.is_none() => {
                        say::note(&format!("skipped {} {}x{}: {why}", word(op), shape.0, shape.1));
                    }
                    Err(failure) => return Err(failure),
                }
            }
        }
    }
    if let Some(path) = &args.plot {
        let title = "Speed as a share of a copy of the same bytes";
        plot::write(path, title, info, (1.0, "a copy"), &bars)?;
    }
    Ok(())
}

fn bar(op: Op, (rows, classes): (usize, usize), dtype: DtypeWord, measured: &Measured) -> Bar {
    let Measured { schedule, ms, .. } = measured;
    let share = measured.share();
    Bar {
        name: format!("{} {rows} x {classes} {}, {schedule}", word(op), word(dtype)),
        share,
        text: format!("{:.0} %, {ms:.2} ms", 100.0 * share),
        color: match op {
            Op::Softmax | Op::LogSoftmax | Op::SoftmaxGrad => plot::BLUE,
            Op::Logsumexp | Op::CrossEntropy | Op::CrossEntropyLoss => plot::ORANGE,
        },
    }
}

fn or<'a, T>(given: &'a [T], usual: &'a [T]) -> &'a [T] {
    if given.is_empty() { usual } else { given }
}

fn measure<T: Element>(
    gpu: &Gpu,
    timer: &Timer<'_>,
    args: &BenchArgs,
    op: Op,
    (rows, classes): (usize, usize),
) -> Result<Measured, Failure> {
    let rows = Rows::new(rows, classes);
    let work = Work::new::<T>(gpu, op, rows, args.schedule)?;
    work.check::<T>(gpu)?;
    let copy = Copy::best(gpu, timer, work.bytes)?;
    let (mut ms, mut copy_ms, mut record_us) = (Vec::new(), Vec::new(), Vec::new());
    let mut recorded = Recorded::default();
    let budget = Duration::from_secs_f64(args.time.clamp(0.0, 3600.0));
    let start = Instant::now();
    // In turn, so that whatever slows the machine slows both.
    while ms.len() < ROUNDS.0 || (start.elapsed() < budget && ms.len() < ROUNDS.1) {
        copy_ms.push(timer.ms(|encoder| copy.encode(encoder))?);
        ms.push(timer.ms(|encoder| {
            let before = Instant::now();
            recorded = work.encode(encoder)?;
            record_us.push(before.elapsed().as_secs_f64() * 1e6);
            Ok(())
        })?);
    }
    Ok(Measured {
        schedule: work.schedule(),
        ms: median(ms),
        copy_ms: median(copy_ms),
        bytes: work.bytes,
        record_us: median(record_us),
        recorded,
        host: host::measure::<T>(gpu, op, rows, args.schedule, budget)?,
    })
}

fn report(
    cli: &Cli,
    gpu: &Gpu,
    op: Op,
    (rows, classes): (usize, usize),
    dtype: DtypeWord,
    measured: &Measured,
) -> Result<(), Failure> {
    let info = gpu.adapter_info();
    let (op, schedule) = (word(op), measured.schedule.to_string());
    let dtype = word(dtype);
    let (ms, copy_ms) = (measured.ms, measured.copy_ms);
    let (gbps, ratio) = (measured.bytes as f64 / ms / 1e6, ms / copy_ms);
    let HostTimes { ms: host_ms, memcpy_ms } = measured.host;
    let Recorded {
        dispatches,
        allocated_bytes,
        ..
    } = measured.recorded;
    if cli.json {
        let line = json!({
            "op": op, "rows": rows, "classes": classes, "dtype": dtype, "adapter": info.name,
            "backend": info.backend.to_string(), "schedule": schedule, "ms": ms, "copy_ms": copy_ms,
            "bytes": measured.bytes, "gbps": gbps, "ratio": ratio, "record_us": measured.record_us,
            "dispatches": dispatches, "allocated_bytes": allocated_bytes,
            "host_ms": host_ms, "memcpy_ms": memcpy_ms,
        });
        return say::line(&line.to_string());
    }
    let shape = format!("{rows} x {classes}");
    let record_us = measured.record_us;
    // Ten blocks are a copy.
    let share = "█".repeat((10.0 * measured.share()).round().clamp(0.0, 12.0) as usize);
    say::line(&format!(
        "{op:<18} {shape:>16} {dtype:>5} {schedule:>12} {ms:>9.3} {copy_ms:>9.3} {ratio:>6.2} {gbps:>8.2} {record_us:>10.1} \
         {dispatches:>10} {allocated_bytes:>9} {host_ms:>9.3} {memcpy_ms:>9.3}  {share}"
    ))
}
