//! `wgpu-softmax devices`.

use crate::console;
use crate::failure::Failure;
use crate::global::Global;
use serde_json::json;
use wgpu_softmax::wgpu::{AdapterInfo, Backends};
use wgpu_softmax::{Gpu, GpuOptions, adapters};

/// Lists every adapter of this machine, whichever of them the flags choose from, and marks the chosen one.
pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let chosen = infos(&global.gpu_options())?.into_iter().next();
    let all = GpuOptions {
        backends: Some(Backends::all()),
        adapter_name: Some(String::new()),
        ..GpuOptions::default()
    };
    for info in infos(&all)? {
        console::line(&describe(&info, chosen.as_ref() == Some(&info), global.json))?;
    }
    match chosen {
        Some(_) => Ok(()),
        // Opening it gives the error that says what is missing.
        None => Gpu::with_options(&global.gpu_options())
            .map(|_| ())
            .map_err(Failure::from),
    }
}

fn infos(options: &GpuOptions) -> Result<Vec<AdapterInfo>, Failure> {
    let found = pollster::block_on(adapters(options))?;
    Ok(found.iter().map(|a| a.get_info()).collect())
}

fn describe(info: &AdapterInfo, is_chosen: bool, as_json: bool) -> String {
    let (backend, kind) = (info.backend.to_string(), format!("{:?}", info.device_type));
    let driver = format!("{} {}", info.driver, info.driver_info).trim().to_string();
    if as_json {
        json!({ "name": info.name, "backend": backend, "type": kind, "driver": driver, "chosen": is_chosen })
            .to_string()
    } else {
        let mark = if is_chosen { "*" } else { " " };
        format!("{mark} {}  {backend}  {kind}  {driver}", info.name)
    }
}
