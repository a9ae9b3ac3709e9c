//! The dispatches of a pass over the rows of a loss.

use super::buffers::LossBuffers;
use super::row_outputs::RowOutputs;
use crate::dispatch::{Dispatch, Pipeline, Slice, bindable_bytes, window};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::plan::CHUNK;
use crate::rows::ELEMENT_BYTES;
use crate::shader::{FinalStep, LossPass, NormalizerKind, Params, Slot, Variant};
use std::ops::Range;
use wgpu::BufferUsages as Usage;

/// The most numbers that one work-group reduces to one: `CHUNKS_MAX` chunks in shaders/loss/reduce.wgsl. On a software
/// adapter a work-group has a core to itself, as each of several would; on a GPU it has a small part of what there is.
const ONE_GROUP_SOFTWARE: usize = 64 * CHUNK;
const ONE_GROUP: usize = 16 * CHUNK;
/// Chunks of each work-group where there are several: `TILE` there.
const GROUP_CHUNKS: usize = 8;

/// A pass over the rows of one batch. Where one work-group cannot do it, several leave a partial result for each 1,024
/// rows, then for each 1,024 of those, until one work-group can do the rest.
#[derive(Debug, Clone)]
pub(super) struct Reduction {
    gpu: Gpu,
    pass: LossPass,
    last: FinalStep,
    rows: usize,
    is_wide: bool,
    /// The classes of each row, where they differ.
    classes: Option<wgpu::Buffer>,
    partials: Vec<wgpu::Buffer>,
}

/// Buffers of one number.
pub(super) struct Numbers<'a> {
    pub(super) upstream: Option<Slice<'a>>,
    pub(super) normalizer: Option<Slice<'a>>,
}

impl Reduction {
    /// Chooses the dispatches and compiles their kernels.
    pub(super) fn new(
        gpu: &Gpu,
        (mut pass, last): (LossPass, FinalStep),
        rows: usize,
        classes: Option<wgpu::Buffer>,
    ) -> Result<Self, EncodeError> {
        pass.row_classes = pass.reads_targets() && classes.is_some();
        let (is_software, invocations) = (
            gpu.capabilities().is_software,
            gpu.limits().max_compute_invocations_per_workgroup,
        );
        let one_group = if is_software { ONE_GROUP_SOFTWARE } else { ONE_GROUP };
        let mut reduction = Self {
            gpu: gpu.clone(),
            pass,
            last,
            rows: if pass.reads_rows() { rows } else { 0 },
            is_wide: !is_software && invocations >= 256,
            classes,
            partials: Vec::new(),
        };
        let (mut count, mut words) = (reduction.rows, 1);
        while count > one_group || reduction.ranges(count, words).len() > 1 {
            reduction.pipeline(reduction.partials.is_empty(), false)?;
            (count, words) = (count.div_ceil(CHUNK), pass.partial_words());
            let bytes = (count * words) as u64 * ELEMENT_BYTES;
            (reduction.partials).push(gpu.buffer("partial losses", bytes, Usage::STORAGE)?);
        }
        reduction.pipeline(reduction.partials.is_empty(), true)?;
        Ok(reduction)
    }

    fn pipeline(&self, from_rows: bool, is_last: bool) -> Result<Pipeline, EncodeError> {
        let last = is_last.then_some(self.last);
        (self.gpu).pipeline(&Variant::loss(self.pass, from_rows, last, self.is_wide))
    }

