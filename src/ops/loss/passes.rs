//! [`LossPasses`]: the dispatches around the kernel of the rows.

use super::buffers::{LossBuffers, partial_buffers, upstream_buffer};
use super::options::{EmptyMean, LossSpec, Normalizer, Reduction, Upstream};
use super::row_outputs::RowOutputs;
use super::summary::CrossEntropySummary;
use crate::dispatch::{
    Dispatch, Extent, Operand, Pipeline, Recorded, RowKernel, Slice, bindable_bytes, check_apart, record, require_iff,
    window,
};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::plan::CHUNK;
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::{FinalStep, FinalSum, Params, Slot, Variant};
use std::ops::Range;
use wgpu::BufferUsages as Usage;

/// Rows for each work-group of `count_targets.wgsl` or `count_correct.wgsl`, of 64 invocations, as long as there are at
/// most `SCAN_GROUPS` of them.
const SCAN_ROWS: usize = 64 * 16;
/// The most work-groups of such a dispatch.
const SCAN_GROUPS: usize = 256;

/// The passes around the rows of one batch.
#[derive(Debug, Clone)]
pub(crate) struct LossPasses {
    gpu: Gpu,
    spec: LossSpec,
    rows: usize,
    params: Params,
    /// The upstream gradient as a number, then a NaN.
    constants: wgpu::Buffer,
    /// The upstream gradients of the rows, if they are numbers of the options.
    upstream: Option<wgpu::Buffer>,
    /// The outputs that the kernels need for themselves and the caller does not want.
    own: RowOutputs<Option<wgpu::Buffer>>,
    row_weights: Option<wgpu::Buffer>,
    /// A partial sum for each 1,024 rows, then for each 1,024 of those, and so on.
    partials: Vec<wgpu::Buffer>,
}

impl LossPasses {
    /// `params` are those that the options have set so far.
    pub(crate) fn new(gpu: &Gpu, rows: Rows, spec: LossSpec, params: Params) -> Result<Self, EncodeError> {
        spec.validate()?;
        let count = rows.count();
        if u32::try_from(count).is_err() {
            return Err(rows.too_large());
        }
        let words = |what, needed: bool| {
            let bytes = count as u64 * ELEMENT_BYTES;
            needed.then(|| gpu.buffer(what, bytes, Usage::STORAGE)).transpose()
        };
        let (number, upstream) = upstream_buffer(gpu, &spec, count)?;
        let constants = [number, f32::NAN];
        let (reduces, wanted) = (spec.reduces, spec.outputs);
        let own = RowOutputs {
            row_losses: words("losses", reduces && !wanted.row_losses)?,
            row_z_losses: words("z-losses", reduces && spec.z_loss && !wanted.row_z_losses)?,
            argmax: words("argmax", spec.correct && !wanted.argmax)?,
            ..RowOutputs::default()
        };
        let bytes = bytemuck::bytes_of(&constants);
        Ok(Self {
            gpu: gpu.clone(),
            rows: count,
            params: Params {
                classes: rows.classes() as u32,
                grad_scale_stride: spec.has_upstream_per_row().into(),
                empty_mean: spec.empty_mean as u32,
                ..params
            },
            constants: gpu.buffer_of("upstream gradient", bytes, Usage::STORAGE | Usage::COPY_SRC)?,
            upstream,
            own,
            row_weights: words("weights of rows", spec.sums_weights())?,
            partials: partial_buffers(gpu, if reduces || spec.sums_weights() { count } else { 0 })?,
            spec,
        })
    }

    /// The parameters of the kernel of the rows.
    pub(crate) fn params(&self) -> Params {
        self.params
    }

