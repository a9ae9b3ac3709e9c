//! Memory and time of a linear layer with its cross-entropy and all gradients: Burn's loss on the logits, our loss on the logits, and
//! `linear_cross_entropy` under several budgets.
//!
//! `cargo run --release -p burn-wgpu-softmax --example linear_cross_entropy` takes minutes on a software adapter. Other sizes:
//! `-- ROWS D_INPUT D_OUTPUT REPEATS MIB MIB MIB …`. Memory is what Burn's own counter says that the device has reserved beyond what it
//! had before, where each allocation has a page of its own: another thread keeps reading it. Where the device has no buffer for the
//! logits of all rows, those who need them get as many rows as there can be, and their time is that of as many parts.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::wgpu::MemoryConfiguration;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use burn_wgpu_softmax::wgpu_softmax::CrossEntropy;
use burn_wgpu_softmax::{cross_entropy, linear_cross_entropy};
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const MIB: f64 = (1 << 20) as f64;

/// One way to compute the loss.
type Loss<'a> = &'a dyn Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>;

/// What a way takes.
struct Measured {
    times: Vec<Duration>,
    /// How many parts like the one that was measured make the batch.
    parts: f64,
    /// Processor time of all repeats.
    cpu: f64,
    /// Bytes reserved at most, beyond those before the call.
    reserved: u64,
    loss: f32,
}

