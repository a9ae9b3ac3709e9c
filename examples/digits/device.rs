//! Buffers and the example's own kernels, in plain wgpu.

use std::error::Error;
use wgpu_softmax::Gpu;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};

pub(crate) fn buffer(gpu: &Gpu, words: usize) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: words as u64 * 4,
        usage: Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
        mapped_at_creation: false,
    })
}

pub(crate) fn filled(gpu: &Gpu, bytes: &[u8]) -> wgpu::Buffer {
    let buffer = buffer(gpu, bytes.len() / 4);
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

/// Submits the commands, and copies one buffer to the host.
pub(crate) fn read<T: bytemuck::Pod>(
    gpu: &Gpu,
    mut encoder: wgpu::CommandEncoder,
    source: &wgpu::Buffer,
) -> Result<Vec<T>, Box<dyn Error>> {
    let copy = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: source.size(),
        usage: Usage::MAP_READ | Usage::COPY_DST,
        mapped_at_creation: false,
    });
    encoder.copy_buffer_to_buffer(source, 0, &copy, 0, source.size());
    gpu.queue().submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |_| ());
    gpu.device().poll(wgpu::PollType::wait_indefinitely())?;
    let view = copy.get_mapped_range(..)?;
    Ok(bytemuck::pod_collect_to_vec(&view))
}

/// One of the example's own kernels, with its buffers bound in the order of their bindings.
pub(crate) struct Kernel {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    groups: u32,
}

impl Kernel {
    /// `constants` are the overrides of the source. Work-groups have 64 invocations, so up to 63 more than asked for run.
    pub(crate) fn new(
        gpu: &Gpu,
        source: &str,
        constants: &[(&str, f64)],
        bound: &[wgpu::BufferSlice<'_>],
        invocations: usize,
    ) -> Self {
        let module = gpu.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: None,
            source: wgpu::ShaderSource::Wgsl(source.into()),
        });
        let pipeline = gpu.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: None,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..Default::default()
            },
            cache: None,
        });
        let entries: Vec<_> = (0u32..)
            .zip(bound)
            .map(|(binding, slice)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: slice.buffer(),
                    offset: slice.offset(),
                    size: wgpu::BufferSize::new(slice.size()),
                }),
            })
            .collect();
        let group = gpu.device().create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self {
            pipeline,
            group,
            groups: invocations.div_ceil(64) as u32,
        }
    }

    pub(crate) fn encode(&self, encoder: &mut wgpu::CommandEncoder) {
        self.record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
    }

    pub(crate) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.groups, 1, 1);
    }
}