    /// What the kernel of the rows is bound to on behalf of the passes: the gradient's scale, and the outputs of rows.
    pub(crate) fn operands<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let from_buffer = self.spec.upstream == Upstream::Buffer;
        let upstream = require_iff(from_buffer, "upstream", "upstream: Buffer", buffers.upstream)?;
        let mut all = Vec::new();
        if self.spec.gradient {
            let per_row = upstream.or(self.upstream.as_ref().map(|u| u.slice(..)));
            all.push(match per_row.filter(|_| self.spec.has_upstream_per_row()) {
                Some(slice) => Operand::read(Slot::GradScale, "upstream", slice, Extent::Row),
                None => Operand::read(Slot::GradScale, "summary", buffers.grad_scales(), Extent::Words(2)),
            });
        }
        let outputs = buffers.outputs.named().zip(self.spec.outputs.named());
        for (((slot, name, slice), (.., is_wanted)), (.., own)) in outputs.zip(self.own.as_ref().named()) {
            let slice = require_iff(is_wanted, name, name, slice)?.or(own.as_ref().map(|own| own.slice(..)));
            all.extend(slice.map(|slice| Operand::written(slot, name, slice, Extent::Row)));
        }
        Ok(all)
    }

    /// Checks the caller's buffers and records the kernel of the rows between the passes before and after it. `by_row`
    /// are the operands of one word a row or class, `operands` all that the kernel is bound to.
    pub(crate) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &LossBuffers<'_>,
        by_row: &[Operand<'_>],
        (kernel, operands, params): (&RowKernel, &[Operand<'_>], Params),
    ) -> Result<Recorded, EncodeError> {
        self.check(buffers, by_row)?;
        kernel.check(operands)?;
        let mut dispatches = self.prologue(buffers)?;
        dispatches.extend(kernel.dispatches(operands, 0, params)?);
        dispatches.extend(self.epilogue(buffers)?);
        self.reset(encoder, buffers);
        record(&self.gpu, encoder, &dispatches)
    }

    /// Checks what the kernel of the rows does not bind itself.
    fn check(&self, buffers: &LossBuffers<'_>, by_row: &[Operand<'_>]) -> Result<(), EncodeError> {
        let words = Extent::Words(CrossEntropySummary::BYTES as usize / 4);
        let summary = Operand::written(Slot::Summary, "summary", buffers.summary, words);
        summary.check(0, 0)?;
        self.check_summary(buffers.summary)?;
        let from_buffer = self.spec.normalizer == Normalizer::Buffer;
        let normalizer = require_iff(from_buffer, "normalizer", "normalizer: Buffer", buffers.normalizer)?;
        let upstream = buffers.upstream.filter(|_| !self.spec.has_upstream_per_row());
        let word = Extent::Words(1);
        let mut all = vec![summary];
        all.extend(normalizer.map(|slice| Operand::read(Slot::Normalizer, "normalizer", slice, word)));
        all.extend(upstream.map(|slice| Operand::read(Slot::Upstream, "upstream", slice, word)));
        // Some dispatches bind these operands while they write the summary, and the one that writes the results reads
        // it, so none of them may overlap it.
        let is_beside_it = |o: &&Operand<'_>| o.is_written || matches!(o.slot, Slot::Targets | Slot::Weights);
        all.extend(by_row.iter().filter(is_beside_it).map(|o| Operand {
            is_written: false,
            ..*o
        }));
        for operand in &all {
            operand.check(self.rows, 0)?;
        }
        check_apart(&self.gpu, &all)
    }

    /// Checks that the summary is aligned, because it is bound without an offset in `Params`, and that it can be
    /// cleared.
    fn check_summary(&self, summary: Slice<'_>) -> Result<(), EncodeError> {
        let alignment = u64::from(self.gpu.limits().min_storage_buffer_offset_alignment);
        if !summary.offset().is_multiple_of(alignment) {
            return Err(EncodeError::MisalignedOffset {
                buffer: "summary",
                offset: summary.offset(),
                alignment,
            });
        }
        if !summary.buffer().usage().contains(Usage::COPY_DST) {
            return Err(EncodeError::MissingUsage {
                buffer: "summary",
                usage: "COPY_DST",
            });
        }
        Ok(())
    }

    /// Clears the summary. For a batch without rows nothing else is done, except that NaN is written here if that is
    /// what the mean over nothing gives.
    pub(crate) fn reset(&self, encoder: &mut wgpu::CommandEncoder, buffers: &LossBuffers<'_>) {
        let summary = buffers.summary;
        encoder.clear_buffer(summary.buffer(), summary.offset(), Some(CrossEntropySummary::BYTES));
        let over_nothing = matches!(self.spec.normalizer, Normalizer::Rows | Normalizer::Number(0.0));
        let is_mean = self.spec.reduction == Reduction::Mean && over_nothing;
        if self.rows == 0 && is_mean && self.spec.empty_mean == EmptyMean::Nan {
            encoder.copy_buffer_to_buffer(&self.constants, 4, summary.buffer(), summary.offset(), 4);
        }
    }

    /// Counts the targets, and finds what the gradient is multiplied by.
    pub(crate) fn prologue<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut dispatches = self.count_targets(buffers)?;
        if let Some(row_weights) = &self.row_weights {
            dispatches.extend(self.reduce_rows(buffers, row_weights.slice(..), FinalSum::Weights)?);
        }
        // This needs the counts of all targets.
        dispatches.extend(self.normalizer(buffers)?);
        Ok(dispatches)
    }

    /// Reduces the losses, and counts the rows that are right.
    pub(crate) fn epilogue<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut dispatches = self.count_correct(buffers)?;
        if !self.spec.reduces {
            return Ok(dispatches);
        }
        let (outputs, own) = (buffers.outputs, self.own.as_ref());
        let z_losses = outputs.row_z_losses.or(own.row_z_losses.as_ref().map(|l| l.slice(..)));
        if let Some(z_losses) = z_losses.filter(|_| self.spec.z_loss) {
            dispatches.extend(self.reduce_rows(buffers, z_losses, FinalSum::ZLoss)?);
        }
        let losses = outputs.row_losses.or(own.row_losses.as_ref().map(|l| l.slice(..)));
        if let Some(losses) = losses {
            dispatches.extend(self.reduce_rows(buffers, losses, FinalSum::Loss)?);
        }
        Ok(dispatches)
    }

    fn count_targets<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let Some(targets) = buffers.targets else {
            return Ok(Vec::new());
        };
        let weights = buffers.weights.zip(self.row_weights.as_ref());
        let pipeline = self.gpu.pipeline(&Variant::count_targets(weights.is_some()))?;
        let mut dispatches = Vec::new();
        for range in self.ranges(self.rows) {
            let mut dispatch = self.scan(&pipeline, &range);
            dispatch.bind(Slot::Targets, self.words(targets, &range));
            dispatch.bind(Slot::Summary, (buffers.whole_summary(), 0));
            if let Some((weights, row_weights)) = weights {
                dispatch.bind(Slot::Weights, self.words(weights, &(0..self.params.classes as usize)));
                dispatch.bind(Slot::Loss, self.words(row_weights.slice(..), &range));
            }
            dispatches.push(dispatch);
        }
        Ok(dispatches)
    }

    fn normalizer<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let kind = self.spec.normalizer_kind();
        let variant = Variant::normalizer(kind, self.row_weights.is_some(), buffers.targets.is_some());
        let pipeline = self.gpu.pipeline(&variant)?;
        let upstream = buffers.upstream.filter(|_| self.spec.reduction != Reduction::None);
        let mut dispatches = Vec::new();
        for range in self.ranges(self.rows) {
            let mut dispatch = self.dispatch(&pipeline, &range, 1);
            if let Some(targets) = buffers.targets {
                dispatch.bind(Slot::Targets, self.words(targets, &range));
            } else {
                dispatch.params.rows = self.rows as u32;
            }
            dispatch.bind(Slot::Summary, (buffers.whole_summary(), 0));
            dispatch.bind(
                Slot::Upstream,
                self.words(upstream.unwrap_or(self.constants.slice(..)), &(0..1)),
            );
            if let Some(normalizer) = buffers.normalizer {
                dispatch.bind(Slot::Normalizer, self.words(normalizer, &(0..1)));
            }
            dispatch.params.normalizer = match self.spec.normalizer {
                Normalizer::Number(number) => number,
                _ => self.rows as f32,
            };
            dispatches.push(dispatch);
        }
        Ok(dispatches)
    }

    fn count_correct<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let argmax = buffers.outputs.argmax.or(self.own.argmax.as_ref().map(|a| a.slice(..)));
        let (true, Some(argmax), Some(targets)) = (self.spec.correct, argmax, buffers.targets) else {
            return Ok(Vec::new());
        };
        let pipeline = self.gpu.pipeline(&Variant::COUNT_CORRECT)?;
        let ranges = self.ranges(self.rows).into_iter();
        let dispatches = ranges.map(|range| {
            let mut dispatch = self.scan(&pipeline, &range);
            dispatch.bind(Slot::Targets, self.words(targets, &range));
            dispatch.bind(Slot::Summary, (buffers.whole_summary(), 0));
            dispatch.bind(Slot::Argmax, self.words(argmax, &range));
            dispatch
        });
        Ok(dispatches.collect())
    }

    /// Sums one number of each row into the summary.
    fn reduce_rows<'a>(
        &'a self,
        buffers: &LossBuffers<'a>,
        values: Slice<'a>,
        sum: FinalSum,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut dispatches = Vec::new();
        let (mut values, mut count) = (values, self.rows);
        for partials in &self.partials {
            let chunks = count.div_ceil(CHUNK);
            let last = (chunks == 1).then_some(FinalStep {
                sum,
                is_mean: sum == FinalSum::Loss && self.spec.reduction == Reduction::Mean,
                z_loss: self.spec.z_loss,
            });
            let pipeline = self.gpu.pipeline(&Variant::reduce_rows(last))?;
            for range in self.ranges(count) {
                let chunks = range.len().div_ceil(CHUNK);
                let first = range.start / CHUNK;
                let mut dispatch = self.dispatch(&pipeline, &range, chunks);
                dispatch.params = Params {
                    rows: chunks as u32,
                    classes: range.len() as u32,
                    inner: 1,
                    pieces: 1,
                    empty_mean: self.params.empty_mean,
                    ..Params::default()
                };
                dispatch.bind(Slot::Logits, self.words(values, &range));
                if last.is_some() {
                    dispatch.bind(Slot::Summary, (buffers.whole_summary(), 0));
                } else {
                    dispatch.bind(Slot::Result, self.words(partials.slice(..), &(first..first + chunks)));
                }
                dispatches.push(dispatch);
            }
            (values, count) = (partials.slice(..), chunks);
        }
        Ok(dispatches)
    }

    fn dispatch<'a>(&self, pipeline: &Pipeline, range: &Range<usize>, groups: usize) -> Dispatch<'a> {
        Dispatch {
            pipeline: pipeline.clone(),
            params: Params {
                rows: range.len() as u32,
                first_row: range.start as u32,
                ..self.params
            },
            bindings: Vec::new(),
            groups,
        }
    }

    /// A dispatch whose invocations go through the rows of a range.
    fn scan<'a>(&self, pipeline: &Pipeline, range: &Range<usize>) -> Dispatch<'a> {
        self.dispatch(pipeline, range, range.len().div_ceil(SCAN_ROWS).min(SCAN_GROUPS))
    }

    /// Words of a slice, and where they begin in their binding.
    fn words<'a>(&self, slice: Slice<'a>, range: &Range<usize>) -> (wgpu::BufferBinding<'a>, u32) {
        window(&self.gpu, slice, range.start, range.len(), ELEMENT_BYTES)
    }

    /// `count` words in ranges that can be bound, each of whole chunks but the last.
    fn ranges(&self, count: usize) -> Vec<Range<usize>> {
        let bindable = bindable_bytes(self.gpu.limits()) / ELEMENT_BYTES;
        let step = (bindable as usize / CHUNK).saturating_sub(1).max(1) * CHUNK;
        (0..count)
            .step_by(step)
            .map(|start| start..count.min(start + step))
            .collect()
    }
}
