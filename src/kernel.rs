//! [`Step`]s: dispatches checked and laid out before anything is recorded, and [`RowKernel`], which turns an operation
//! on rows into steps.

use crate::dtype::Element;
use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::operand::{Operand, Slot, check_apart};
use crate::plan::{Plan, Schedule};
use crate::rows::{Access, ELEMENT_BYTES, Part, Rows};
use crate::shader::{Needs, Params, Place, RowSpec, Variant};
use crate::transfer::{Matrix, Stream, Wait};
use std::sync::Arc;

type Pipeline = Arc<wgpu::ComputePipeline>;

/// Where a device buffer is bound from: any `buffer.slice(..)` converts.
pub type Slice<'a> = wgpu::BufferSlice<'a>;

/// One dispatch.
pub(crate) struct Step<'a> {
    pub(crate) pipeline: Pipeline,
    pub(crate) params: Params,
    pub(crate) bindings: Vec<(u32, wgpu::BufferBinding<'a>)>,
    pub(crate) groups: usize,
}

impl<'a> Step<'a> {
    /// Binds a buffer in its slot, where it begins `offset` elements further.
    pub(crate) fn bind(&mut self, (slot, binding, offset): (Slot, wgpu::BufferBinding<'a>, u32)) {
        self.params.offsets[slot as usize] = offset;
        self.bindings.push((slot as u32, binding));
    }
}

/// What `encode` recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// Dispatches, in one compute pass.
    pub dispatches: usize,
    /// Bytes of device memory allocated: 0 for a call like an earlier one.
    pub allocated_bytes: u64,
}

/// Records the steps in one compute pass; wgpu orders them where one reads what another wrote.
pub(crate) fn record(
    gpu: &Gpu,
    encoder: &mut wgpu::CommandEncoder,
    steps: &[Step<'_>],
) -> Result<Recorded, EncodeError> {
    if steps.is_empty() {
        return Ok(Recorded::default());
    }
    let stride = size_of::<Params>().next_multiple_of(gpu.limits().min_uniform_buffer_offset_alignment as usize);
    let widest = gpu.limits().max_compute_workgroups_per_dimension as usize;
    let mut words = vec![0u8; stride * steps.len()];
    let mut grid = Vec::new();
    for (step, slot) in steps.iter().zip(words.chunks_mut(stride)) {
        let x = step.groups.clamp(1, widest);
        grid.push((x as u32, step.groups.div_ceil(x) as u32));
        let params = Params {
            groups_x: x as u32,
            ..step.params
        };
        slot[..size_of::<Params>()].copy_from_slice(bytemuck::bytes_of(&params));
    }
    let (uniforms, allocated_bytes) = gpu.parameters(words)?;
    let groups = (steps.iter().enumerate()).map(|(i, step)| {
        let uniform = wgpu::BufferBinding {
            buffer: &uniforms,
            offset: (i * stride) as u64,
            size: wgpu::BufferSize::new(size_of::<Params>() as u64),
        };
        let entries: Vec<_> = std::iter::once((0, uniform))
            .chain(step.bindings.iter().cloned())
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer),
            })
            .collect();
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-softmax"),
            layout: &step.pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    });
    let groups: Vec<_> = gpu.scoped(|| groups.collect())?;
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("wgpu-softmax"),
        timestamp_writes: None,
    });
    for ((step, group), (x, y)) in steps.iter().zip(&groups).zip(grid) {
        pass.set_pipeline(&step.pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }
    Ok(Recorded {
        dispatches: steps.len(),
        allocated_bytes,
    })
}

