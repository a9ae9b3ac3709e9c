//! Multinomial logistic regression on the UCI digits: our cross-entropy between a linear layer and an optimiser of the
//! example's own, in one encoder, on the same buffers. Nothing returns to the host inside a step but the loss.
//!
//! `cargo run --example digits` prints the loss and accuracy of each epoch, checks loss and gradient against the f64
//! reference, and writes digits.png.

mod data;
mod picture;

use data::{CLASSES, Images, PIXELS};
use std::error::Error;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gpu, Gradient, Rows, Softmax, reference};

const EPOCHS: usize = 60;

fn buffer(gpu: &Gpu, words: usize) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: words as u64 * 4,
        usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        mapped_at_creation: false,
    })
}

fn filled(gpu: &Gpu, bytes: &[u8]) -> wgpu::Buffer {
    let buffer = buffer(gpu, bytes.len() / 4);
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

/// Submits, and brings one buffer to the host.
fn read<T: bytemuck::Pod>(
    gpu: &Gpu,
    mut encoder: wgpu::CommandEncoder,
    source: &wgpu::Buffer,
) -> Result<Vec<T>, Box<dyn Error>> {
    let copy = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: source.size(),
        usage: Usage::MAP_READ | Usage::COPY_DST,
        mapped_at_creation: false,
    });
    encoder.copy_buffer_to_buffer(source, 0, &copy, 0, source.size());
    gpu.queue().submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |_| ());
    gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
    let view = copy.get_mapped_range(..)?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}

/// A kernel of the example's own, with its buffers bound in order.
struct Kernel {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    groups: u32,
}

impl Kernel {
    fn new(gpu: &Gpu, source: &str, rows: usize, buffers: &[&wgpu::Buffer], invocations: usize) -> Self {
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("ROWS", rows as f64)],
                ..Default::default()
            },
            cache: None,
        });
        let entries: Vec<_> = (0u32..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self {
            pipeline,
            group,
            groups: invocations.div_ceil(64) as u32,
        }
    }

    fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.groups, 1, 1);
    }
}

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
                rows,
                &[&x, weights, &logits],
                rows * CLASSES,
            ),
            step: Kernel::new(
                gpu,
                include_str!("step.wgsl"),
                rows,
                &[&x, &gradient, weights, velocity],
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
