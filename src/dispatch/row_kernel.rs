//! [`RowKernel`] turns an operation on rows into dispatches.

use super::binding::{Extent, Operand, Slice, check_apart, require_iff, window};
use super::bound::Pipeline;
use super::partition::{ENTRY_BYTES, Part, bindable_bytes, parts, ragged_parts};
use super::ragged::{Bin, Planning, RowTable};
use super::record::{Dispatch, NewlyBound, bind};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::plan::{Plan, VectorWidth};
use crate::ragged::RowLayout;
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowOp, RowSpec, RowStatsNeed, Slot, Variant};

/// An operation on rows of one shape, with its plan chosen and its pipelines made.
#[derive(Debug, Clone)]
pub(crate) struct RowKernel {
    gpu: Gpu,
    pub(crate) rows: Rows,
    /// Of rows of unequal length, that of the longest.
    pub(crate) plan: Plan,
    pub(crate) spec: RowSpec,
    parts: Vec<(Part, Vec<Bin>)>,
    /// Of rows of unequal length.
    table: Option<RowTable>,
    width: VectorWidth,
    scratch: Option<wgpu::Buffer>,
}

impl RowKernel {
    /// Rows that may be a shard need their maximum and sums.
    pub(crate) fn new(
        gpu: &Gpu,
        layout: impl Into<RowLayout>,
        mut spec: RowSpec,
        schedule: Option<Schedule>,
    ) -> Result<Self, EncodeError> {
        let layout = layout.into();
        let rows = layout.rows;
        if rows.is_shard() {
            spec.stats = shard_stats(&rows, &spec)?;
        }
        spec.slots = spec.slots.with(layout.ragged.as_ref().map(|_| Slot::RowTable));
        // This is checked first, because the list of the parts of a batch that is too large for any buffer might not
        // fit in memory.
        let bytes = rows.elements()? as u64 * spec.storage.logits.bytes();
        if u32::try_from(rows.count()).is_err() {
            return Err(rows.too_large());
        }
        if bytes > gpu.limits().max_buffer_size {
            return Err(EncodeError::OutOfMemory { what: "logits", bytes });
        }
        let planning = Planning {
            gpu,
            spec: &spec,
            schedule,
        };
        let (parts, table, bins) = match &layout.ragged {
            Some(ragged) => {
                let parts = ragged_parts(ragged, gpu.limits())?;
                let (table, bins) = RowTable::new(ragged, &parts, layout.smoothing, &planning)?;
                (parts, Some(table), bins)
            }
            None => {
                let parts = parts(&rows, 1, gpu.limits())?;
                let plan = planning.of_equal(&rows)?;
                let bins = parts
                    .iter()
                    .map(|part| vec![Bin::of_equal(&rows, part, plan)])
                    .collect();
                (parts, None, bins)
            }
        };
        let longest = bins.iter().flatten().max_by_key(|bin: &&Bin| bin.rows.classes());
        let plan = longest.map_or_else(|| planning.of_equal(&rows), |bin| Ok(bin.plan))?;
        let width = table.as_ref().map_or(VectorWidth::of_rows(&rows), |table| table.width);
        let kernel = Self {
            scratch: scratch(gpu, &spec, &bins)?,
            gpu: gpu.clone(),
            rows,
            plan,
            spec,
            parts: parts.into_iter().zip(bins).collect(),
            table,
            width,
        };
        kernel.check_bindings()?;
        // The pipelines are compiled now rather than in the caller's first step.
        for plan in kernel.plans() {
            kernel.pipelines(width, plan)?;
        }
        Ok(kernel)
    }

    /// The plan of every dispatch, and that of no rows.
    fn plans(&self) -> impl Iterator<Item = &Plan> {
        let bins = self.parts.iter().flat_map(|(_, bins)| bins);
        std::iter::once(&self.plan).chain(bins.map(|bin| &bin.plan))
    }

    /// What the kernel would bind must be within the device's limits.
    fn check_bindings(&self) -> Result<(), EncodeError> {
        let (rows, spec, limits) = (&self.rows, &self.spec, self.gpu.limits());
        let bytes = statistics_words(rows, spec, false) as u64 * ELEMENT_BYTES;
        if rows.is_shard() && bytes > bindable_bytes(limits) {
            let what = "the statistics of all shards, which are bound at once";
            return Err(EncodeError::OutOfMemory { what, bytes });
        }
        let is_split = rows.is_shard() || self.plans().any(|plan| needs_first_pass(spec, plan));
        let bound = spec.slots.len() + u32::from(is_split);
        let available = limits.max_storage_buffers_per_shader_stage;
        if bound > available {
            return Err(EncodeError::TooManyBuffers { bound, available });
        }
        Ok(())
    }