/// An operation on the rows of one shape, prepared: the plan chosen, the pipelines made.
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
        // Nobody is to list the parts of what no buffer can hold.
        let bytes = rows.elements()? as u64 * spec.storage.logits.bytes();
        if u32::try_from(rows.count()).is_err() {
            return Err(rows.too_large());
        }
        if bytes > gpu.limits().max_buffer_size {
            return Err(EncodeError::OutOfMemory { what: "logits", bytes });
        }
        let parts = rows.parts(gpu.limits())?;
        let plan = Plan::new(
            &rows,
            gpu.traits(),
            spec.span_words() as usize,
            spec.is_heavy(),
            schedule,
        )?;
        let is_split = spec.needs == Needs::Sums && matches!(plan.schedule, Schedule::Split { .. });
        let largest = parts.iter().map(|p| p.rows).max().unwrap_or(0);
        let words = largest * (plan.spans * spec.span_words()) as usize;
        let scratch = if is_split && largest > 0 {
            let what = "the sums of the parts of long rows";
            Some(gpu.buffer(what, words as u64 * ELEMENT_BYTES, wgpu::BufferUsages::STORAGE)?)
        } else {
            None
        };
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
        // Compiled now rather than in the caller's first step.
        kernel.pipelines(rows.access())?;
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

    /// Checks the caller's buffers and records the operation on all of the rows.
    pub(crate) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        operands: &[Operand<'_>],
        params: Params,
    ) -> Result<Recorded, EncodeError> {
        self.check(operands)?;
        record(&self.gpu, encoder, &self.steps(operands, 0, params)?)
    }

    /// The steps for a batch whose row `first_row` is the operands' first; matrices begin with it.
    pub(crate) fn steps<'a>(
        &'a self,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Step<'a>>, EncodeError> {
        let mut steps = Vec::new();
        for part in &self.parts {
            steps.extend(self.part_steps(part, operands, first_row, params)?);
        }
        Ok(steps)
    }

    /// The dispatch that writes, and the one before it where the schedule has one.
    fn pipelines(&self, access: Access) -> Result<(Pipeline, Option<Pipeline>), EncodeError> {
        let variant = |first_pass| Variant::row(self.spec, access, first_pass, &self.plan);
        let main = self.gpu.pipeline(&variant(false))?;
        let first = self.scratch.as_ref().map(|_| self.gpu.pipeline(&variant(true)));
        Ok((main, first.transpose()?))
    }

    fn part_steps<'a>(
        &'a self,
        part: &Part,
        operands: &[Operand<'a>],
        first_row: usize,
        params: Params,
    ) -> Result<Vec<Step<'a>>, EncodeError> {
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
        let mut access = self.rows.access();
        for operand in operands {
            let (binding, offset) = operand.window(&self.gpu, part, first_row);
            params.offsets[operand.slot as usize] = offset;
            bindings.push((operand.slot, binding));
            if matches!(operand.slot, Slot::Logits | Slot::Result | Slot::Other | Slot::Third) {
                access = access.min(Access::of(offset as usize));
            }
        }
        if self.spec.place == Place::InPlace {
            params.offsets[Slot::Logits as usize] = params.offsets[Slot::Result as usize];
        }
        if let Some(scratch) = &self.scratch {
            bindings.push((Slot::Scratch, scratch.as_entire_buffer_binding()));
        }
        let (main, first) = self.pipelines(access)?;
        let groups = part.rows.div_ceil(self.plan.shape.rows()) * self.plan.pieces() as usize;
        let mut steps = Vec::new();
        if let Some(pipeline) = first {
            // In place, the first pass has the logits bound as such all the same.
            let logits_slot = |slot| match (slot, self.spec.place) {
                (Slot::Logits, _) => Some(Slot::Logits),
                (Slot::Result, Place::InPlace) => Some(Slot::Logits),
                (slot, _) => self.spec.first_pass_reads(slot).then_some(slot),
            };
            let read = bindings
                .iter()
                .filter_map(|(slot, b)| Some((logits_slot(*slot)? as u32, b.clone())));
            steps.push(Step {
                pipeline,
                params,
                bindings: read.collect(),
                groups,
            });
        }
        steps.push(Step {
            pipeline: main,
            params,
            bindings: bindings.into_iter().map(|(slot, b)| (slot as u32, b)).collect(),
            groups,
        });
        Ok(steps)
    }
}

/// A batch on the host, and what runs over it.
pub(crate) struct HostBatch<'a> {
    pub(crate) rows: Rows,
    pub(crate) spec: RowSpec,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) params: Params,
    /// What is bound beside the matrices.
    pub(crate) others: Vec<Operand<'a>>,
    pub(crate) wait: Wait,
}

impl Gpu {
    /// Runs a kernel of rows over a batch on the host, in parts. The result takes the first matrix's place, where the
    /// kernel has one.
    pub(crate) async fn stream<T: Element>(
        &self,
        matrices: Vec<Matrix<'_>>,
        batch: &HostBatch<'_>,
    ) -> Result<Vec<T>, RunError> {
        let has_result = batch.spec.place != Place::None;
        let mut stream = Stream::new(self, batch.rows, matrices, has_result, batch.wait)?;
        let mut kernel: Option<RowKernel> = None;
        stream
            .run(|host_part, encoder, matrices| {
                let kernel = match &kernel {
                    Some(same) if same.rows == host_part.rows => same,
                    _ => kernel.insert(RowKernel::new(self, host_part.rows, batch.spec, batch.schedule)?),
                };
                let operands: Vec<_> = matrices.iter().chain(&batch.others).copied().collect();
                let steps = kernel.steps(&operands, host_part.first_row, batch.params)?;
                record(self, encoder, &steps).map(|_| ())
            })
            .await
    }
}
