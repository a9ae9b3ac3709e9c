//! The `wgpu-softmax` command: a thin layer over the library. It reads arrays, makes one library call (and one more for
//! `--log-probs`), writes arrays.

mod cross_entropy;
mod npy;
mod shared;
mod softmax;

use clap::{Parser, Subcommand, ValueEnum};
use cross_entropy::CrossEntropyArgs;
use indicatif::{ProgressBar, ProgressDrawTarget};
use npy::Failure;
use serde_json::json;
use softmax::SoftmaxArgs;
use std::process::ExitCode;
use std::time::Duration;
use wgpu_softmax::wgpu::{AdapterInfo, Backends, DeviceType};
use wgpu_softmax::{EncodeError, Gpu, GpuError, GpuOptions, RunError, adapters};

/// Softmax and cross-entropy of .npy arrays on the GPU.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Part of the adapter's name, in any case.
    #[arg(long, global = true, value_name = "TEXT")]
    adapter: Option<String>,
    /// The API to reach the adapter by.
    #[arg(long, global = true)]
    backend: Option<Backend>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Vulkan,
    Gl,
    Metal,
    Dx12,
}

#[derive(Subcommand)]
enum Command {
    /// A line per adapter; marks the one that would be used.
    Devices,
    /// Softmax of LOGITS, or its logarithm.
    Softmax(SoftmaxArgs),
    /// Cross-entropy of LOGITS and TARGETS, and its gradient.
    CrossEntropy(CrossEntropyArgs),
}

impl From<GpuError> for Failure {
    fn from(error: GpuError) -> Self {
        Self::Machine(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Encode(
                EncodeError::OutOfMemory { .. }
                | EncodeError::Pipeline { .. }
                | EncodeError::RowTooLong { .. }
                | EncodeError::TooManyBuffers { .. },
            )
            | RunError::DeviceLost { .. }
            | RunError::Device { .. } => Self::Machine(error.to_string()),
            _ => Self::Caller(error.to_string()),
        }
    }
}

impl From<EncodeError> for Failure {
    fn from(error: EncodeError) -> Self {
        RunError::from(error).into()
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if !error.use_stderr() => {
            print!("{error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            return fail(&Failure::Caller(first.trim_start_matches("error: ").into()));
        }
    };
    let outcome = match &cli.command {
        Command::Devices => devices(&cli),
        Command::Softmax(args) => softmax::run(&cli, args),
        Command::CrossEntropy(args) => cross_entropy::run(&cli, args),
    };
    outcome.map_or_else(|failure| fail(&failure), |()| ExitCode::SUCCESS)
}

/// One line, and the exit code that says whose mistake it was.
fn fail(failure: &Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::Caller(message) => (message, 2),
        Failure::Machine(message) => (message, 1),
    };
    let words: Vec<&str> = message.split_whitespace().collect();
    eprintln!("error: {}", words.join(" "));
    ExitCode::from(code)
}

fn options(cli: &Cli) -> GpuOptions {
    GpuOptions {
        backends: cli.backend.map(|backend| match backend {
            Backend::Vulkan => Backends::VULKAN,
            Backend::Gl => Backends::GL,
            Backend::Metal => Backends::METAL,
            Backend::Dx12 => Backends::DX12,
        }),
        adapter_name: cli.adapter.clone(),
        ..GpuOptions::default()
    }
}

fn open_gpu(cli: &Cli) -> Result<Gpu, Failure> {
    let gpu = Gpu::with_options(&options(cli))?;
    let info = gpu.adapter_info();
    if info.device_type == DeviceType::Cpu {
        eprintln!("note: {} ({}) is a software adapter", info.name, info.backend);
    }
    Ok(gpu.with_progress(progress()))
}

/// A bar on standard error, where that is a terminal, of work that lasts over a second.
fn progress() -> impl Fn(usize, usize) + Send + Sync {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let late = bar.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        if !late.is_finished() {
            late.set_draw_target(ProgressDrawTarget::stderr());
            late.enable_steady_tick(Duration::from_millis(100));
        }
    });
    move |done, rows| {
        bar.set_length(rows as u64);
        bar.set_position(done as u64);
        if done == rows {
            bar.finish_and_clear();
        }
    }
}

fn devices(cli: &Cli) -> Result<(), Failure> {
    let infos = |options: &GpuOptions| -> Result<Vec<AdapterInfo>, Failure> {
        let found = pollster::block_on(adapters(options))?;
        Ok(found.iter().map(|a| a.get_info()).collect())
    };
    // All there are are shown, whatever part of them the flags would choose from.
    let chosen = infos(&options(cli))?.into_iter().next();
    let all = GpuOptions {
        backends: Some(Backends::all()),
        adapter_name: Some(String::new()),
        ..GpuOptions::default()
    };
    for info in infos(&all)? {
        let is_chosen = chosen.as_ref() == Some(&info);
        let (backend, kind) = (info.backend.to_string(), format!("{:?}", info.device_type));
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_string();
        if cli.json {
            let line =
                json!({ "name": info.name, "backend": backend, "type": kind, "driver": driver, "chosen": is_chosen });
            println!("{line}");
        } else {
            println!(
                "{} {}  {backend}  {kind}  {driver}",
                if is_chosen { "*" } else { " " },
                info.name
            );
        }
    }
    match chosen {
        Some(_) => Ok(()),
        None => Gpu::with_options(&options(cli)).map(|_| ()).map_err(Failure::from),
    }
}
