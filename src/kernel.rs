//! [`Step`]s: dispatches checked and laid out before anything is recorded, and [`RowKernel`], which turns an operation
//! on rows into steps.

use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::plan::{Plan, Schedule};
use crate::rows::{ELEMENT_BYTES, Part, Rows};
use crate::shader::{Elem, Params, Place, RowOp, Variant};
use std::sync::Arc;

/// Where a device buffer is bound from: any `buffer.slice(..)` converts.
pub type Slice<'a> = wgpu::BufferSlice<'a>;

/// One dispatch.
pub(crate) struct Step<'a> {
    pub(crate) pipeline: Arc<wgpu::ComputePipeline>,
    pub(crate) params: Params,
    pub(crate) bindings: Vec<(u32, wgpu::BufferBinding<'a>)>,
    pub(crate) groups: usize,
}

/// Records the steps in one compute pass; wgpu orders them where one reads what another wrote.
pub(crate) fn record(gpu: &Gpu, encoder: &mut wgpu::CommandEncoder, steps: &[Step<'_>]) -> Result<(), EncodeError> {
    if steps.is_empty() {
        return Ok(());
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
    let uniforms = gpu.buffer_of("parameters", &words, wgpu::BufferUsages::UNIFORM)?;
    let groups: Vec<_> = (steps.iter().enumerate())
        .map(|(i, step)| {
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
        })
        .collect();
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("wgpu-softmax"),
        timestamp_writes: None,
    });
    for ((step, group), (x, y)) in steps.iter().zip(&groups).zip(grid) {
        pass.set_pipeline(&step.pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }
    Ok(())
}

/// Binds elements `first..first + elements` of a slice from the alignment before them on; returns how many elements
/// further they begin.
pub(crate) fn window<'a>(gpu: &Gpu, slice: Slice<'a>, first: usize, elements: usize) -> (wgpu::BufferBinding<'a>, u32) {
    let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
    let start = slice.offset() + first as u64 * ELEMENT_BYTES;
    let offset = start / alignment * alignment;
    let size = start - offset + elements as u64 * ELEMENT_BYTES;
    let binding = wgpu::BufferBinding {
        buffer: slice.buffer(),
        offset,
        size: wgpu::BufferSize::new(size),
    };
    (binding, ((start - offset) / ELEMENT_BYTES) as u32)
}

/// Checks a buffer that the caller binds: its size, usage and offset.
pub(crate) fn check(name: &'static str, slice: Slice<'_>, elements: usize) -> Result<(), EncodeError> {
    let needed = elements as u64 * ELEMENT_BYTES;
    if slice.size() < needed {
        return Err(EncodeError::BufferTooSmall {
            buffer: name,
            needed,
            bound: slice.size(),
        });
    }
    if !slice.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
        return Err(EncodeError::MissingUsage {
            buffer: name,
            usage: "STORAGE",
        });
    }
    if !slice.offset().is_multiple_of(ELEMENT_BYTES) {
        return Err(EncodeError::MisalignedOffset {
            buffer: name,
            offset: slice.offset(),
            alignment: ELEMENT_BYTES,
        });
    }
    Ok(())
}

/// Checks that no dispatch binds a buffer both to read and to write, which WebGPU forbids even where the parts are
/// apart, and that what is written does not meet once offsets are aligned.
pub(crate) fn check_apart(
    gpu: &Gpu,
    written: &[(&'static str, Slice<'_>)],
    read: &[(&'static str, Slice<'_>)],
) -> Result<(), EncodeError> {
    let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
    let start = |slice: &Slice<'_>| slice.offset() / alignment * alignment;
    let end = |slice: &Slice<'_>| slice.offset() + slice.size();
    for (i, (a, slice)) in written.iter().enumerate() {
        let meets = |other: &Slice<'_>| start(slice) < end(other) && start(other) < end(slice);
        let written = written[i + 1..].iter().filter(|(_, other)| meets(other));
        for (b, other) in written.chain(read) {
            if slice.buffer() == other.buffer() {
                return Err(EncodeError::Overlap { a, b });
            }
        }
    }
    Ok(())
}

/// An operation on the rows of one shape, prepared: the plan chosen, the pipelines made.
#[derive(Debug, Clone)]
pub(crate) struct RowKernel {
    gpu: Gpu,
    pub(crate) rows: Rows,
    pub(crate) plan: Plan,
    op: RowOp,
    place: Place,
    parts: Vec<Part>,
    scratch: Option<wgpu::Buffer>,
}