    /// The dispatches for these buffers; `outputs` are those of rows, the caller's or the kernel's own.
    pub(super) fn dispatches<'a>(
        &'a self,
        params: Params,
        buffers: &LossBuffers<'a>,
        outputs: &RowOutputs<Option<Slice<'a>>>,
        numbers: &Numbers<'a>,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut dispatches = Vec::new();
        let (mut count, mut from): (usize, Option<&wgpu::Buffer>) = (self.rows, None);
        for next in &self.partials {
            let pipeline = self.pipeline(from.is_none(), false)?;
            for range in self.ranges(count, from.map_or(1, |_| self.pass.partial_words())) {
                let chunks = range.len().div_ceil(CHUNK);
                let mut dispatch = Dispatch {
                    pipeline: pipeline.clone(),
                    params,
                    bindings: Vec::new(),
                    groups: chunks.div_ceil(GROUP_CHUNKS),
                };
                self.bind_inputs(&mut dispatch, &range, from, (buffers, outputs));
                let first = range.start / CHUNK;
                let written = self.words(next.slice(..), first..first + chunks, self.pass.partial_words());
                dispatch.bind(Slot::NextPartials, written);
                dispatches.push(dispatch);
            }
            (count, from) = (count.div_ceil(CHUNK), Some(next));
        }
        let mut dispatch = Dispatch {
            pipeline: self.pipeline(from.is_none(), true)?,
            params,
            bindings: Vec::new(),
            groups: 1,
        };
        self.bind_inputs(&mut dispatch, &(0..count), from, (buffers, outputs));
        dispatch.bind(Slot::Summary, (buffers.whole_summary(), 0));
        let reads_normalizer = self.last.normalizer == NormalizerKind::Buffer;
        for (slot, slice, is_read) in [
            (Slot::Upstream, numbers.upstream, self.last.writes_scale),
            (Slot::Normalizer, numbers.normalizer, reads_normalizer),
        ] {
            if let Some(slice) = slice.filter(|_| is_read) {
                dispatch.bind(slot, self.words(slice, 0..1, 1));
            }
        }
        dispatches.push(dispatch);
        Ok(dispatches)
    }

    /// Binds what a dispatch reads: the rows `range`, or so many of the partial results `from`.
    fn bind_inputs<'a>(
        &'a self,
        dispatch: &mut Dispatch<'a>,
        range: &Range<usize>,
        from: Option<&'a wgpu::Buffer>,
        (buffers, outputs): (&LossBuffers<'a>, &RowOutputs<Option<Slice<'a>>>),
    ) {
        dispatch.params.rows = range.len() as u32;
        dispatch.params.first_row = range.start as u32;
        if let Some(partials) = from {
            let read = self.words(partials.slice(..), range.clone(), self.pass.partial_words());
            dispatch.bind(Slot::Partials, read);
            return;
        }
        let classes = 0..dispatch.params.classes as usize;
        let by_row = self.classes.as_ref().map(|buffer| buffer.slice(..));
        for (slot, slice, words, is_read) in [
            (Slot::Targets, buffers.targets, range, self.pass.reads_targets()),
            (Slot::RowTable, by_row, range, self.pass.row_classes),
            (Slot::Weights, buffers.weights, &classes, self.pass.reads_weights()),
            (
                Slot::RowWeights,
                buffers.row_weights,
                range,
                self.pass.reads_row_weights(),
            ),
            (Slot::Loss, outputs.row_losses, range, self.pass.sums_losses),
            (Slot::RowZLoss, outputs.row_z_losses, range, self.pass.sums_z_losses),
            (Slot::Argmax, outputs.argmax, range, self.pass.counts_correct),
        ] {
            if let Some(slice) = slice.filter(|_| is_read) {
                dispatch.bind(slot, self.words(slice, words.clone(), 1));
            }
        }
    }

    /// Items of `words` words each, and where they begin in their binding.
    fn words<'a>(&self, slice: Slice<'a>, items: Range<usize>, words: usize) -> (wgpu::BufferBinding<'a>, u32) {
        let (first, count) = (items.start * words, items.len() * words);
        window(&self.gpu, slice, first, count, ELEMENT_BYTES)
    }

    /// `count` items of `words` words each in ranges that can be bound, each of whole chunks but the last.
    fn ranges(&self, count: usize, words: usize) -> Vec<Range<usize>> {
        let bindable = bindable_bytes(self.gpu.limits()) / ELEMENT_BYTES;
        let step = (bindable as usize / words / CHUNK).saturating_sub(1).max(1) * CHUNK;
        let starts = (0..count).step_by(step);
        starts.map(|start| start..count.min(start + step)).collect()
    }
}
