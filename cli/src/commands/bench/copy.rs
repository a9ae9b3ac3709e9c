//! The copy that operations are compared with: the fastest that this adapter does of those tried.

use super::timer::{Timer, median};
use crate::failure::Failure;
use wgpu_softmax::Gpu;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};

/// GROUP, WIDTH and EACH of copy.wgsl. The first suits software rasterisers, whose subgroups are 8 wide, the others suit GPUs.
const CANDIDATES: [[u32; 3]; 5] = [[64, 8, 32], [64, 64, 1], [256, 256, 1], [256, 256, 4], [256, 256, 8]];

pub(crate) struct Copy {
    pipeline: wgpu::ComputePipeline,
    bindings: wgpu::BindGroup,
    groups: (u32, u32),
}

impl Copy {
    /// The fastest of the candidates at moving `bytes` in all: it reads half as many, and writes as many.
    pub(crate) fn best(gpu: &Gpu, timer: &Timer<'_>, bytes: u64) -> Result<Self, Failure> {
        let vec4s = (bytes / 2).div_ceil(16).max(1);
        let buffer = |usage| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("copy"),
                size: vec4s * 16,
                usage,
                mapped_at_creation: false,
            })
        };
        let (source, copied) = (buffer(Usage::STORAGE | Usage::COPY_DST), buffer(Usage::STORAGE));
        // An operating system may map memory that was never written to one and the same page, which reads too fast.
        gpu.queue().write_buffer(&source, 0, &vec![1; (vec4s * 16) as usize]);
        let mut best: Option<(f64, Self)> = None;
        for candidate in CANDIDATES {
            if candidate[0] > gpu.device().limits().max_compute_invocations_per_workgroup {
                continue;
            }
            let copy = Self::new(gpu, candidate, [&source, &copied], vec4s);
            let times = (0..5).map(|_| timer.ms(|encoder| copy.encode(encoder)));
            let ms = median(times.collect::<Result<_, _>>()?);
            if best.as_ref().is_none_or(|(least, _)| ms < *least) {
                best = Some((ms, copy));
            }
        }
        let none = || Failure::Machine("the adapter runs no work-group of 64 invocations".into());
        best.map(|(_, copy)| copy).ok_or_else(none)
    }

    fn new(gpu: &Gpu, [group, width, each]: [u32; 3], buffers: [&wgpu::Buffer; 2], vec4s: u64) -> Self {
        let device = gpu.device();
        let module = device.create_shader_module(wgpu::include_wgsl!("copy.wgsl"));
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("copy"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &[("GROUP", group.into()), ("WIDTH", width.into()), ("EACH", each.into())],
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        let entry = |binding: usize| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: buffers[binding].as_entire_binding(),
        };
        let bindings = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("copy"),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[entry(0), entry(1)],
        });
        let groups = vec4s.div_ceil(u64::from(group * each));
        let x = groups.min(device.limits().max_compute_workgroups_per_dimension.into());
        Self {
            pipeline,
            bindings,
            groups: (x as u32, groups.div_ceil(x) as u32),
        }
    }

    pub(crate) fn encode(&self, encoder: &mut wgpu::CommandEncoder) -> Result<(), Failure> {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bindings, &[]);
        pass.dispatch_workgroups(self.groups.0, self.groups.1, 1);
        Ok(())
    }
}