    /// Checks the caller's buffers: each by itself, then whether they can be bound together.
    pub(crate) fn check(&self, operands: &[Operand<'_>]) -> Result<(), EncodeError> {
        let (rows, mut elements) = (self.rows.count(), self.rows.elements()?);
        if self.table.is_some() {
            // Rows that are all empty have results of their own, and no buffer can be bound without a byte.
            elements = elements.max(usize::from(rows > 0));
        }
        for operand in operands {
            operand.check(rows, elements)?;
        }
        check_apart(&self.gpu, operands)
    }

    /// Checks the caller's buffers and binds the operation on all of the rows to them.
    pub(crate) fn bind(&self, operands: &[Operand<'_>], params: Params) -> Result<NewlyBound, EncodeError> {
        self.check(operands)?;
        bind(&self.gpu, &self.dispatches(operands, 0, params)?)
    }

    /// The buffer of a shard's statistics, which this kernel finds, or of those of all shards, which it takes.
    pub(crate) fn statistics_operand<'a>(
        &self,
        slice: Option<Slice<'a>>,
        is_found: bool,
    ) -> Result<Option<Operand<'a>>, EncodeError> {
        let slice = require_iff(self.rows.is_shard(), "statistics", "rows that are a shard", slice)?;
        let words = statistics_words(&self.rows, &self.spec, is_found);
        Ok(slice.map(|slice| Operand::written(Slot::Scratch, "statistics", slice, Extent::Words(words))))
    }

    /// The bytes of a shard's statistics, and of those of all shards.
    pub(crate) fn statistics_bytes(&self) -> [u64; 2] {
        [true, false].map(|is_shard| statistics_words(&self.rows, &self.spec, is_shard) as u64 * ELEMENT_BYTES)
    }

    /// Checks the caller's buffers and binds what leaves a shard's statistics to them.
    pub(crate) fn bind_statistics(&self, operands: &[Operand<'_>], params: Params) -> Result<NewlyBound, EncodeError> {
        self.check(operands)?;
        bind(&self.gpu, &self.statistics(operands, 0, params)?)
    }

    /// The dispatches that leave the statistics of a shard in an operand in [`Slot::Scratch`].
    pub(crate) fn statistics<'a>(
        &'a self,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let of_parts = self.of_parts(operands, first_row, params)?;
        Ok(of_parts
            .into_iter()
            .filter_map(|part| part.into_iter().next())
            .collect())
    }

    /// A shard without statistics.
    fn check_statistics(&self, operands: &[Operand<'_>]) -> Result<(), EncodeError> {
        let is_there = operands.iter().any(|operand| operand.slot == Slot::Scratch);
        if !self.rows.is_shard() || is_there {
            return Ok(());
        }
        Err(EncodeError::Conflict {
            a: "a shard",
            b: "a call on whole rows",
            why: "a shard needs the statistics of all shards: use the calls that take them",
        })
    }

    /// The dispatches for these rows, whose first is row `first_row` of the whole batch; matrices begin with that row.
    pub(crate) fn dispatches<'a>(
        &'a self,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        // The statistics of a shard are another call's.
        let before = usize::from(self.rows.is_shard());
        let of_parts = self.of_parts(operands, first_row, params)?;
        Ok(of_parts
            .into_iter()
            .flat_map(|part| part.into_iter().skip(before))
            .collect())
    }

    /// The dispatches of each part, or of each bin of one: the one that leaves statistics, if there is one, and the one that writes.
    fn of_parts<'a>(
        &'a self,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Vec<Dispatch<'a>>>, EncodeError> {
        self.check_statistics(operands)?;
        let mut all = Vec::new();
        for (part, bins) in &self.parts {
            for bin in bins {
                all.push(self.bin_dispatches((part, bin), operands, first_row, params)?);
            }
        }
        Ok(all)
    }

    /// The pipeline of the dispatch that writes, and that of the dispatch before it if the schedule has one.
    fn pipelines(&self, width: VectorWidth, plan: &Plan) -> Result<(Pipeline, Option<Pipeline>), EncodeError> {
        let variant = |first_pass| Variant::row(self.spec, width, first_pass, plan);
        let main = self.gpu.pipeline(&variant(false))?;
        let has_first = self.rows.is_shard() || (needs_first_pass(&self.spec, plan) && self.rows.count() > 0);
        let first = has_first.then(|| self.gpu.pipeline(&variant(true)));
        Ok((main, first.transpose()?))
    }

