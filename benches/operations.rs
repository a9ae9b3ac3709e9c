//! For finding regressions: the time of the same kernels before and after a change, on the adapter that `WGPU_BACKEND` and
//! `WGPU_ADAPTER_NAME` choose. For the ratio to the time of a copy use `wgpu-softmax bench`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage, PollType};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, EncodeError, Gpu, Gradient, Recorded, Rows, Softmax,
    SoftmaxBuffers,
};

/// Rows and classes: many short rows, then rows of one chunk of 1,024 classes, of four, and of 126.
const SHAPES: [(usize, usize); 4] = [(8192, 64), (1024, 1024), (256, 4096), (8, 128_256)];

fn run(gpu: &Gpu, encode: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Recorded, EncodeError>) {
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encode(&mut encoder).unwrap();
    gpu.queue().submit([encoder.finish()]);
    gpu.device().poll(PollType::wait_indefinitely()).unwrap();
}

fn operations(criterion: &mut Criterion) {
    let gpu = Gpu::new().unwrap();
    let buffer = |bytes: usize| {
        gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: bytes as u64,
            usage: Usage::STORAGE | Usage::COPY_DST,
            mapped_at_creation: false,
        })
    };
    for (count, classes) in SHAPES {
        let (rows, bytes) = (Rows::new(count, classes), count * classes * 4);
        let x: Vec<f32> = (0..count * classes).map(|i| (i * 7919 % 1000) as f32 / 100.0).collect();
        let (logits, result) = (buffer(bytes), buffer(bytes));
        gpu.queue().write_buffer(&logits, 0, bytemuck::cast_slice(&x));
        let mut group = criterion.benchmark_group(format!("{count}x{classes}"));
        group.throughput(Throughput::Bytes(2 * bytes as u64));

        let softmax = Softmax::default().prepare(&gpu, rows).unwrap();
        let buffers = SoftmaxBuffers::new(logits.slice(..), Some(result.slice(..)));
        group.bench_function(BenchmarkId::new("softmax", softmax.schedule()), |b| {
            b.iter(|| run(&gpu, |encoder| softmax.encode(encoder, &buffers)));
        });

        let options = CrossEntropy {
            gradient: Gradient::Apart,
            ..CrossEntropy::default()
        };
        let kernel = options.prepare(&gpu, rows).unwrap();
        let (targets, summary) = (buffer(count * 4), buffer(CrossEntropySummary::BYTES as usize));
        let buffers = CrossEntropyBuffers {
            gradient: Some(result.slice(..)),
            ..CrossEntropyBuffers::new(logits.slice(..), targets.slice(..), summary.slice(..))
        };
        group.bench_function(BenchmarkId::new("cross_entropy", kernel.schedule()), |b| {
            b.iter(|| run(&gpu, |encoder| kernel.encode(encoder, &buffers)));
        });
        // What recording costs the host, on buffers that are bound anew and on those that are bound once.
        let bound = kernel.bind(&buffers).unwrap();
        let encoder = || gpu.device().create_command_encoder(&Default::default());
        group.bench_function("record cross_entropy", |b| {
            b.iter_batched_ref(encoder, |e| kernel.encode(e, &buffers).unwrap(), BatchSize::SmallInput);
        });
        group.bench_function("record cross_entropy, bound", |b| {
            b.iter_batched_ref(encoder, |e| bound.encode(e), BatchSize::SmallInput);
        });
        // From a slice on the host to a slice on the host.
        group.bench_function("softmax of a slice", |b| {
            b.iter(|| black_box(gpu.softmax(&x, rows, &Softmax::default()).unwrap()));
        });
    }
}

criterion_group!(benches, operations);
criterion_main!(benches);
