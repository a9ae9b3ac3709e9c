//! Multinomial logistic regression on the UCI digits: our cross-entropy between a linear layer and an optimiser of the
//! example's own, in one encoder, on the same buffers. Nothing returns to the host inside a step but the loss.
//!
//! `cargo run --example digits` prints the loss and accuracy of each epoch, checks loss and gradient against the f64
//! reference, and writes digits.png.

mod data;
mod device;
mod picture;

use data::{CLASSES, Images, PIXELS};
use device::{Kernel, buffer, filled, read};
use std::error::Error;
use wgpu_softmax::wgpu;
use wgpu_softmax::{CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gpu, Gradient, Rows, Softmax, reference};

const EPOCHS: usize = 60;

/// A batch on the device, with what a step on it needs.
struct Batch {
    digits: Vec<u32>,
    targets: wgpu::Buffer,
    logits: wgpu::Buffer,
    gradient: wgpu::Buffer,
    linear: Kernel,
    step: Kernel,
}

impl Batch {
    fn new(gpu: &Gpu, images: &Images, weights: &wgpu::Buffer, velocity: &wgpu::Buffer) -> Self {
        let rows = images.digits.len();
        let x = filled(gpu, bytemuck::cast_slice(&images.pixels));
        let (logits, gradient) = (buffer(gpu, rows * CLASSES), buffer(gpu, rows * CLASSES));
        Self {
            digits: images.digits.clone(),
            targets: filled(gpu, bytemuck::cast_slice(&images.digits)),
            linear: Kernel::new(
                gpu,
                include_str!("linear.wgsl"),
                &[("ROWS", rows as f64)],
                &[x.slice(..), weights.slice(..), logits.slice(..)],
                rows * CLASSES,
            ),
            step: Kernel::new(
                gpu,
                include_str!("step.wgsl"),
                &[("ROWS", rows as f64)],
                &[x.slice(..), gradient.slice(..), weights.slice(..), velocity.slice(..)],
                PIXELS * CLASSES,
            ),
            logits,
            gradient,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("adapter: {} ({})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let (train, test) = data::load()?;
    let (weights, velocity) = (buffer(&gpu, PIXELS * CLASSES), buffer(&gpu, PIXELS * CLASSES));
    let batches: Vec<Batch> = train
        .iter()
        .map(|images| Batch::new(&gpu, images, &weights, &velocity))
        .collect();
    let rows = Rows::new(train[0].digits.len(), CLASSES);
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        correct: true,
        ..CrossEntropy::default()
    };
    let cross_entropy = options.prepare(&gpu, rows)?;
    let summary = buffer(&gpu, CrossEntropySummary::BYTES as usize / 4);
    let encoder = || {
        gpu.device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    };

    let bar = indicatif::ProgressBar::new((EPOCHS * batches.len()) as u64);
    let (mut losses, mut loss_error, mut gradient_error) = (Vec::new(), 0f64, 0f64);
    for epoch in 1..=EPOCHS {
        let (mut total, mut correct, mut count) = (0.0, 0, 0);
        for batch in &batches {
            let mut encoder = encoder();
            batch.linear.encode(&mut encoder);
            let buffers = CrossEntropyBuffers {
                gradient: Some(batch.gradient.slice(..)),
                ..CrossEntropyBuffers::new(batch.logits.slice(..), batch.targets.slice(..), summary.slice(..))
            };
            cross_entropy.encode(&mut encoder, &buffers)?;
            batch.step.encode(&mut encoder);
            let bytes = read::<u8>(&gpu, encoder, &summary)?;
            let summary = CrossEntropySummary::from_bytes(&bytes).ok_or("a short summary")?;
            losses.push(summary.loss);
            total += summary.loss;
            correct += summary.correct;
            count += summary.counted;
            bar.inc(1);
        }
        // The last step's logits and gradient are still there: are they what the reference says?
        if let (Some(batch), Some(&loss)) = (batches.last(), losses.last()) {
            let logits: Vec<f32> = read(&gpu, encoder(), &batch.logits)?;
            let gradient: Vec<f32> = read(&gpu, encoder(), &batch.gradient)?;
            let exact = reference::cross_entropy(&logits, &batch.digits, rows, &options)?;
            loss_error = loss_error.max((f64::from(loss) - exact.loss).abs());
            for (g, exact) in gradient.iter().zip(&exact.gradient) {
                gradient_error = gradient_error.max((f64::from(*g) - exact).abs());
            }
        }
        let (loss, accuracy) = (total / batches.len() as f32, 100.0 * correct as f32 / count as f32);
        let line = format!("epoch {epoch:2}: loss {loss:.4}, {accuracy:.2} % of the training images right");
        bar.suspend(|| println!("{line}"));
    }
    bar.finish();
    println!("largest error against the f64 reference: loss {loss_error:.1e}, gradient {gradient_error:.1e}");

    let batch = Batch::new(&gpu, &test, &weights, &velocity);
    let mut encoder = encoder();
    batch.linear.encode(&mut encoder);
    let logits: Vec<f32> = read(&gpu, encoder, &batch.logits)?;
    let probs = gpu.softmax(&logits, Rows::new(test.digits.len(), CLASSES), &Softmax::default())?;
    let is_right = |(row, digit): (&[f32], &u32)| row.iter().all(|&p| p <= row[*digit as usize]);
    let right = probs
        .chunks(CLASSES)
        .zip(&test.digits)
        .filter(|&pair| is_right(pair))
        .count();
    let accuracy = 100.0 * right as f64 / test.digits.len() as f64;
    println!("test set: {right} of {} right, {accuracy:.2} %", test.digits.len());
    picture::draw("digits.png", &losses, &test, &probs)?;
    println!("picture: digits.png");
    if accuracy < 95.0 || loss_error > 2e-6 || gradient_error > 1e-6 {
        return Err("less accurate than it must be".into());
    }
    Ok(())
}
