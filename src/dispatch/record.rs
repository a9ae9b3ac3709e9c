//! Binds dispatches, which were checked and laid out before.

use super::bound::{Bound, Pipeline, Recorded, Step};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::shader::{Params, Slot};
use std::sync::Arc;

/// One dispatch, checked and laid out before anything is made for it.
pub(crate) struct Dispatch<'a> {
    pub(crate) pipeline: Pipeline,
    pub(crate) params: Params,
    pub(crate) bindings: Vec<(Slot, wgpu::BufferBinding<'a>)>,
    pub(crate) groups: usize,
}

impl<'a> Dispatch<'a> {
    /// Binds a buffer in its slot; its first element is `offset` elements after the start of the binding.
    pub(crate) fn bind(&mut self, slot: Slot, (binding, offset): (wgpu::BufferBinding<'a>, u32)) {
        self.params.offsets[slot as usize] = offset;
        self.bindings.push((slot, binding));
    }
}

/// Makes the bind groups and the parameters of dispatches.
pub(crate) fn bind(gpu: &Gpu, dispatches: &[Dispatch<'_>]) -> Result<NewlyBound, EncodeError> {
    if dispatches.is_empty() {
        return Ok(NewlyBound {
            bound: Bound::new(Vec::new()),
            allocated_bytes: 0,
        });
    }
    let stride = size_of::<Params>().next_multiple_of(gpu.limits().min_uniform_buffer_offset_alignment as usize);
    let widest = gpu.limits().max_compute_workgroups_per_dimension as usize;
    let mut words = vec![0u8; stride * dispatches.len()];
    let mut grids = Vec::new();
    for (dispatch, chunk) in dispatches.iter().zip(words.chunks_mut(stride)) {
        let x = dispatch.groups.clamp(1, widest);
        grids.push((x as u32, dispatch.groups.div_ceil(x) as u32));
        let params = Params {
            groups_x: x as u32,
            ..dispatch.params
        };
        chunk[..size_of::<Params>()].copy_from_slice(bytemuck::bytes_of(&params));
    }
    let (uniforms, allocated_bytes) = gpu.parameters(words)?;
    let steps = dispatches.iter().zip(grids).enumerate().map(|(i, (dispatch, grid))| {
        let uniform = wgpu::BufferBinding {
            buffer: &uniforms,
            offset: (i * stride) as u64,
            size: wgpu::BufferSize::new(size_of::<Params>() as u64),
        };
        let entries: Vec<_> = std::iter::once((0, uniform))
            .chain(dispatch.bindings.iter().map(|(slot, b)| (*slot as u32, b.clone())))
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer),
            })
            .collect();
        let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-softmax"),
            layout: &dispatch.pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let pipeline = Arc::clone(&dispatch.pipeline);
        Step { pipeline, group, grid }
    });
    let steps: Vec<_> = gpu.with_error_scopes(|| steps.collect())?;
    Ok(NewlyBound {
        bound: Bound::new(steps),
        allocated_bytes,
    })
}

/// What was bound, and the bytes of device memory that were allocated for it.
pub(crate) struct NewlyBound {
    pub(crate) bound: Bound,
    pub(crate) allocated_bytes: u64,
}

impl NewlyBound {
    /// Records what was bound for this call alone.
    pub(crate) fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Recorded {
        Recorded {
            allocated_bytes: self.allocated_bytes,
            ..self.bound.encode(encoder)
        }
    }
}
