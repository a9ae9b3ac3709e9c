//! The `wgpu-softmax` command: a thin layer over the library. It reads arrays, makes one library call (and one more for
//! `--log-probs`), writes arrays.

mod arrays;
mod bench;
mod cross_entropy;

mod output;
mod plot;
mod progress;
mod say;
mod shared;
mod softmax;
mod verify;

use arrays::Failure;
use bench::BenchArgs;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use cross_entropy::CrossEntropyArgs;
use progress::Bar;
use serde_json::json;
use softmax::SoftmaxArgs;
use std::process::ExitCode;
use verify::VerifyArgs;
use wgpu_softmax::wgpu::{AdapterInfo, Backends, DeviceType};
use wgpu_softmax::{EncodeError, Gpu, GpuError, GpuOptions, RunError, adapters};

/// Softmax and cross-entropy of .npy and .safetensors arrays on the GPU.
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
    /// Milliseconds, GB/s, and the share of a copy of the same bytes measured in the same run.
    Bench(BenchArgs),
    /// Every operation against the f64 reference on this adapter, and all that is promised of it; exit code 1 if any fails.
    Verify(VerifyArgs),
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
    let outcome = match Cli::try_parse() {
        Ok(cli) => run(&cli),
        Err(error) if !error.use_stderr() => say::text(&error.to_string()),
        Err(error) => Err(misused(&error)),
    };
    outcome.map_or_else(|failure| fail(&failure), |()| ExitCode::SUCCESS)
}

fn run(cli: &Cli) -> Result<(), Failure> {
    match &cli.command {
        Command::Devices => devices(cli),
        Command::Softmax(args) => softmax::run(cli, args),
        Command::CrossEntropy(args) => cross_entropy::run(cli, args),
        Command::Bench(args) => bench::run(cli, args),
        Command::Verify(args) => verify::run(cli, args),
    }
}

fn misused(error: &clap::Error) -> Failure {
    use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
    if matches!(
        error.kind(),
        MissingSubcommand | DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let cli = Cli::command();
        let commands: Vec<&str> = cli.get_subcommands().map(|c| c.get_name()).collect();
        return Failure::Caller(format!("a command is missing, one of {}", commands.join(", ")));
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    Failure::Caller(first.trim_start_matches("error: ").into())
}

/// One line, and the exit code that says whose mistake it was.
fn fail(failure: &Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::Caller(message) => (message, 2),
        Failure::Machine(message) => (message, 1),
    };
    let words: Vec<&str> = message.split_whitespace().collect();
    say::note(&format!("error: {}", words.join(" ")));
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

/// The adapter to use, and the bar of the work on so many rows.
fn open_gpu(cli: &Cli, rows: usize) -> Result<(Gpu, Bar), Failure> {
    let gpu = Gpu::with_options(&options(cli))?;
    let info = gpu.adapter_info();
    if info.device_type == DeviceType::Cpu {
        say::note(&format!("note: {} ({}) is a software adapter", info.name, info.backend));
    }
    let bar = Bar::new(rows, "rows");
    Ok((gpu.with_progress(bar.teller()), bar))
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
        let line = if cli.json {
            json!({ "name": info.name, "backend": backend, "type": kind, "driver": driver, "chosen": is_chosen })
                .to_string()
        } else {
            let mark = if is_chosen { "*" } else { " " };
            format!("{mark} {}  {backend}  {kind}  {driver}", info.name)
        };
        say::line(&line)?;
    }
    match chosen {
        Some(_) => Ok(()),
        None => Gpu::with_options(&options(cli)).map(|_| ()).map_err(Failure::from),
    }
}
