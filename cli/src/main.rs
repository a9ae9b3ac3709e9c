//! The `wgpu-softmax` command: a thin layer over the library. It reads arrays, makes one library call, writes arrays.

mod npy;

use clap::{Args, Parser, Subcommand, ValueEnum};
use npy::{Failure, Output};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wgpu_softmax::wgpu::{AdapterInfo, Backends, DeviceType};
use wgpu_softmax::{
    CrossEntropy, EmptyMean, EncodeError, FullyMasked, Gpu, GpuError, GpuOptions, Gradient, Reduction, Rows, RunError,
    Softmax, adapters,
};

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

#[derive(Args)]
struct SoftmaxArgs {
    logits: PathBuf,
    /// Where the result goes; - is standard output.
    #[arg(short, value_name = "OUT")]
    output: PathBuf,
    /// The logarithm of the probabilities.
    #[arg(long)]
    log: bool,
    /// The class axis.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true)]
    axis: isize,
    /// What a row of -inf alone gives.
    #[arg(long, value_enum, default_value = "nan")]
    fully_masked: Masked,
}

#[derive(Args)]
struct CrossEntropyArgs {
    logits: PathBuf,
    targets: PathBuf,
    /// The class axis.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    axis: isize,
    /// Rows with this target take no part.
    #[arg(long, default_value_t = -100, allow_negative_numbers = true, value_name = "I")]
    ignore_index: i64,
    /// How the rows' losses become one.
    #[arg(long, value_enum, default_value = "mean")]
    reduction: ReductionWord,
    /// The mean over no rows.
    #[arg(long, value_enum, default_value = "nan")]
    empty_mean: EmptyMeanWord,
    /// What a row of -inf alone gives.
    #[arg(long, value_enum, default_value = "nan")]
    fully_masked: Masked,
    /// The reduced loss, or each row's with --reduction none.
    #[arg(long, value_name = "OUT")]
    loss: Option<PathBuf>,
    /// The gradient.
    #[arg(long, value_name = "OUT")]
    grad: Option<PathBuf>,
    /// Each row's log of the sum of exponentials.
    #[arg(long, value_name = "OUT")]
    lse: Option<PathBuf>,
    /// Each row's largest class.
    #[arg(long, value_name = "OUT")]
    predictions: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Masked {
    Nan,
    Zeros,
    Uniform,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReductionWord {
    None,
    Mean,
    Sum,
}

#[derive(Clone, Copy, ValueEnum)]
enum EmptyMeanWord {
    Nan,
    Zero,
}

impl From<Masked> for FullyMasked {
    fn from(word: Masked) -> Self {
        match word {
            Masked::Nan => Self::Nan,
            Masked::Zeros => Self::Zeros,
            Masked::Uniform => Self::Uniform,
        }
    }
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
                EncodeError::OutOfMemory { .. } | EncodeError::Pipeline { .. } | EncodeError::RowTooLong { .. },
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
        Command::Softmax(args) => softmax(&cli, args),
        Command::CrossEntropy(args) => cross_entropy(&cli, args),
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
    Ok(gpu)
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

fn softmax(cli: &Cli, args: &SoftmaxArgs) -> Result<(), Failure> {
    let logits = npy::logits(&args.logits)?;
    let rows = Rows::of_shape(&logits.shape, args.axis)?;
    rows.elements()?;
    let options = Softmax {
        log: args.log,
        fully_masked: args.fully_masked.into(),
        ..Softmax::default()
    };
    let result = open_gpu(cli)?.softmax(&logits.values, rows, &options)?;
    Output::new(&args.output, &logits.shape, &result)?.publish()
}

fn cross_entropy(cli: &Cli, args: &CrossEntropyArgs) -> Result<(), Failure> {
    let logits = npy::logits(&args.logits)?;
    let targets = npy::targets(&args.targets)?;
    let rows = Rows::of_shape(&logits.shape, args.axis)?;
    rows.elements()?;
    let mut shape = logits.shape.clone();
    let axis = if args.axis < 0 {
        args.axis + shape.len() as isize
    } else {
        args.axis
    };
    shape.remove(axis as usize);
    if targets.shape != shape {
        return Err(Failure::Caller(format!(
            "targets have shape {:?}, but logits of shape {:?} with class axis {} need {shape:?}",
            targets.shape, logits.shape, args.axis
        )));
    }
    let reduction = match args.reduction {
        ReductionWord::None => Reduction::None,
        ReductionWord::Mean => Reduction::Mean,
        ReductionWord::Sum => Reduction::Sum,
    };
    let options = CrossEntropy {
        reduction,
        ignore_index: args.ignore_index,
        empty_mean: match args.empty_mean {
            EmptyMeanWord::Nan => EmptyMean::Nan,
            EmptyMeanWord::Zero => EmptyMean::Zero,
        },
        fully_masked: args.fully_masked.into(),
        gradient: if args.grad.is_some() {
            Gradient::Apart
        } else {
            Gradient::None
        },
        lse: args.lse.is_some(),
        argmax: args.predictions.is_some(),
        correct: cli.json,
        ..CrossEntropy::default()
    };
    let gpu = open_gpu(cli)?;
    let out = gpu.cross_entropy(&logits.values, &targets.values, rows, &options)?;

    let mut outputs = Vec::new();
    let mut add = |path: &Option<PathBuf>, shape: &[usize], values: Option<&Vec<f32>>| -> Result<(), Failure> {
        if let (Some(path), Some(values)) = (path, values) {
            outputs.push(Output::new(path, shape, values)?);
        }
        Ok(())
    };
    match out.loss {
        Some(loss) => add(&args.loss, &[], Some(&vec![loss]))?,
        None => add(&args.loss, &shape, out.row_losses.as_ref())?,
    }
    add(&args.grad, &logits.shape, out.gradient.as_ref())?;
    add(&args.lse, &shape, out.lse.as_ref())?;
    if let (Some(path), Some(argmax)) = (&args.predictions, &out.argmax) {
        let classes: Vec<i64> = argmax.iter().map(|&c| i64::from(c)).collect();
        outputs.push(Output::new(path, &shape, &classes)?);
    }
    outputs.into_iter().try_for_each(Output::publish)?;

    let line = if cli.json {
        // JSON has no NaN or infinity.
        let number = |v: f32| if v.is_finite() { json!(v) } else { json!(v.to_string()) };
        let line = json!({
            "loss": out.loss.map(number), "rows": rows.count(), "ignored": rows.count() - out.counted,
            "correct": out.correct, "adapter": gpu.adapter_info().name,
        });
        line.to_string()
    } else {
        match out.loss {
            Some(loss) => format!("loss {loss:.6}"),
            None => "loss none".into(),
        }
    };
    let stdout_is_taken = [&args.loss, &args.grad, &args.lse, &args.predictions]
        .iter()
        .any(|p| p.as_deref() == Some(Path::new("-")));
    if stdout_is_taken {
        eprintln!("{line}");
    } else {
        println!("{line}");
    }
    Ok(())
}
