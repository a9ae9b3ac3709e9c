//! [`Capabilities`]: what a plan asks of an adapter.

use super::shape::{CHUNK, REGS_MAX};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// A software rasteriser: few lanes at once, and barriers that cost much.
    pub(crate) is_software: bool,
    /// The smallest subgroup, where subgroups are used.
    pub(crate) subgroup: Option<u32>,
    /// Registers that a lane may have in a loop over chunks.
    pub(super) regs_in_loops: usize,
    /// The most invocations that a work-group may have.
    pub(super) invocations: u32,
    /// Bytes of work-group memory.
    pub(super) group_memory: u32,
}

impl Capabilities {
    pub(crate) fn new(info: &wgpu::AdapterInfo, limits: &wgpu::Limits, subgroups: bool) -> Self {
        let smallest = info.subgroup_min_size;
        // Browsers name no adapter; the one that Chromium falls back to is SwiftShader.
        let is_fallback = info.backend == wgpu::Backend::BrowserWebGpu && info.device_type == wgpu::DeviceType::Cpu;
        let is_swiftshader = is_fallback || info.name.contains("SwiftShader");
        Self {
            is_software: info.device_type == wgpu::DeviceType::Cpu,
            subgroup: (subgroups && smallest >= 4 && smallest.is_power_of_two()).then_some(smallest),
            // SwiftShader needs unbounded memory to compile a loop with more single-element stores.
            regs_in_loops: if is_swiftshader { 2 } else { REGS_MAX },
            invocations: limits.max_compute_invocations_per_workgroup.min(1024),
            group_memory: limits.max_compute_workgroup_storage_size,
        }
    }

    /// The most lanes that share a chunk of a row that is processed chunk by chunk: each then holds 8 vec4s, so that what
    /// a chunk costs besides, reductions and barriers, is shared by many classes. More lanes take several chunks at once.
    pub(super) fn chunk_lanes(&self) -> u32 {
        self.lanes_in_loops().max(32)
    }

    /// The same for passes that leave statistics, of which there are few kernels: on a rasteriser a chunk that more than a
    /// subgroup shares costs barriers, and one of few lanes a long time to compile.
    pub(super) fn pass_lanes(&self) -> u32 {
        match self.subgroup {
            Some(size) if self.is_software => self.lanes_in_loops().max(size),
            _ => self.chunk_lanes(),
        }
    }

    /// The fewest lanes that a loop over chunks may have.
    pub(super) fn lanes_in_loops(&self) -> u32 {
        (CHUNK / 4 / self.regs_in_loops) as u32
    }
}
