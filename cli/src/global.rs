//! The flags that every command takes, and the adapter that they choose.

use crate::console;
use crate::failure::Failure;
use crate::progress::Bar;
use clap::{Args, ValueEnum};
use wgpu_softmax::wgpu::{Backends, DeviceType};
use wgpu_softmax::{Gpu, GpuOptions};

#[derive(Args)]
pub(crate) struct Global {
    /// Part of the adapter's name, in any case.
    #[arg(long, global = true, value_name = "TEXT")]
    adapter: Option<String>,
    /// The API to reach the adapter by.
    #[arg(long, global = true)]
    backend: Option<Backend>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Backend {
    Vulkan,
    Gl,
    Metal,
    Dx12,
}

impl Global {
    pub(crate) fn gpu_options(&self) -> GpuOptions {
        GpuOptions {
            backends: self.backend.map(|backend| match backend {
                Backend::Vulkan => Backends::VULKAN,
                Backend::Gl => Backends::GL,
                Backend::Metal => Backends::METAL,
                Backend::Dx12 => Backends::DX12,
            }),
            adapter_name: self.adapter.clone(),
            ..GpuOptions::default()
        }
    }

    /// Opens the adapter for work on so many rows. The progress bar comes with it, and shows the rows that are done.
    pub(crate) fn open_gpu(&self, rows: usize) -> Result<(Gpu, Bar), Failure> {
        let gpu = Gpu::with_options(&self.gpu_options())?;
        let info = gpu.adapter_info();
        if info.device_type == DeviceType::Cpu {
            console::note(&format!("note: {} ({}) is a software adapter", info.name, info.backend));
        }
        let bar = Bar::new(rows, "rows");
        Ok((gpu.with_progress(bar.on_progress()), bar))
    }
}