/// The seconds of processor time that this process has taken, where the system tells.
fn cpu_seconds() -> f64 {
    const TICKS: f64 = 100.0;
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may have spaces; user and system time are the 12th and 13th number after it.
    let after = text.rsplit(')').next().unwrap_or_default();
    let times = after.split_whitespace().skip(11).take(2);
    times.filter_map(|time| time.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// Runs `work` while another thread reads how many bytes are reserved, and returns the most of them.
fn peak_of<T>(device: &Device, work: impl FnOnce() -> T) -> (T, u64) {
    let (peak, is_done) = (AtomicU64::new(0), AtomicBool::new(false));
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Acquire) {
                let usage = device.memory_pool_usage();
                peak.fetch_max(usage.map_or(0, |usage| usage.bytes_reserved), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let result = work();
        is_done.store(true, Ordering::Release);
        result
    });
    (result, peak.into_inner())
}

/// Inputs, and how often each way is timed.
struct Bench {
    device: Device,
    hidden: Tensor<2>,
    weight: Tensor<2>,
    targets: Tensor<1, Int>,
    repeats: usize,
    /// Bytes reserved before all.
    before: u64,
}

impl Bench {
    fn reserved(&self) -> Result<u64, Box<dyn Error>> {
        let usage = self.device.memory_pool_usage();
        Ok(usage.ok_or("Burn does not count memory here")?.bytes_reserved)
    }

    /// Loss and gradients of the first rows.
    fn run(&self, rows: usize, loss: Loss<'_>) -> Result<f32, Box<dyn Error>> {
        let hidden = self.hidden.clone().narrow(0, 0, rows).require_grad();
        let weight = self.weight.clone().require_grad();
        let targets = self.targets.clone().narrow(0, 0, rows);
        let loss = loss(hidden.clone(), weight.clone(), targets);
        let gradients = loss.backward();
        let made = (hidden.grad(&gradients), weight.grad(&gradients));
        drop(gradients);
        let value = loss.into_data().try_to_vec::<f32>()?[0];
        self.device.sync()?;
        drop(made);
        // Under fusion, what is dropped is given back by the next work.
        self.device.sync()?;
        Ok(value)
    }

    /// Measures a way with this many rows at a time.
    fn measure(&self, rows: usize, loss: Loss<'_>) -> Result<Measured, Box<dyn Error>> {
        let (mut times, mut peak, mut last) = (Vec::new(), 0, 0.0);
        // Kernels are compiled before.
        self.run(rows.div_ceil(8), loss)?;
        self.device.memory_cleanup();
        self.device.sync()?;
        let cpu = cpu_seconds();
        for _ in 0..self.repeats {
            let start = Instant::now();
            let (value, most) = peak_of(&self.device, || self.run(rows, loss));
            times.push(start.elapsed());
            (peak, last) = (peak.max(most).max(self.reserved()?), value?);
        }
        times.sort();
        Ok(Measured {
            parts: self.hidden.dims()[0] as f64 / rows as f64,
            times,
            cpu: cpu_seconds() - cpu,
            reserved: peak.saturating_sub(self.before),
            loss: last,
        })
    }

    fn report(&self, what: &str, measured: &Measured) {
        let of_hidden = self.hidden.shape().num_elements() as f64 / measured.parts;
        let gradients = (of_hidden + self.weight.shape().num_elements() as f64) * 4.0 / MIB;
        let reserved = measured.reserved as f64 / MIB;
        let median = measured.times[measured.times.len() / 2].as_secs_f64() * measured.parts;
        println!(
            "| {what} | {:.0} | {reserved:.0} | {median:.1} | {:.1} | {:.5} |",
            reserved - gradients,
            measured.cpu / self.repeats as f64 * measured.parts,
            measured.loss
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Device::wgpu_options().memory_config(MemoryConfiguration::ExclusivePages);
    let (device, setup) = options.init_with_setup()?;
    burn_wgpu_softmax::attach(&device, &setup)?;
    let device = device.autodiff();
    let mut numbers = vec![];
    for argument in std::env::args().skip(1) {
        numbers.push(argument.parse::<usize>()?);
    }
    let number = |i: usize, default| numbers.get(i).copied().unwrap_or(default);
    let [rows, d_input, d_output, repeats] = [number(0, 4096), number(1, 256), number(2, 32_000), number(3, 3)];
    let budgets = numbers
        .get(4..)
        .filter(|budgets| !budgets.is_empty())
        .unwrap_or(&[32, 64, 128]);
    let spread = Distribution::Uniform(-0.2, 0.2);
    let labels: Vec<i32> = (0..rows).map(|row| (row * 31 % d_output) as i32).collect();
    let mut bench = Bench {
        hidden: Tensor::random([rows, d_input], spread, &device),
        weight: Tensor::random([d_input, d_output], spread, &device),
        targets: Tensor::from_data(TensorData::new(labels, [rows]), &device),
        repeats,
        before: 0,
        device: device.clone(),
    };
    device.sync()?;
    bench.before = bench.reserved()?;
    let identity = device.identity().ok_or("Burn does not name its device")?;
    println!("adapter: {}; {rows} rows, {d_input} -> {d_output}", identity.name);
    println!("| | MiB beside the gradients | MiB in all | s | s of processors | loss |\n|---|---|---|---|---|---|");
    let options = CrossEntropy::default();
    let theirs = CrossEntropyLossConfig::new().init(&device);
    let burns: Loss<'_> = &|hidden, weight, targets| theirs.forward(hidden.matmul(weight), targets);
    let ours: Loss<'_> = &|hidden, weight, targets| cross_entropy(hidden.matmul(weight), targets, 1, &options);
    // What needs least memory first: the device may keep some of it.
    for budget in budgets {
        let linear: Loss<'_> =
            &|hidden, weight, targets| linear_cross_entropy(hidden, weight, None, targets, &options, budget << 20);
        let what = format!("linear_cross_entropy, {budget} MiB");
        bench.report(&what, &bench.measure(rows, linear)?);
    }
    let largest = setup.device.limits().max_storage_buffer_binding_size as usize / (4 * d_output);
    // A matmul's tiles are full.
    let part = rows.min((largest / 64 * 64).max(1));
    for (whose, loss) in [("our", ours), ("Burn's", burns)] {
        let what = format!("matmul and {whose} loss, {part} rows at a time");
        bench.report(&what, &bench.measure(part, loss)?);
    }
    Ok(())
}
