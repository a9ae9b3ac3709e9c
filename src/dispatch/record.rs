//! Records dispatches into an encoder.

use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::shader::{Params, Slot};
use std::sync::Arc;

pub(crate) type Pipeline = Arc<wgpu::ComputePipeline>;

/// One dispatch, checked and laid out before anything is recorded.
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

/// What `encode` recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recorded {
    /// The number of dispatches. They are in one compute pass, except those of the Jacobian of softmax, which are in
    /// two.
    pub dispatches: usize,
    /// Bytes of device memory allocated: 0 for a call like an earlier one.
    pub allocated_bytes: u64,
}

/// Records dispatches in one compute pass; wgpu orders them where one reads what another wrote.
pub(crate) fn record(
    gpu: &Gpu,
    encoder: &mut wgpu::CommandEncoder,
    dispatches: &[Dispatch<'_>],
) -> Result<Recorded, EncodeError> {
    if dispatches.is_empty() {
        return Ok(Recorded::default());
    }
    let stride = size_of::<Params>().next_multiple_of(gpu.limits().min_uniform_buffer_offset_alignment as usize);
    let widest = gpu.limits().max_compute_workgroups_per_dimension as usize;
    let mut words = vec![0u8; stride * dispatches.len()];
    let mut grid = Vec::new();
    for (dispatch, chunk) in dispatches.iter().zip(words.chunks_mut(stride)) {
        let x = dispatch.groups.clamp(1, widest);
        grid.push((x as u32, dispatch.groups.div_ceil(x) as u32));
        let params = Params {
            groups_x: x as u32,
            ..dispatch.params
        };
        chunk[..size_of::<Params>()].copy_from_slice(bytemuck::bytes_of(&params));
    }
    let (uniforms, allocated_bytes) = gpu.parameters(words)?;
    let groups = (dispatches.iter().enumerate()).map(|(i, dispatch)| {
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
        gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("wgpu-softmax"),
            layout: &dispatch.pipeline.get_bind_group_layout(0),
            entries: &entries,
        })
    });
    let groups: Vec<_> = gpu.with_error_scopes(|| groups.collect())?;
    let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
        label: Some("wgpu-softmax"),
        timestamp_writes: None,
    });
    for ((dispatch, group), (x, y)) in dispatches.iter().zip(&groups).zip(grid) {
        pass.set_pipeline(&dispatch.pipeline);
        pass.set_bind_group(0, group, &[]);
        pass.dispatch_workgroups(x, y, 1);
    }
    Ok(Recorded {
        dispatches: dispatches.len(),
        allocated_bytes,
    })
}
