//! A softmax and a loss over rows whose classes are on two devices, here of one adapter: what each finds of its half travels
//! through the host, a few bytes for each 1,024 classes, and each finishes its own half, with the bits of the rows in one piece.
//!
//! `cargo run --release --example shards` also compares the time of both steps with that of a softmax in one piece.

use std::error::Error;
use std::time::{Duration, Instant};
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    Bound, CrossEntropy, Gpu, Gradient, Rows, Schedule, ShardStatistics, Softmax, SoftmaxBuffers, SoftmaxKernel,
};

const ROWS: usize = 8;
const CLASSES: usize = 128_256;

fn logits() -> Vec<f32> {
    let number = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f32 / 2e6;
    (0..ROWS * CLASSES).map(number).collect()
}

/// The part of each row that a shard has.
fn held(logits: &[f32], first: usize, count: usize) -> Vec<f32> {
    let part = |row: &[f32]| row[first..first + count].to_vec();
    logits.chunks(CLASSES).flat_map(part).collect()
}

/// A loss and its gradient on two devices.
fn on_two_devices(logits: &[f32]) -> Result<(), Box<dyn Error>> {
    let gpus = [Gpu::new()?, Gpu::new()?];
    let targets: Vec<u32> = (0..ROWS as u32).map(|row| row * 16_000).collect();
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let shards = Rows::even_shards(CLASSES, gpus.len());
    let mut parts = Vec::new();
    for (gpu, (first, count)) in gpus.iter().zip(shards) {
        let rows = Rows::new(ROWS, count).shard(first, CLASSES);
        let held = held(logits, first, count);
        let statistics = gpu.cross_entropy_statistics(&held, &targets, rows, &options)?;
        let bytes = 4 * statistics.words().len();
        let share = 100.0 * bytes as f64 / (4 * held.len()) as f64;
        println!(
            "classes {first} to {}: {bytes} bytes travel, {share:.2} % of the logits",
            first + count
        );
        parts.push((gpu, rows, held, statistics));
    }
    let found: Vec<ShardStatistics> = parts.iter().map(|part| part.3.clone()).collect();
    let all = ShardStatistics::join(&found)?;
    let whole = gpus[0].cross_entropy(logits, &targets, Rows::new(ROWS, CLASSES), &options)?;
    let gradient = whole.gradient.as_deref().unwrap_or_default();
    for (gpu, rows, part, _) in &parts {
        let out = gpu.cross_entropy_shard(part, &targets, *rows, &all, &options)?;
        let expected = self::held(gradient, rows.first_class(), rows.classes());
        let is_same = out.loss == whole.loss && out.gradient.as_deref() == Some(&expected[..]);
        println!(
            "loss {:?}, the same bits as in one piece: {is_same}",
            out.loss.unwrap_or(f32::NAN)
        );
        if !is_same {
            return Err("a shard differs from the rows in one piece".into());
        }
    }
    Ok(())
}

fn buffer(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: bytes,
        usage: Usage::STORAGE | Usage::COPY_DST,
        mapped_at_creation: false,
    })
}

/// The least time of some runs.
fn time(gpu: &Gpu, all: &[Bound]) -> Result<Duration, Box<dyn Error>> {
    let mut least = Duration::MAX;
    for _ in 0..15 {
        let start = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        all.iter().for_each(|bound| {
            bound.encode(&mut encoder);
        });
        gpu.queue().submit([encoder.finish()]);
        gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
        least = least.min(start.elapsed());
    }
    Ok(least)
}

/// Two shards of rows that lie in one buffer, so that nothing travels, and the same rows in one piece.
fn on_one_device(logits: &[f32]) -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    let x = buffer(&gpu, 4 * logits.len() as u64);
    gpu.queue().write_buffer(&x, 0, bytemuck::cast_slice(logits));
    let y = buffer(&gpu, 4 * logits.len() as u64);
    let options = Softmax::default();
    let shards: Vec<(usize, SoftmaxKernel)> = (Rows::even_shards(CLASSES, 2).into_iter())
        .map(|(first, count)| {
            let rows = Rows::new(ROWS, count).with_row_stride(CLASSES).shard(first, CLASSES);
            Ok((first, options.prepare(&gpu, rows)?))
        })
        .collect::<Result<_, wgpu_softmax::EncodeError>>()?;
    let statistics = buffer(&gpu, shards[0].1.statistics_bytes()[1]);
    let (mut find, mut finish, mut at) = (Vec::new(), Vec::new(), 0);
    for (first, kernel) in &shards {
        let first_byte = 4 * *first as u64;
        let [own, all] = kernel.statistics_bytes();
        let buffers = |slice| SoftmaxBuffers {
            statistics: Some(slice),
            ..SoftmaxBuffers::new(x.slice(first_byte..), Some(y.slice(first_byte..)))
        };
        find.push(kernel.bind_statistics(&buffers(statistics.slice(at..at + own)))?);
        finish.push(kernel.bind(&buffers(statistics.slice(..all)))?);
        at += own;
    }
    let Schedule::Split { lanes, .. } = shards[0].1.schedule() else {
        return Err("shards are split".into());
    };
    let split = Softmax {
        schedule: Some(Schedule::Split { lanes, pieces: 1 }),
        ..options
    };
    let whole = split.prepare(&gpu, Rows::new(ROWS, CLASSES))?;
    let whole = whole.bind(&SoftmaxBuffers::new(x.slice(..), Some(y.slice(..))))?;
    find.extend(finish);
    let (sharded, whole) = (time(&gpu, &find)?, time(&gpu, &[whole])?);
    let ratio = sharded.as_secs_f64() / whole.as_secs_f64();
    println!("softmax of {ROWS} x {CLASSES} on one device: {sharded:.2?} in two shards, {whole:.2?} split: {ratio:.2}");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let logits = logits();
    on_two_devices(&logits)?;
    on_one_device(&logits)
}
