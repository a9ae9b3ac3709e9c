//! An operation with its buffers, ready to be recorded again and again.

use super::case::{Op, target};
use super::options::Options;
use super::sampling::Sampling;
use crate::failure::Failure;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    Bound, CrossEntropyBuffers, CrossEntropyKernel, CrossEntropySummary, Dtype, Element, EncodeError, Gpu, LogSumExp,
    LogSumExpBuffers, LogSumExpKernel, Recorded, Rows, SampleBuffers, Schedule, SoftmaxBuffers, SoftmaxGradBuffers,
    SoftmaxGradKernel, SoftmaxKernel, Storage,
};

enum Kernel {
    Softmax(SoftmaxKernel),
    Grad(SoftmaxGradKernel),
    LogSumExp(LogSumExpKernel),
    CrossEntropy(Box<CrossEntropyKernel>),
    Sample(Box<Sampling>),
}

impl Kernel {
    fn new(gpu: &Gpu, op: Op, rows: Rows, options: &Options) -> Result<Self, Failure> {
        Ok(match op {
            Op::Softmax | Op::LogSoftmax => Self::Softmax(options.softmax.prepare(gpu, rows)?),
            Op::SoftmaxGrad => Self::Grad(options.grad.prepare(gpu, rows)?),
            Op::Logsumexp => Self::LogSumExp(options.logsumexp.prepare(gpu, rows)?),
            Op::CrossEntropy | Op::CrossEntropyLoss | Op::Distillation => {
                Self::CrossEntropy(Box::new(options.cross_entropy.prepare(gpu, rows)?))
            }
            _ => Self::Sample(Box::new(Sampling::new(gpu, rows, &options.sample)?)),
        })
    }
}

pub(super) struct Work {
    pub(super) op: Op,
    pub(super) rows: Rows,
    kernel: Kernel,
    /// The logits, or for a gradient of softmax the probabilities.
    logits: wgpu::Buffer,
    pub(super) result: wgpu::Buffer,
    /// The upstream gradient, or the targets.
    other: wgpu::Buffer,
    /// The loss of a cross-entropy, and what else is summed over its rows.
    pub(super) summary: wgpu::Buffer,
    /// What must be moved at least: one read of the input and one write of the output.
    pub(super) bytes: u64,
}