impl RowKernel {
    pub(crate) fn new(
        gpu: &Gpu,
        rows: Rows,
        op: RowOp,
        place: Place,
        schedule: Option<Schedule>,
    ) -> Result<Self, EncodeError> {
        let parts = rows.parts(gpu.limits())?;
        let plan = Plan::new(&rows, gpu.traits(), schedule)?;
        let is_split = matches!(plan.schedule, Schedule::Split { .. });
        let largest = parts.iter().map(|p| p.rows).max().unwrap_or(0);
        let bytes = (largest * plan.spans as usize * 16) as u64;
        let scratch = if is_split && largest > 0 {
            Some(gpu.buffer("the sums of the parts of long rows", bytes, wgpu::BufferUsages::STORAGE)?)
        } else {
            None
        };
        let kernel = Self {
            gpu: gpu.clone(),
            rows,
            plan,
            op,
            place,
            parts,
            scratch,
        };
        // Compiled now rather than in the caller's first step.
        kernel.pipelines(kernel.elem(0))?;
        Ok(kernel)
    }

    pub(crate) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Quads where rows and offsets (in bytes) allow it.
    fn elem(&self, offsets: u64) -> Elem {
        if self.rows.is_in_quads() && offsets.is_multiple_of(16) {
            Elem::F32
        } else {
            Elem::F32Strided
        }
    }

    /// The dispatch that writes, and the one before it where the schedule has one.
    fn pipelines(
        &self,
        elem: Elem,
    ) -> Result<(Arc<wgpu::ComputePipeline>, Option<Arc<wgpu::ComputePipeline>>), EncodeError> {
        let main = self
            .gpu
            .pipeline(&Variant::row(self.op, elem, self.place, &self.plan))?;
        if self.scratch.is_none() {
            return Ok((main, None));
        }
        let argmax = matches!(self.op, RowOp::CrossEntropy { argmax: true, .. });
        let stats = Variant::row(RowOp::SplitStats { argmax }, elem, Place::None, &self.plan);
        Ok((main, Some(self.gpu.pipeline(&stats)?)))
    }

    /// The steps for one part. `logits` and `result` are the whole batch's; `extra` is bound to the writing dispatch.
    pub(crate) fn steps<'a>(
        &'a self,
        part: &Part,
        logits: Slice<'a>,
        result: Option<Slice<'a>>,
        extra: Vec<(u32, wgpu::BufferBinding<'a>)>,
        params: Params,
    ) -> Result<Vec<Step<'a>>, EncodeError> {
        let (read, logits_offset) = window(&self.gpu, logits, part.first_element, part.elements);
        let written = result.map(|slice| window(&self.gpu, slice, part.first_element, part.elements));
        let offsets = logits.offset() | result.map_or(0, |r| r.offset());
        let (main, stats) = self.pipelines(self.elem(offsets))?;
        let params = Params {
            rows: part.rows as u32,
            classes: self.rows.classes() as u32,
            inner: self.rows.inner() as u32,
            outer_stride: self.rows.outer_stride() as u32,
            logits_offset,
            result_offset: written.as_ref().map_or(logits_offset, |(_, offset)| *offset),
            first_row: part.first_row as u32,
            pieces: self.plan.pieces(),
            spans: self.plan.spans,
            ..params
        };
        let groups = part.rows.div_ceil(self.plan.shape.rows()) * self.plan.pieces() as usize;
        let scratch = self.scratch.as_ref().map(|s| (3, s.as_entire_buffer_binding()));
        let mut steps = Vec::new();
        if let Some(pipeline) = stats {
            steps.push(Step {
                pipeline,
                params,
                bindings: [(1, read.clone())].into_iter().chain(scratch.clone()).collect(),
                groups,
            });
        }
        let mut bindings = match (self.place, written) {
            (Place::Apart, Some((written, _))) => vec![(1, read), (2, written)],
            (Place::InPlace, _) => vec![(2, read)],
            _ => vec![(1, read)],
        };
        bindings.extend(scratch);
        bindings.extend(extra);
        steps.push(Step {
            pipeline: main,
            params,
            bindings,
            groups,
        });
        Ok(steps)
    }
}
