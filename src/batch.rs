//! What cross-entropy does with a batch's rows rather than their logits: targets counted before, losses reduced after.

use crate::cross_entropy::{CrossEntropy, CrossEntropySummary, EmptyMean, Reduction, Upstream};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::kernel::{Slice, Step, window};
use crate::plan::CHUNK;
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::{Params, Variant};
use std::ops::Range;
use wgpu::BufferUsages as Usage;

/// Word of the summary in which settle.wgsl leaves the factor of the gradient.
const SCALE_WORD: u32 = 6;

/// Buffers of one word a row, and the summary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchBuffers<'a> {
    pub(crate) targets: Slice<'a>,
    pub(crate) summary: Slice<'a>,
    pub(crate) upstream: Option<Slice<'a>>,
    pub(crate) row_losses: Option<Slice<'a>>,
    pub(crate) lse: Option<Slice<'a>>,
    pub(crate) argmax: Option<Slice<'a>>,
}

/// The rows of a batch, whatever parts its logits are cut into.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    gpu: Gpu,
    options: CrossEntropy,
    rows: usize,
    params: Params,
    /// The upstream gradient as a number, then a NaN.
    constants: wgpu::Buffer,
    upstream: Option<wgpu::Buffer>,
    row_losses: Option<wgpu::Buffer>,
    argmax: Option<wgpu::Buffer>,
    /// A partial sum for each 1,024 losses, then for each 1,024 of those, and so on.
    partials: Vec<wgpu::Buffer>,
    /// Bound where a kernel has a binding that the options leave unused.
    unused: wgpu::Buffer,
}

