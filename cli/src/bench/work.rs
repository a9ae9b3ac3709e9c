//! An operation with its buffers, ready to be recorded again and again, and checked against the f64 reference first.

use super::Op;
use super::timer::read;
use crate::arrays::Failure;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropySummary, Dtype, Element, FullyMasked,
    Gpu, Gradient, LogSumExp, LogSumExpBuffers, LogSumExpKernel, Recorded, Reduction, Rows, Schedule, Softmax,
    SoftmaxBuffers, SoftmaxGrad, SoftmaxGradBuffers, SoftmaxGradKernel, SoftmaxKernel, Storage, reference,
};

/// What rounding to a type may cost, relatively.
fn rounding(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => 1e-3,
        Dtype::Bf16 => 8e-3,
        _ => 0.0,
    }
}

enum Kernel {
    Softmax(SoftmaxKernel),
    Grad(SoftmaxGradKernel),
    LogSumExp(LogSumExpKernel),
    CrossEntropy(Box<CrossEntropyKernel>),
}

pub(crate) struct Work {
    op: Op,
    rows: Rows,
    kernel: Kernel,
    /// Those that all operations have one of: the logits or what stands in their place, and the result.
    logits: wgpu::Buffer,
    result: wgpu::Buffer,
    /// The upstream gradient, or the targets.
    other: wgpu::Buffer,
    summary: wgpu::Buffer,
    /// What must be moved: one read of the input, one write of the output.
    pub(crate) bytes: u64,
}

/// The numbers of a batch, from 0 on: about normal, the same in every run.
pub(crate) fn logit(i: usize) -> f32 {
    let hash = |n: u64| {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 40
    };
    let uniform = |k: u64| hash(i as u64 * 4 + k) as f32 / (1u64 << 24) as f32 - 0.5;
    (uniform(0) + uniform(1) + uniform(2) + uniform(3)) * 6.0
}

pub(crate) fn target(row: usize, classes: usize) -> u32 {
    (row * 7919 % classes) as u32
}

/// What each operation is asked for, on the device and on the host.
pub(crate) struct Options {
    pub(crate) softmax: Softmax,
    pub(crate) grad: SoftmaxGrad,
    pub(crate) logsumexp: LogSumExp,
    pub(crate) cross_entropy: CrossEntropy,
}

impl Options {
    pub(crate) fn new(op: Op, dtype: Dtype, schedule: Option<Schedule>) -> Self {
        let storage = Storage::all(dtype);
        Self {
            softmax: Softmax {
                log: op == Op::LogSoftmax,
                storage,
                schedule,
                ..Softmax::default()
            },
            grad: SoftmaxGrad {
                storage,
                schedule,
                ..SoftmaxGrad::default()
            },
            logsumexp: LogSumExp {
                storage,
                schedule,
                ..LogSumExp::default()
            },
            cross_entropy: CrossEntropy {
                gradient: if op == Op::CrossEntropy {
                    Gradient::Apart
                } else {
                    Gradient::None
                },
                storage,
                schedule,
                ..CrossEntropy::default()
            },
        }
    }
}

impl Work {
    pub(crate) fn new<T: Element>(gpu: &Gpu, op: Op, rows: Rows, schedule: Option<Schedule>) -> Result<Self, Failure> {
        let (count, classes) = (rows.count(), rows.classes());
        let matrix = rows.elements()? as u64 * T::DTYPE.bytes();
        let words = count as u64 * 4;
        let limit = gpu.device().limits().max_storage_buffer_binding_size;
        if matrix > limit {
            return Err(Failure::Machine(format!(
                "{matrix} bytes, but the adapter binds {limit} at most"
            )));
        }
        let (result, other, bytes) = match op {
            Op::Softmax | Op::LogSoftmax => (matrix, 4, 2 * matrix),
            Op::SoftmaxGrad => (matrix, matrix, 3 * matrix),
            Op::Logsumexp => (words, 4, matrix + words),
            Op::CrossEntropy => (matrix, words, 2 * matrix + words),
            Op::CrossEntropyLoss => (4, words, matrix + words),
        };
        let buffer = |bytes: u64| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("bench"),
                size: bytes.next_multiple_of(4).max(64),
                usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let options = Options::new(op, T::DTYPE, schedule);
        let kernel = match op {
            Op::Softmax | Op::LogSoftmax => Kernel::Softmax(options.softmax.prepare(gpu, rows)?),
            Op::SoftmaxGrad => Kernel::Grad(options.grad.prepare(gpu, rows)?),
            Op::Logsumexp => Kernel::LogSumExp(options.logsumexp.prepare(gpu, rows)?),
            Op::CrossEntropy | Op::CrossEntropyLoss => {
                Kernel::CrossEntropy(Box::new(options.cross_entropy.prepare(gpu, rows)?))
            }
        };
        let work = Self {
            op,
            rows,
            kernel,
            logits: buffer(matrix),
            result: buffer(result),
            other: buffer(other),
            summary: buffer(CrossEntropySummary::BYTES),
            bytes,
        };
        let fill = |buffer: &wgpu::Buffer, first: usize| {
            let values: Vec<T> = (0..count * classes).map(|i| T::nearest(logit(first + i))).collect();
            write(gpu, buffer, bytemuck::cast_slice(&values));
        };
        fill(&work.logits, 0);
        match op {
            Op::SoftmaxGrad => fill(&work.other, count * classes),
            Op::CrossEntropy | Op::CrossEntropyLoss => {
                let targets: Vec<u32> = (0..count).map(|row| target(row, classes)).collect();
                write(gpu, &work.other, bytemuck::cast_slice(&targets));
            }
            _ => {}
        }
        Ok(work)
    }