    fn bin_dispatches<'a>(
        &'a self,
        (part, bin): (&Part, &Bin),
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut params = Params {
            rows: bin.count as u32,
            first_row: (first_row + part.first_row) as u32,
            batch_rows: match params.batch_rows {
                0 => self.rows.count() as u32,
                of_batch => of_batch,
            },
            pieces: bin.plan.pieces(),
            ..params.of_rows(&bin.rows)
        };
        let mut bindings = Vec::new();
        let mut width = self.width;
        for operand in operands {
            let (binding, offset) = operand.window(&self.gpu, part, first_row);
            params.offsets[operand.slot as usize] = offset;
            bindings.push((operand.slot, binding));
            if operand.slot.is_laid_out_as_logits() {
                width = width.min(VectorWidth::of(offset as usize));
            }
        }
        let has_result = operands.iter().any(|operand| operand.slot == Slot::Result);
        if self.spec.place == ResultPlace::InPlace && has_result {
            params.offsets[Slot::Logits as usize] = params.offsets[Slot::Result as usize];
        }
        let (main, first) = self.pipelines(width, &bin.plan)?;
        if let Some(scratch) = self.scratch.as_ref().filter(|_| first.is_some()) {
            bindings.push((Slot::Scratch, scratch.as_entire_buffer_binding()));
        }
        if let Some(table) = &self.table {
            let entries = window(
                &self.gpu,
                table.buffer.slice(..),
                bin.first_entry,
                bin.count,
                ENTRY_BYTES,
            );
            params.offsets[Slot::RowTable as usize] = entries.1;
            bindings.push((Slot::RowTable, entries.0));
        }
        let groups = bin.count.div_ceil(bin.plan.shape.rows()) * bin.plan.pieces() as usize;
        let mut dispatches = Vec::new();
        if let Some(pipeline) = first {
            let read = bindings
                .iter()
                .filter_map(|(slot, b)| Some((self.first_pass_slot(*slot)?, b.clone())));
            dispatches.push(Dispatch {
                pipeline,
                params,
                bindings: read.collect(),
                groups,
            });
        }
        dispatches.push(Dispatch {
            pipeline: main,
            params,
            bindings,
            groups,
        });
        Ok(dispatches)
    }

    /// The slot in which the first pass binds what the second pass binds in `slot`, if it binds it. The first pass
    /// binds the logits as logits even where the result takes their place.
    fn first_pass_slot(&self, slot: Slot) -> Option<Slot> {
        match (slot, self.spec.place) {
            (Slot::Logits, _) | (Slot::Result, ResultPlace::InPlace) => Some(Slot::Logits),
            (slot, _) => self.spec.first_pass_reads(slot).then_some(slot),
        }
    }
}

/// Words of a shard's statistics, or of those of whole rows.
pub(crate) fn statistics_words(rows: &Rows, spec: &RowSpec, is_shard: bool) -> usize {
    let spec = RowSpec {
        stats: RowStatsNeed::Shard,
        ..*spec
    };
    let spans = if is_shard { rows.spans() } else { rows.whole_spans() };
    let words = spans.saturating_mul(spec.span_words() as usize);
    rows.count().saturating_mul(words)
}

/// What a shard's kernel needs to know, if the operation can do with a shard.
fn shard_stats(rows: &Rows, spec: &RowSpec) -> Result<RowStatsNeed, EncodeError> {
    let refused = match spec.op {
        RowOp::Softmax { lse_grad: false, .. } => Ok(()),
        _ if spec.slots.has(Slot::Direction) => rows.check_whole("hessian_vector"),
        RowOp::CrossEntropy(op) if op.divergence => rows.check_whole("a divergence"),
        RowOp::CrossEntropy(op) if spec.stats == RowStatsNeed::Sums && !op.nll => Ok(()),
        RowOp::CrossEntropy(_) => rows.check_whole("log-probabilities as input, or from_lse,"),
        RowOp::SoftmaxGrad { .. } => rows.check_whole("softmax_grad"),
        RowOp::Softmax { .. } => rows.check_whole("the gradient of logsumexp"),
        _ => rows.check_whole("this operation"),
    };
    refused.map(|()| RowStatsNeed::Shard)
}

/// Whether a dispatch before the one that writes leaves the statistics of spans.
fn needs_first_pass(spec: &RowSpec, plan: &Plan) -> bool {
    // A shard's are in a buffer of the caller's.
    spec.stats == RowStatsNeed::Sums && matches!(plan.schedule, Schedule::Split { .. })
}

/// The buffer in which the first pass leaves those statistics, of each bin in turn.
fn scratch(gpu: &Gpu, spec: &RowSpec, bins: &[Vec<Bin>]) -> Result<Option<wgpu::Buffer>, EncodeError> {
    let split = bins.iter().flatten().filter(|bin| needs_first_pass(spec, &bin.plan));
    let words = |bin: &Bin| bin.count as u64 * u64::from(bin.plan.spans * spec.span_words());
    let what = "the sums of the parts of long rows";
    let buffer = |words: u64| gpu.buffer(what, words * ELEMENT_BYTES, wgpu::BufferUsages::STORAGE);
    split.map(words).max().map(buffer).transpose()
}
