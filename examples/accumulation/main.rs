//! A batch too large for its logits to be kept: 449 images go through in micro-batches of 64, whose gradients add up to that of
//! the whole batch, since all divide by the same number of labelled images: an external normaliser, in a buffer, as it would come
//! from a sum over devices. Every seventh image has no label.
//!
//! `cargo run --example accumulation` trains like that, and compares each step's gradient with that of the batch at once.

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
/// Images without a label.
const IGNORED: i32 = -100;
/// Words from one summary to the next: where a binding may begin on any adapter.
const STRIDE: usize = 64;

/// A run of rows of a batch, with what takes it from its images to its part of the gradient.
struct Part {
    linear: Kernel,
    cross_entropy: CrossEntropyKernel,
    accumulate: Kernel,
    first_row: usize,
}

/// A batch on the device, in parts.
struct Batch {
    parts: Vec<Part>,
    targets: wgpu::Buffer,
    /// Images that have a label.
    labelled: wgpu::Buffer,
    /// Of one part: the next one overwrites them.
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

    /// Adds the batch's gradient to the sum.
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

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("adapter: {} ({})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let (train, _) = data::load()?;
    let weights = buffer(&gpu, PIXELS * CLASSES);
    let (sum, at_once) = (buffer(&gpu, PIXELS * CLASSES), buffer(&gpu, PIXELS * CLASSES));
    let micro = train
        .iter()
        .map(|images| Batch::new(&gpu, images, MICRO, &weights, &sum));
    let micro = micro.collect::<Result<Vec<_>, _>>()?;
    let whole = train
        .iter()
        .map(|images| Batch::new(&gpu, images, images.digits.len(), &weights, &at_once));
    let whole = whole.collect::<Result<Vec<_>, _>>()?;
    let descend = [sum.slice(..), weights.slice(..)];
    let descend = Kernel::new(&gpu, include_str!("descend.wgsl"), &[], &descend, PIXELS * CLASSES);

    let mut furthest = 0f32;
    for epoch in 1..=EPOCHS {
        let mut loss = 0.0;
        for (micro, whole) in micro.iter().zip(&whole) {
            let mut encoder = gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            for sum in [&sum, &at_once] {
                encoder.clear_buffer(sum, 0, None);
            }
            whole.encode(&mut encoder)?;
            micro.encode(&mut encoder)?;
            descend.encode(&mut encoder);
            let summaries: Vec<u8> = read(&gpu, encoder, &micro.summaries)?;
            // Each is divided by the batch's number of labels: they add up to the batch's mean.
            for summary in summaries.chunks(STRIDE * 4) {
                loss += CrossEntropySummary::from_bytes(summary).ok_or("a short summary")?.loss;
            }
            let encoder = || {
                gpu.device()
                    .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
            };
            let (sum, at_once): (Vec<f32>, Vec<f32>) = (read(&gpu, encoder(), &sum)?, read(&gpu, encoder(), &at_once)?);
            let largest = at_once
                .iter()
                .fold(f32::MIN_POSITIVE, |largest, g| largest.max(g.abs()));
            let apart = sum
                .iter()
                .zip(&at_once)
                .fold(0f32, |apart, (a, b)| apart.max((a - b).abs()));
            furthest = furthest.max(apart / largest);
        }
        println!("epoch {epoch:2}: loss {:.4}", loss / micro.len() as f32);
    }
    println!(
        "{} micro-batches a batch: gradients at most {furthest:.1e} of the largest from those of the batch at once",
        micro[0].parts.len()
    );
    if furthest > 1e-5 {
        return Err("the micro-batches do not add up to the batch".into());
    }
    Ok(())
}
