//! Training on a batch whose logits are too large to be in memory at once. 449 images are processed in micro-batches of 64. Their
//! gradients add up to that of the whole batch, because all are divided by the same number of labelled images: an external
//! normalizer, which lies in a buffer, as it would if it were the result of a sum over devices. Every seventh image has no label.
//!
//! `cargo run --example accumulation` trains that way, and compares the gradient of each step with that of the whole batch at once.

#[path = "../digits/data.rs"]
mod data;
#[path = "../digits/device.rs"]
mod device;

use data::{CLASSES, Images, PIXELS};
use device::{Kernel, buffer, filled, read};
use std::error::Error;
use wgpu_softmax::wgpu::{self, CommandEncoder};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropySummary, Gpu, Gradient, Normalizer, Rows,
};

const EPOCHS: usize = 20;
const MICRO: usize = 64;
/// The target of images without a label.
const IGNORED: i32 = -100;
/// Words from one summary to the next. On any adapter a binding may begin at a multiple of 256 bytes.
const STRIDE: usize = 64;

/// A micro-batch: some rows of a batch, with the kernels that compute its logits and add its gradient to the sum.
struct Part {
    linear: Kernel,
    cross_entropy: CrossEntropyKernel,
    accumulate: Kernel,
    first_row: usize,
}

/// A batch on the device, with its micro-batches.
struct Batch {
    parts: Vec<Part>,
    targets: wgpu::Buffer,
    /// The number of images that have a label, as f32.
    labelled: wgpu::Buffer,
    /// The logits and gradient of one micro-batch. The next one overwrites them.
    logits: wgpu::Buffer,
    gradient: wgpu::Buffer,
    summaries: wgpu::Buffer,
}

impl Batch {
    fn new(
        gpu: &Gpu,
        images: &Images,
        part_rows: usize,
        weights: &wgpu::Buffer,
        sum: &wgpu::Buffer,
    ) -> Result<Self, Box<dyn Error>> {
        let rows = images.digits.len();
        let x = filled(gpu, bytemuck::cast_slice(&images.pixels));
        let label = |(i, &digit): (usize, &u32)| if i % 7 == 3 { IGNORED } else { digit as i32 };
        let targets: Vec<i32> = images.digits.iter().enumerate().map(label).collect();
        let labelled = targets.iter().filter(|&&t| t != IGNORED).count() as f32;
        let (logits, gradient) = (buffer(gpu, part_rows * CLASSES), buffer(gpu, part_rows * CLASSES));
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            normalizer: Normalizer::Buffer,
            ignore_index: IGNORED.into(),
            ..CrossEntropy::default()
        };
        let part = |first_row: usize| -> Result<Part, Box<dyn Error>> {
            let count = part_rows.min(rows - first_row);
            let constants = [("ROWS", count as f64)];
            let bytes = (first_row * PIXELS * 4) as u64;
            let x = x.slice(bytes..bytes + (count * PIXELS * 4) as u64);
            let by_linear = [x, weights.slice(..), logits.slice(..)];
            let by_accumulate = [x, gradient.slice(..), sum.slice(..)];
            let (linear, accumulate) = (include_str!("../digits/linear.wgsl"), include_str!("accumulate.wgsl"));
            Ok(Part {
                linear: Kernel::new(gpu, linear, &constants, &by_linear, count * CLASSES),
                cross_entropy: options.prepare(gpu, Rows::new(count, CLASSES))?,
                accumulate: Kernel::new(gpu, accumulate, &constants, &by_accumulate, PIXELS * CLASSES),
                first_row,
            })
        };
        let parts = (0..rows).step_by(part_rows).map(part).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            summaries: buffer(gpu, parts.len() * STRIDE),
            parts,
            targets: filled(gpu, bytemuck::cast_slice(&targets)),
            labelled: filled(gpu, bytemuck::bytes_of(&labelled)),
            logits,
            gradient,
        })
    }

    /// Records the batch, whose gradient is added to the sum.
    fn encode(&self, encoder: &mut CommandEncoder) -> Result<(), Box<dyn Error>> {
        for (i, part) in self.parts.iter().enumerate() {
            part.linear.encode(encoder);
            let targets = self.targets.slice((part.first_row * 4) as u64..);
            let summary = (i * STRIDE * 4) as u64;
            let summary = self.summaries.slice(summary..summary + CrossEntropySummary::BYTES);
            let buffers = CrossEntropyBuffers {
                gradient: Some(self.gradient.slice(..)),
                normalizer: Some(self.labelled.slice(..)),
                ..CrossEntropyBuffers::new(self.logits.slice(..), targets, summary)
            };
            part.cross_entropy.encode(encoder, &buffers)?;
            part.accumulate.encode(encoder);
        }
        Ok(())
    }
}

