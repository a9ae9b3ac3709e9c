//! The buffers of a loss: the caller's, and those that its passes keep.

use super::options::{LossSpec, Upstream};
use super::row_outputs::RowOutputs;
use super::summary::CrossEntropySummary;
use crate::dispatch::Slice;
use crate::error::{EncodeError, check_length};
use crate::gpu::Gpu;
use crate::rows::ELEMENT_BYTES;
use crate::shader::SummaryWords;
use std::mem::offset_of;
use wgpu::BufferUsages as Usage;

/// The buffers with one word for each row or class, and the summary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LossBuffers<'a> {
    /// Class indices, unless the targets are soft.
    pub(crate) targets: Option<Slice<'a>>,
    pub(crate) summary: Slice<'a>,
    pub(crate) upstream: Option<Slice<'a>>,
    pub(crate) normalizer: Option<Slice<'a>>,
    /// The weights of the classes, the caller's or the kernel's own.
    pub(crate) weights: Option<Slice<'a>>,
    /// The weights of the rows, likewise.
    pub(crate) row_weights: Option<Slice<'a>>,
    pub(crate) outputs: RowOutputs<Option<Slice<'a>>>,
}

impl<'a> LossBuffers<'a> {
    pub(crate) fn new(summary: Slice<'a>) -> Self {
        Self {
            targets: None,
            summary,
            upstream: None,
            normalizer: None,
            weights: None,
            row_weights: None,
            outputs: RowOutputs::default(),
        }
    }

    /// The whole summary.
    pub(super) fn whole_summary(&self) -> wgpu::BufferBinding<'a> {
        wgpu::BufferBinding {
            buffer: self.summary.buffer(),
            offset: self.summary.offset(),
            size: wgpu::BufferSize::new(CrossEntropySummary::BYTES),
        }
    }

    /// The two scales of the gradient in the summary, side by side.
    pub(super) fn grad_scales(&self) -> Slice<'a> {
        let start = self.summary.offset() + offset_of!(SummaryWords, grad_scale) as u64;
        self.summary.buffer().slice(start..start + 2 * ELEMENT_BYTES)
    }
}

/// The upstream gradient: one number for all rows, or a buffer with one for each.
pub(super) fn upstream_buffer(
    gpu: &Gpu,
    spec: &LossSpec,
    rows: usize,
) -> Result<(f32, Option<wgpu::Buffer>), EncodeError> {
    match &spec.upstream {
        Upstream::Number(number) => Ok((*number, None)),
        Upstream::Buffer => Ok((1.0, None)),
        Upstream::PerRow(values) => {
            check_length("upstream: PerRow", rows, values.len())?;
            let buffer = gpu.buffer_of("upstream gradients", bytemuck::cast_slice(values), Usage::STORAGE)?;
            Ok((1.0, Some(buffer)))
        }
    }
}
