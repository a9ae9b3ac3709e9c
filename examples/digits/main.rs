//! Multinomial logistic regression on the UCI digits. The example's own kernels for the linear layer and the optimiser are
//! recorded into one encoder with this library's cross-entropy, on the same buffers; of each step only the summary (the
//! loss and the number of correct rows) is read back to the host.
//!
//! `cargo run --example digits` prints the loss and accuracy of each epoch, compares loss and gradient with the f64
//! reference, and writes digits.svg.

mod data;
mod device;
#[path = "../tutorial/figure.rs"]
mod figure;
mod picture;

use data::{CLASSES, Images, PIXELS};
use device::{Kernel, buffer, filled, read};
use picture::Picture;
use std::error::Error;
use wgpu_softmax::wgpu;
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropySummary, Gpu, Gradient, Rows, Softmax, reference,
};

const EPOCHS: usize = 60;
const PICTURE: &str = "digits.svg";

/// A batch on the device, with the kernels of a training step on it.
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

/// The loss of every step, and the largest differences from the f64 reference.
#[derive(Default)]
struct Record {
    losses: Vec<f32>,
    loss_error: f64,
    gradient_error: f64,
}

/// What all batches are trained with.
struct Trainer<'a> {
    gpu: &'a Gpu,
    rows: Rows,
    options: CrossEntropy,
    cross_entropy: CrossEntropyKernel,
    summary: wgpu::Buffer,
    record: Record,
}

impl<'a> Trainer<'a> {
    fn new(gpu: &'a Gpu, rows: Rows) -> Result<Self, Box<dyn Error>> {
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            correct: true,
            ..CrossEntropy::default()
        };
        Ok(Self {
            gpu,
            rows,
            cross_entropy: options.prepare(gpu, rows)?,
            options,
            summary: buffer(gpu, CrossEntropySummary::BYTES as usize / 4),
            record: Record::default(),
        })
    }

    /// One step: logits, loss and gradient, new weights, in one submission.
    fn step(&mut self, batch: &Batch) -> Result<CrossEntropySummary, Box<dyn Error>> {
        let mut encoder = encoder(self.gpu);
        batch.linear.encode(&mut encoder);
        let buffers = CrossEntropyBuffers {
            gradient: Some(batch.gradient.slice(..)),
            ..CrossEntropyBuffers::new(batch.logits.slice(..), batch.targets.slice(..), self.summary.slice(..))
        };
        self.cross_entropy.encode(&mut encoder, &buffers)?;
        batch.step.encode(&mut encoder);
        let bytes = read::<u8>(self.gpu, encoder, &self.summary)?;
        let summary = CrossEntropySummary::from_bytes(&bytes).ok_or("the summary is too short")?;
        self.record.losses.push(summary.loss);
        Ok(summary)
    }

    /// Compares the loss and gradient of the batch's last step, whose logits are still on the device, with the reference.
    fn compare(&mut self, batch: &Batch, loss: f32) -> Result<(), Box<dyn Error>> {
        let logits: Vec<f32> = read(self.gpu, encoder(self.gpu), &batch.logits)?;
        let gradient: Vec<f32> = read(self.gpu, encoder(self.gpu), &batch.gradient)?;
        let exact = reference::cross_entropy(&logits, &batch.digits, self.rows, &self.options)?;
        let record = &mut self.record;
        record.loss_error = record.loss_error.max((f64::from(loss) - exact.loss).abs());
        for (g, exact) in gradient.iter().zip(&exact.gradient) {
            record.gradient_error = record.gradient_error.max((f64::from(*g) - exact).abs());
        }
        Ok(())
    }

    fn train(&mut self, batches: &[Batch]) -> Result<(), Box<dyn Error>> {
        let bar = indicatif::ProgressBar::new((EPOCHS * batches.len()) as u64);
        for epoch in 1..=EPOCHS {
            let (mut total, mut correct, mut count) = (0.0, 0, 0);
            for batch in batches {
                let summary = self.step(batch)?;
                total += summary.loss;
                correct += summary.correct;
                count += summary.counted;
                bar.inc(1);
                self.compare(batch, summary.loss)?;
            }
            let (loss, accuracy) = (total / batches.len() as f32, 100.0 * correct as f32 / count as f32);
            let line = format!("epoch {epoch:2}: loss {loss:.4}, {accuracy:.2} % of the training images right");
            bar.suspend(|| println!("{line}"));
        }
        bar.finish();
        Ok(())
    }
}

fn encoder(gpu: &Gpu) -> wgpu::CommandEncoder {
    gpu.device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

/// The probabilities of each image's ten classes.
fn classify(gpu: &Gpu, batch: &Batch) -> Result<Vec<f32>, Box<dyn Error>> {
    let mut encoder = encoder(gpu);
    batch.linear.encode(&mut encoder);
    let logits: Vec<f32> = read(gpu, encoder, &batch.logits)?;
    Ok(gpu.softmax(&logits, Rows::new(batch.digits.len(), CLASSES), &Softmax::default())?)
}

/// The number of rows whose most probable class is the digit.
fn count_right(probs: &[f32], digits: &[u32]) -> usize {
    let rows = probs.chunks(CLASSES).zip(digits);
    rows.filter(|(row, digit)| row.iter().all(|&p| p <= row[**digit as usize]))
        .count()
}

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = Gpu::new()?;
    println!("adapter: {} ({})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let (train, test) = data::load()?;
    let (weights, velocity) = (buffer(&gpu, PIXELS * CLASSES), buffer(&gpu, PIXELS * CLASSES));
    let on_device = |images| Batch::new(&gpu, images, &weights, &velocity);
    let batches: Vec<Batch> = train.iter().map(on_device).collect();
    let mut trainer = Trainer::new(&gpu, Rows::new(train[0].digits.len(), CLASSES))?;
    trainer.train(&batches)?;
    let Record {
        losses,
        loss_error,
        gradient_error,
    } = trainer.record;
    println!("largest error against the f64 reference: loss {loss_error:.1e}, gradient {gradient_error:.1e}");

    let probs = classify(&gpu, &on_device(&test))?;
    let right = count_right(&probs, &test.digits);
    let accuracy = 100.0 * right as f64 / test.digits.len() as f64;
    println!("test set: {right} of {} right, {accuracy:.2} %", test.digits.len());
    let picture = Picture {
        losses: &losses,
        test: &test,
        probs: &probs,
        right,
    };
    picture.save(PICTURE)?;
    println!("picture: {PICTURE}");
    if accuracy < 95.0 || loss_error > 2e-6 || gradient_error > 1e-6 {
        return Err("the results are less accurate than they must be".into());
    }
    Ok(())
}