impl Work {
    pub(super) fn new<T: Element>(gpu: &Gpu, op: Op, rows: Rows, schedule: Option<Schedule>) -> Result<Self, Failure> {
        let matrix = rows.elements()? as u64 * T::DTYPE.bytes();
        let words = rows.count() as u64 * 4;
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
            Op::Distillation => (matrix, matrix, 3 * matrix),
            // Sampling is held to one read, whatever it reports.
            _ => (words, 4, matrix + words),
        };
        let work = Self {
            op,
            rows,
            kernel: Kernel::new(gpu, op, rows, &Options::new(op, &rows, T::DTYPE, schedule))?,
            logits: buffer(gpu, matrix),
            result: buffer(gpu, result),
            other: buffer(gpu, other),
            summary: buffer(gpu, CrossEntropySummary::BYTES),
            bytes,
        };
        work.fill::<T>(gpu);
        Ok(work)
    }

    /// Writes the inputs.
    fn fill<T: Element>(&self, gpu: &Gpu) {
        let (count, classes) = (self.rows.count(), self.rows.classes());
        let fill = |buffer: &wgpu::Buffer, first: usize| {
            let values: Vec<T> = (0..count * classes)
                .map(|i| T::nearest(self.op.logit(first + i)))
                .collect();
            write(gpu, buffer, bytemuck::cast_slice(&values));
        };
        fill(&self.logits, 0);
        match self.op {
            Op::SoftmaxGrad | Op::Distillation => fill(&self.other, count * classes),
            Op::CrossEntropy | Op::CrossEntropyLoss => {
                let targets: Vec<u32> = (0..count).map(|row| target(row, classes)).collect();
                write(gpu, &self.other, bytemuck::cast_slice(&targets));
            }
            _ => {}
        }
    }

    pub(super) fn schedule(&self) -> Schedule {
        match &self.kernel {
            Kernel::Softmax(kernel) => kernel.schedule(),
            Kernel::Grad(kernel) => kernel.schedule(),
            Kernel::LogSumExp(kernel) => kernel.schedule(),
            Kernel::CrossEntropy(kernel) => kernel.schedule(),
            Kernel::Sample(sampling) => sampling.kernel.schedule(),
        }
    }

    /// Records the operation on buffers that are checked and bound for this call.
    pub(super) fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<Recorded, Failure> {
        Ok(match &self.kernel {
            Kernel::Softmax(kernel) => kernel.encode(encoder, &self.softmax_buffers()),
            Kernel::Grad(kernel) => kernel.encode(encoder, &self.grad_buffers()),
            Kernel::LogSumExp(kernel) => kernel.encode(encoder, &self.logsumexp_buffers()),
            Kernel::CrossEntropy(kernel) => kernel.encode(encoder, &self.cross_entropy_buffers()),
            Kernel::Sample(sampling) => sampling.kernel.encode(encoder, &self.sample_buffers(sampling)),
        }?)
    }

    /// Binds the operation to its buffers.
    pub(super) fn bind(&self) -> Result<Bound, EncodeError> {
        match &self.kernel {
            Kernel::Softmax(kernel) => kernel.bind(&self.softmax_buffers()),
            Kernel::Grad(kernel) => kernel.bind(&self.grad_buffers()),
            Kernel::LogSumExp(kernel) => kernel.bind(&self.logsumexp_buffers()),
            Kernel::CrossEntropy(kernel) => kernel.bind(&self.cross_entropy_buffers()),
            Kernel::Sample(sampling) => sampling.kernel.bind(&self.sample_buffers(sampling)),
        }
    }

    /// The logsumexp of the same logits, which sampling is compared with, bound to a result of its own.
    pub(super) fn bind_logsumexp(&self, gpu: &Gpu, dtype: Dtype) -> Result<Bound, EncodeError> {
        let lse = buffer(gpu, self.rows.count() as u64 * 4);
        let options = LogSumExp {
            storage: Storage::all(dtype),
            ..LogSumExp::default()
        };
        options.prepare(gpu, self.rows)?.bind(&LogSumExpBuffers {
            lse: lse.slice(..),
            ..self.logsumexp_buffers()
        })
    }

    fn softmax_buffers(&self) -> SoftmaxBuffers<'_> {
        SoftmaxBuffers::new(self.logits.slice(..), Some(self.result.slice(..)))
    }

    fn grad_buffers(&self) -> SoftmaxGradBuffers<'_> {
        SoftmaxGradBuffers::new(self.logits.slice(..), self.other.slice(..), self.result.slice(..))
    }

    fn logsumexp_buffers(&self) -> LogSumExpBuffers<'_> {
        LogSumExpBuffers::new(self.logits.slice(..), self.result.slice(..))
    }

    fn sample_buffers<'a>(&'a self, sampling: &'a Sampling) -> SampleBuffers<'a> {
        sampling.buffers(&self.logits, &self.result)
    }

    fn cross_entropy_buffers(&self) -> CrossEntropyBuffers<'_> {
        let (logits, targets, summary) = (self.logits.slice(..), self.other.slice(..), self.summary.slice(..));
        CrossEntropyBuffers {
            gradient: (self.op != Op::CrossEntropyLoss).then_some(self.result.slice(..)),
            ..CrossEntropyBuffers::new(logits, targets, summary)
        }
    }
}

fn buffer(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("bench"),
        size: bytes.next_multiple_of(4).max(64),
        usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Writes bytes, padded to whole words: an odd number of 16-bit elements ends in the middle of one.
fn write(gpu: &Gpu, buffer: &wgpu::Buffer, bytes: &[u8]) {
    let mut words = bytes.to_vec();
    words.resize(bytes.len().next_multiple_of(4), 0);
    gpu.queue().write_buffer(buffer, 0, &words);
}
