//! [`RowKernel`] turns an operation on rows into dispatches.

use super::binding::{Operand, check_apart};
use super::bound::Pipeline;
use super::partition::{Part, parts};
use super::record::{Dispatch, NewlyBound, bind};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::plan::{Plan, VectorWidth};
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowSpec, RowStatsNeed, Slot, Variant};

/// An operation on rows of one shape, with its plan chosen and its pipelines made.
#[derive(Debug, Clone)]
pub(crate) struct RowKernel {
    gpu: Gpu,
    pub(crate) rows: Rows,
    pub(crate) plan: Plan,
    pub(crate) spec: RowSpec,
    parts: Vec<Part>,
    scratch: Option<wgpu::Buffer>,
}

impl RowKernel {
    pub(crate) fn new(gpu: &Gpu, rows: Rows, spec: RowSpec, schedule: Option<Schedule>) -> Result<Self, EncodeError> {
        // This is checked first, because the list of the parts of a batch that is too large for any buffer might not
        // fit in memory.
        let bytes = rows.elements()? as u64 * spec.storage.logits.bytes();
        if u32::try_from(rows.count()).is_err() {
            return Err(rows.too_large());
        }
        if bytes > gpu.limits().max_buffer_size {
            return Err(EncodeError::OutOfMemory { what: "logits", bytes });
        }
        let parts = parts(&rows, 1, gpu.limits())?;
        let plan = Plan::new(
            &rows,
            gpu.capabilities(),
            spec.span_words() as usize,
            spec.compiles_slowly(),
            schedule,
        )?;
        let largest = parts.iter().map(|p| p.rows).max().unwrap_or(0);
        let scratch = scratch(gpu, &spec, &plan, largest)?;
        let is_split = needs_first_pass(&spec, &plan);
        let bound = spec.slots.len() + u32::from(is_split);
        let available = gpu.limits().max_storage_buffers_per_shader_stage;
        if bound > available {
            return Err(EncodeError::TooManyBuffers { bound, available });
        }
        let kernel = Self {
            gpu: gpu.clone(),
            rows,
            plan,
            spec,
            parts,
            scratch,
        };
        // The pipelines are compiled now rather than in the caller's first step.
        kernel.pipelines(VectorWidth::of_rows(&rows))?;
        Ok(kernel)
    }

    /// Checks the caller's buffers: each by itself, then whether they can be bound together.
    pub(crate) fn check(&self, operands: &[Operand<'_>]) -> Result<(), EncodeError> {
        let (rows, elements) = (self.rows.count(), self.rows.elements()?);
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

    /// The dispatches for these rows, whose first is row `first_row` of the whole batch; matrices begin with that row.
    pub(crate) fn dispatches<'a>(
        &'a self,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut dispatches = Vec::new();
        for part in &self.parts {
            dispatches.extend(self.part_dispatches(part, operands, first_row, params)?);
        }
        Ok(dispatches)
    }

    /// The pipeline of the dispatch that writes, and that of the dispatch before it if the schedule has one.
    fn pipelines(&self, width: VectorWidth) -> Result<(Pipeline, Option<Pipeline>), EncodeError> {
        let variant = |first_pass| Variant::row(self.spec, width, first_pass, &self.plan);
        let main = self.gpu.pipeline(&variant(false))?;
        let first = self.scratch.as_ref().map(|_| self.gpu.pipeline(&variant(true)));
        Ok((main, first.transpose()?))
    }

    fn part_dispatches<'a>(
        &'a self,
        part: &Part,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut params = Params {
            rows: part.rows as u32,
            classes: self.rows.classes() as u32,
            inner: self.rows.inner() as u32,
            outer_stride: self.rows.outer_stride() as u32,
            first_row: (first_row + part.first_row) as u32,
            pieces: self.plan.pieces(),
            spans: self.plan.spans,
            ..params
        };
        let mut bindings = Vec::new();
        let mut width = VectorWidth::of_rows(&self.rows);
        for operand in operands {
            let (binding, offset) = operand.window(&self.gpu, part, first_row);
            params.offsets[operand.slot as usize] = offset;
            bindings.push((operand.slot, binding));
            if operand.slot.is_laid_out_as_logits() {
                width = width.min(VectorWidth::of(offset as usize));
            }
        }
        if self.spec.place == ResultPlace::InPlace {
            params.offsets[Slot::Logits as usize] = params.offsets[Slot::Result as usize];
        }
        if let Some(scratch) = &self.scratch {
            bindings.push((Slot::Scratch, scratch.as_entire_buffer_binding()));
        }
        let (main, first) = self.pipelines(width)?;
        let groups = part.rows.div_ceil(self.plan.shape.rows()) * self.plan.pieces() as usize;
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

/// Whether a dispatch before the one that writes leaves the statistics of spans.
fn needs_first_pass(spec: &RowSpec, plan: &Plan) -> bool {
    spec.stats == RowStatsNeed::Sums && matches!(plan.schedule, Schedule::Split { .. })
}

/// The buffer in which the first pass leaves those statistics, for parts of up to `rows` rows.
fn scratch(gpu: &Gpu, spec: &RowSpec, plan: &Plan, rows: usize) -> Result<Option<wgpu::Buffer>, EncodeError> {
    if !needs_first_pass(spec, plan) || rows == 0 {
        return Ok(None);
    }
    let bytes = rows as u64 * u64::from(plan.spans * spec.span_words()) * ELEMENT_BYTES;
    let what = "the sums of the parts of long rows";
    gpu.buffer(what, bytes, wgpu::BufferUsages::STORAGE).map(Some)
}
