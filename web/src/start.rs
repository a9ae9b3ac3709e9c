//! The device that all calls run on.

use crate::failure::Failure;
use crate::object::ObjectOf;
use crate::options::Options;
use js_sys::Function;
use std::cell::RefCell;
use wasm_bindgen::prelude::*;
use wgpu_softmax::wgpu::DeviceType;
use wgpu_softmax::{Gpu, GpuOptions, Rows};

thread_local! {
    static GPU: RefCell<Option<Gpu>> = const { RefCell::new(None) };
    static ON_PANIC: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// A part's bytes are copied three times on the page's thread, so they are fewer than elsewhere.
const PART_BYTES: u64 = 8 << 20;

/// Has panics reported to a function. A panic ends the call in which it happens, without a word to whoever awaits it.
#[wasm_bindgen(js_name = onPanic)]
pub fn on_panic(report: Function) {
    ON_PANIC.with(|slot| slot.replace(Some(report)));
    std::panic::set_hook(Box::new(|panic| {
        let report = ON_PANIC.with(|slot| slot.borrow().clone());
        if let Some(report) = report {
            // There is nobody left to whom an exception in it could be told.
            let _ = report.call1(&JsValue::NULL, &panic.to_string().into());
        }
    }));
}

/// Takes the browser's fastest adapter.
#[wasm_bindgen]
pub async fn start(options: JsValue) -> Result<JsValue, Failure> {
    let options = Options::new("init", options, &[&["wasm", "partBytes"]])?;
    let part_bytes = options.whole("partBytes", 1, 1 << 30)?;
    let options = GpuOptions {
        part_bytes: part_bytes.map_or(PART_BYTES, |bytes| bytes as u64),
        ..GpuOptions::default()
    };
    let gpu = Gpu::with_options_async(&options).await?;
    let info = gpu.adapter_info();
    let kind = match info.device_type {
        DeviceType::DiscreteGpu => "discrete",
        DeviceType::IntegratedGpu => "integrated",
        DeviceType::VirtualGpu => "virtual",
        DeviceType::Cpu => "software",
        DeviceType::Other => "other",
    };
    let adapter = ObjectOf::new()
        .with("name", &info.name[..])?
        .with("kind", kind)?
        .with("subgroups", gpu.uses_subgroups())?
        .with("partBytes", options.part_bytes as f64)?
        .with("version", env!("CARGO_PKG_VERSION"))?;
    GPU.with(|slot| slot.replace(Some(gpu)));
    Ok(adapter.done())
}

/// The device of the last `start`.
pub(crate) fn gpu() -> Result<Gpu, Failure> {
    GPU.with(|gpu| gpu.borrow().clone())
        .ok_or_else(|| Failure::new("await init() first"))
}

/// Rows of `classes` numbers that are `elements` together.
pub(crate) fn rows(elements: usize, classes: f64) -> Result<Rows, Failure> {
    if classes.fract() != 0.0 || !(1.0..=f64::from(u32::MAX)).contains(&classes) {
        return Err(Failure::new(format!(
            "classes has to be a whole number from 1, and is {classes}"
        )));
    }
    let classes = classes as usize;
    if !elements.is_multiple_of(classes) {
        return Err(Failure::new(format!(
            "{elements} logits are no whole rows of {classes} classes"
        )));
    }
    Ok(Rows::new(elements / classes, classes))
}