/// The largest difference between the elements of two gradients, as a share of the largest element.
fn difference(gradient: &[f32], expected: &[f32]) -> f32 {
    let largest = expected
        .iter()
        .fold(f32::MIN_POSITIVE, |largest, g| largest.max(g.abs()));
    let pairs = gradient.iter().zip(expected);
    pairs.fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

fn encoder(gpu: &Gpu) -> CommandEncoder {
    gpu.device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

/// The two sums of gradients, of micro-batches and of whole batches, and the kernel that descends along the first.
struct Trainer {
    gpu: Gpu,
    sum: wgpu::Buffer,
    at_once: wgpu::Buffer,
    descend: Kernel,
}

impl Trainer {
    /// One step: both gradients of a batch, and new weights. Returns the loss, and how far the gradients differ.
    fn step(&self, micro: &Batch, whole: &Batch) -> Result<(f32, f32), Box<dyn Error>> {
        let gpu = &self.gpu;
        let mut commands = encoder(gpu);
        for sum in [&self.sum, &self.at_once] {
            commands.clear_buffer(sum, 0, None);
        }
        whole.encode(&mut commands)?;
        micro.encode(&mut commands)?;
        self.descend.encode(&mut commands);
        let summaries: Vec<u8> = read(gpu, commands, &micro.summaries)?;
        // Each loss is divided by the number of labels in the whole batch, so they add up to the batch's mean.
        let mut loss = 0.0;
        for summary in summaries.chunks(STRIDE * 4) {
            loss += CrossEntropySummary::from_bytes(summary)
                .ok_or("the summary is too short")?
                .loss;
        }
        let sum: Vec<f32> = read(gpu, encoder(gpu), &self.sum)?;
        let at_once: Vec<f32> = read(gpu, encoder(gpu), &self.at_once)?;
        Ok((loss, difference(&sum, &at_once)))
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("adapter: {} ({})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let (train, _) = data::load()?;
    let weights = buffer(&gpu, PIXELS * CLASSES);
    let (sum, at_once) = (buffer(&gpu, PIXELS * CLASSES), buffer(&gpu, PIXELS * CLASSES));
    let mut batches = Vec::new();
    for images in &train {
        let micro = Batch::new(&gpu, images, MICRO, &weights, &sum)?;
        let whole = Batch::new(&gpu, images, images.digits.len(), &weights, &at_once)?;
        batches.push((micro, whole));
    }
    let descend = [sum.slice(..), weights.slice(..)];
    let descend = Kernel::new(&gpu, include_str!("descend.wgsl"), &[], &descend, PIXELS * CLASSES);
    let trainer = Trainer {
        gpu,
        sum,
        at_once,
        descend,
    };

    let mut furthest = 0f32;
    for epoch in 1..=EPOCHS {
        let mut total = 0.0;
        for (micro, whole) in &batches {
            let (loss, difference) = trainer.step(micro, whole)?;
            total += loss;
            furthest = furthest.max(difference);
        }
        println!("epoch {epoch:2}: loss {:.4}", total / batches.len() as f32);
    }
    println!(
        "{} micro-batches a batch: gradients at most {furthest:.1e} of the largest from those of the batch at once",
        batches[0].0.parts.len()
    );
    if furthest > 1e-5 {
        return Err("the micro-batches do not add up to the batch".into());
    }
    Ok(())
}