    pub(crate) fn schedule(&self) -> Schedule {
        match &self.kernel {
            Kernel::Softmax(kernel) => kernel.schedule(),
            Kernel::Grad(kernel) => kernel.schedule(),
            Kernel::LogSumExp(kernel) => kernel.schedule(),
            Kernel::CrossEntropy(kernel) => kernel.schedule(),
        }
    }

    pub(crate) fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Recorded, Failure> {
        let (logits, result, other) = (self.logits.slice(..), self.result.slice(..), self.other.slice(..));
        Ok(match &self.kernel {
            Kernel::Softmax(kernel) => kernel.encode(encoder, &SoftmaxBuffers::new(logits, Some(result)))?,
            Kernel::Grad(kernel) => {
                let buffers = SoftmaxGradBuffers {
                    saved: logits,
                    upstream: other,
                    gradient: result,
                    logits: None,
                    adjust: Default::default(),
                };
                kernel.encode(encoder, &buffers)?
            }
            Kernel::LogSumExp(kernel) => {
                let buffers = LogSumExpBuffers {
                    logits,
                    lse: result,
                    adjust: Default::default(),
                };
                kernel.encode(encoder, &buffers)?
            }
            Kernel::CrossEntropy(kernel) => {
                let buffers = CrossEntropyBuffers {
                    gradient: (self.op == Op::CrossEntropy).then_some(result),
                    ..CrossEntropyBuffers::new(logits, other, self.summary.slice(..))
                };
                kernel.encode(encoder, &buffers)?
            }
        })
    }

    /// Runs once, and compares the first rows' results with the reference.
    pub(crate) fn check<T: Element>(&self, gpu: &Gpu) -> Result<(), Failure> {
        let classes = self.rows.classes();
        let count = self.rows.count().min((1 << 18) / classes + 1);
        let rows = Rows::new(count, classes);
        let (elements, total) = (count * classes, self.rows.count());
        let x: Vec<T> = (0..elements).map(|i| T::nearest(logit(i))).collect();
        let targets: Vec<u32> = (0..count).map(|row| target(row, classes)).collect();
        let sum = CrossEntropy {
            gradient: Gradient::Apart,
            reduction: Reduction::Sum,
            ..CrossEntropy::default()
        };
        let mean = |values: Vec<f64>| values.into_iter().map(|v| v / total as f64).collect::<Vec<_>>();
        let log = self.op == Op::LogSoftmax;
        let exact = match self.op {
            Op::Softmax | Op::LogSoftmax => reference::softmax(
                &x,
                rows,
                &Softmax {
                    log,
                    ..Softmax::default()
                },
            )?,
            Op::SoftmaxGrad => {
                let first = total * classes;
                let g: Vec<T> = (0..elements).map(|i| T::nearest(logit(first + i))).collect();
                reference::softmax_grad(&x, &g, rows, false, None)?
            }
            Op::Logsumexp => reference::logsumexp(&x, rows, &Adjust::default(), FullyMasked::Nan)?,
            Op::CrossEntropy => mean(reference::cross_entropy(&x, &targets, rows, &sum)?.gradient),
            Op::CrossEntropyLoss if count == total => {
                mean(vec![reference::cross_entropy(&x, &targets, rows, &sum)?.loss])
            }
            Op::CrossEntropyLoss => Vec::new(),
        };
        let is_word = matches!(self.op, Op::Logsumexp | Op::CrossEntropyLoss);
        let size = if is_word { 4 } else { T::DTYPE.bytes() as usize };
        let source = if self.op == Op::CrossEntropyLoss {
            &self.summary
        } else {
            &self.result
        };
        let bytes = ((exact.len() * size) as u64).next_multiple_of(4).max(4);
        let back = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("check"),
            size: bytes,
            usage: Usage::MAP_READ | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        self.encode(&mut encoder)?;
        encoder.copy_buffer_to_buffer(source, 0, &back, 0, bytes);
        gpu.queue().submit([encoder.finish()]);
        let got: Vec<f64> = if is_word {
            read::<f32>(gpu, &back)?.into_iter().map(f64::from).collect()
        } else {
            read::<T>(gpu, &back)?.into_iter().map(Into::into).collect()
        };
        // A backward pass of a common loss is as small as its rows are many.
        let scale = exact.iter().fold(1e-30, |most: f64, v| most.max(v.abs()));
        let within = 4e-6 * scale;
        for (i, (got, exact)) in got.iter().zip(&exact).enumerate() {
            let is_near = (got - exact).abs() <= within + rounding(T::DTYPE) * exact.abs().max(6e-5);
            if !is_near {
                let place = format!("row {}, class {}", i / classes, i % classes);
                return Err(Failure::Machine(format!(
                    "a wrong result before timing: {place}: {got} for {exact}"
                )));
            }
        }
        Ok(())
    }
}

/// An odd number of 16-bit elements ends mid-word.
fn write(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: &[u8]) {
    let mut words = bytes.to_vec();
    words.resize(bytes.len().next_multiple_of(4), 0);
    gpu.queue().write_buffer(buffer, 0, &words);
}