impl Batch {
    pub(crate) fn new(gpu: &Gpu, rows: Rows, options: &CrossEntropy, ignore_word: u32) -> Result<Self, EncodeError> {
        let count = rows.count();
        if u32::try_from(count).is_err() {
            return Err(EncodeError::TooLarge {
                outer: count,
                classes: rows.classes(),
                inner: 1,
            });
        }
        let reduces = options.reduction != Reduction::None;
        let words = |what, needed: bool, count: usize| {
            let bytes = count as u64 * ELEMENT_BYTES;
            needed.then(|| gpu.buffer(what, bytes, Usage::STORAGE)).transpose()
        };
        let (number, upstream) = match &options.upstream {
            Upstream::Number(number) => (*number, None),
            Upstream::Buffer => (1.0, None),
            Upstream::PerRow(_) if reduces => {
                return Err(EncodeError::Conflict {
                    a: "upstream: PerRow",
                    b: "a reduced loss",
                    why: "a reduced loss has one upstream gradient",
                });
            }
            Upstream::PerRow(values) if values.len() != count => {
                return Err(EncodeError::WrongLength {
                    what: "upstream: PerRow",
                    expected: count,
                    got: values.len(),
                });
            }
            Upstream::PerRow(values) => (
                1.0,
                Some(gpu.buffer_of("upstream gradients", bytemuck::cast_slice(values), Usage::STORAGE)?),
            ),
        };
        let mut partials = Vec::new();
        let mut values = if reduces { count } else { 0 };
        while values > 0 {
            let chunks = values.div_ceil(CHUNK);
            partials.extend(words("partial losses", true, chunks)?);
            values = if chunks > 1 { chunks } else { 0 };
        }
        let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment).max(16);
        let constants = [number, f32::NAN];
        Ok(Self {
            gpu: gpu.clone(),
            options: options.clone(),
            rows: count,
            params: Params {
                classes: rows.classes() as u32,
                ignore_index: ignore_word,
                policy: options.fully_masked.word(),
                ..Params::default()
            },
            constants: gpu.buffer_of(
                "upstream gradient",
                bytemuck::bytes_of(&constants),
                Usage::STORAGE | Usage::COPY_SRC,
            )?,
            upstream,
            row_losses: words("losses", reduces && !options.row_losses, count)?,
            argmax: words("argmax", options.correct && !options.argmax, count)?,
            partials,
            unused: gpu.buffer("nothing", 3 * alignment, Usage::STORAGE)?,
        })
    }

    pub(crate) fn options(&self) -> &CrossEntropy {
        &self.options
    }

    /// Empties the summary; for a batch of no rows, that is all there is to do.
    pub(crate) fn reset(&self, encoder: &mut wgpu::CommandEncoder, buffers: &BatchBuffers<'_>) {
        let summary = buffers.summary;
        encoder.clear_buffer(summary.buffer(), summary.offset(), Some(CrossEntropySummary::BYTES));
        let mean = self.options.reduction == Reduction::Mean;
        if self.rows == 0 && mean && self.options.empty_mean == EmptyMean::Nan {
            encoder.copy_buffer_to_buffer(&self.constants, 4, summary.buffer(), summary.offset(), 4);
        }
    }

    /// Counts the targets, and finds the factor of the gradient.
    pub(crate) fn before<'a>(&'a self, buffers: &BatchBuffers<'a>) -> Result<Vec<Step<'a>>, EncodeError> {
        let mean = self.options.reduction == Reduction::Mean;
        let count = self.gpu.pipeline(&Variant::TARGETS)?;
        let settle = self.gpu.pipeline(&Variant::settle(mean))?;
        let one = buffers.upstream.filter(|_| self.options.reduction != Reduction::None);
        let (upstream, scale_offset) = window(&self.gpu, one.unwrap_or(self.constants.slice(..)), 0, 1);
        let mut steps = Vec::new();
        for range in self.ranges(self.rows) {
            let (targets, targets_offset) = window(&self.gpu, buffers.targets, range.start, range.len());
            let params = Params {
                rows: range.len() as u32,
                first_row: range.start as u32,
                targets_offset,
                ..self.params
            };
            steps.push(Step {
                pipeline: count.clone(),
                params,
                bindings: vec![(1, targets), (2, summary(buffers))],
                groups: range.len().div_ceil(64 * 16).min(256),
            });
        }
        // Each needs the counts of all.
        for range in self.ranges(self.rows) {
            let (targets, targets_offset) = window(&self.gpu, buffers.targets, range.start, range.len());
            steps.push(Step {
                pipeline: settle.clone(),
                params: Params {
                    rows: range.len() as u32,
                    first_row: range.start as u32,
                    targets_offset,
                    scale_offset,
                    ..self.params
                },
                bindings: vec![(1, targets), (2, summary(buffers)), (3, upstream.clone())],
                groups: 1,
            });
        }
        Ok(steps)
    }

    /// What the kernel over the logits of `rows` rows from `first` on binds.
    pub(crate) fn bindings<'a>(
        &'a self,
        buffers: &BatchBuffers<'a>,
        first: usize,
        rows: usize,
    ) -> (Vec<(u32, wgpu::BufferBinding<'a>)>, Params) {
        let alignment = u64::from(self.gpu.limits().min_storage_buffer_offset_alignment).max(16);
        let words = |slice: Option<Slice<'a>>, own: Option<&'a wgpu::Buffer>, place: u64| {
            let own = own.map(|buffer| buffer.slice(..));
            match slice.or(own) {
                Some(slice) => window(&self.gpu, slice, first, rows),
                None => {
                    let place = place * alignment;
                    window(&self.gpu, self.unused.slice(place..place + 16), 0, 4)
                }
            }
        };
        let per_row = buffers.upstream.or(self.upstream.as_ref().map(|u| u.slice(..)));
        let (scale, scale_offset, scale_stride) = match per_row.filter(|_| self.options.reduction == Reduction::None) {
            Some(slice) => {
                let (scale, offset) = window(&self.gpu, slice, first, rows);
                (scale, offset, 1)
            }
            None => (summary(buffers), SCALE_WORD, 0),
        };
        let (targets, targets_offset) = window(&self.gpu, buffers.targets, first, rows);
        let (loss, loss_offset) = words(buffers.row_losses, self.row_losses.as_ref(), 0);
        let (lse, lse_offset) = words(buffers.lse, None, 1);
        let (argmax, argmax_offset) = words(buffers.argmax, self.argmax.as_ref(), 2);
        let params = Params {
            targets_offset,
            loss_offset,
            lse_offset,
            argmax_offset,
            scale_offset,
            scale_stride,
            ..self.params
        };
        (vec![(4, targets), (5, scale), (6, loss), (7, lse), (8, argmax)], params)
    }

    /// Reduces the losses, and counts the rows that are right.
    pub(crate) fn after<'a>(&'a self, buffers: &BatchBuffers<'a>) -> Result<Vec<Step<'a>>, EncodeError> {
        let mut steps = Vec::new();
        if self.options.correct {
            let pipeline = self.gpu.pipeline(&Variant::COUNT_CORRECT)?;
            let argmax = buffers.argmax.or(self.argmax.as_ref().map(|a| a.slice(..)));
            for (range, argmax) in self.ranges(self.rows).into_iter().zip(argmax.into_iter().cycle()) {
                let (targets, targets_offset) = window(&self.gpu, buffers.targets, range.start, range.len());
                let (argmax, argmax_offset) = window(&self.gpu, argmax, range.start, range.len());
                steps.push(Step {
                    pipeline: pipeline.clone(),
                    params: Params {
                        rows: range.len() as u32,
                        targets_offset,
                        argmax_offset,
                        ..self.params
                    },
                    bindings: vec![(1, targets), (2, summary(buffers)), (3, argmax)],
                    groups: range.len().div_ceil(64 * 16).min(256),
                });
            }
        }
        let losses = buffers.row_losses.or(self.row_losses.as_ref().map(|l| l.slice(..)));
        let (mut values, mut count) = (losses, self.rows);
        for partials in &self.partials {
            let chunks = count.div_ceil(CHUNK);
            let mean = self.options.reduction == Reduction::Mean;
            let pipeline = self.gpu.pipeline(&Variant::reduce_loss(chunks == 1, mean))?;
            for (range, values) in self.ranges(count).into_iter().zip(values.into_iter().cycle()) {
                let (values, logits_offset) = window(&self.gpu, values, range.start, range.len());
                let chunks = range.len().div_ceil(CHUNK);
                let (partials, result_offset) = window(&self.gpu, partials.slice(..), range.start / CHUNK, chunks);
                steps.push(Step {
                    pipeline: pipeline.clone(),
                    params: Params {
                        rows: chunks as u32,
                        classes: range.len() as u32,
                        inner: 1,
                        logits_offset,
                        result_offset,
                        pieces: 1,
                        policy: u32::from(self.options.empty_mean == EmptyMean::Zero),
                        ..Params::default()
                    },
                    bindings: vec![(1, values), (2, partials), (3, summary(buffers))],
                    groups: chunks,
                });
            }
            (values, count) = (Some(partials.slice(..)), chunks);
        }
        Ok(steps)
    }

    /// `count` words in stretches that can be bound, each of whole chunks but the last.
    fn ranges(&self, count: usize) -> Vec<Range<usize>> {
        let bindable = self.gpu.limits().max_storage_buffer_binding_size.min(1 << 31) / ELEMENT_BYTES;
        let step = (bindable as usize / CHUNK).saturating_sub(1).max(1) * CHUNK;
        (0..count)
            .step_by(step)
            .map(|start| start..count.min(start + step))
            .collect()
    }
}

fn summary<'a>(buffers: &BatchBuffers<'a>) -> wgpu::BufferBinding<'a> {
    wgpu::BufferBinding {
        buffer: buffers.summary.buffer(),
        offset: buffers.summary.offset(),
        size: wgpu::BufferSize::new(CrossEntropySummary::BYTES),
    }
}
