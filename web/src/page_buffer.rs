//! `softmaxBuffer`, and the device for the page's own buffers. wgpu 30 hands out the browser's objects behind its own, and takes
//! none but textures: so a buffer of the page's is copied, on the GPU, into one of wgpu's, and the result back.

use crate::failure::Failure;
use crate::options::{ADJUST, Options};
use crate::softmax::softmax_of;
use crate::start::{gpu, rows};
use js_sys::{Array, Reflect};
use wasm_bindgen::prelude::*;
use wgpu_softmax::wgpu::{BufferDescriptor, BufferUsages, CommandEncoderDescriptor, ErrorFilter};
use wgpu_softmax::{Gpu, Softmax, SoftmaxBuffers};

#[wasm_bindgen]
extern "C" {
    /// The browser's device.
    pub type Device;
    #[wasm_bindgen(method, getter)]
    fn queue(this: &Device) -> Queue;
    #[wasm_bindgen(method, catch, js_name = createCommandEncoder)]
    fn encoder(this: &Device) -> Result<Encoder, JsValue>;

    type Queue;
    #[wasm_bindgen(method, catch)]
    fn submit(this: &Queue, commands: &Array) -> Result<(), JsValue>;

    type Encoder;
    #[wasm_bindgen(method, catch, js_name = copyBufferToBuffer)]
    fn copy(this: &Encoder, from: &JsValue, at: f64, to: &JsValue, to_at: f64, bytes: f64) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn finish(this: &Encoder) -> Result<JsValue, JsValue>;
}

/// The device that the calls run on.
#[wasm_bindgen]
pub fn device() -> Result<Device, Failure> {
    device_of(&gpu()?)
}

fn device_of(gpu: &Gpu) -> Result<Device, Failure> {
    let device = gpu.device().as_webgpu();
    let device = device.ok_or_else(|| Failure::new("the device is none of the browser's"))?;
    Ok(JsValue::from(device.clone()).unchecked_into())
}

/// Softmax of a buffer of the page's into another.
#[wasm_bindgen(js_name = softmaxBuffer)]
pub async fn softmax_buffer(logits: JsValue, result: JsValue, classes: f64, options: JsValue) -> Result<(), Failure> {
    let options = Options::new("softmaxBuffer", options, &[&["log", "fast", "fullyMasked"], &ADJUST])?;
    let softmax = Softmax {
        in_place: true,
        ..softmax_of(&options).await?
    };
    let (bytes, result_bytes) = (size("logits", &logits)?, size("result", &result)?);
    if bytes != result_bytes {
        let message = format!("softmaxBuffer: the logits have {bytes} bytes, and the result {result_bytes}");
        return Err(Failure::new(message));
    }
    let gpu = gpu()?;
    let scope = gpu.device().push_error_scope(ErrorFilter::Validation);
    let recorded = record(&gpu, &softmax, (&logits, &result), bytes, classes);
    let caught = scope.pop().await;
    recorded?;
    gpu.check_async().await?;
    match caught {
        None => Ok(()),
        Some(error) => Err(Failure::new(format!("softmaxBuffer: {error}"))),
    }
}

fn record(
    gpu: &Gpu,
    softmax: &Softmax,
    (logits, result): (&JsValue, &JsValue),
    bytes: u64,
    classes: f64,
) -> Result<(), Failure> {
    let kernel = softmax.prepare(gpu, rows((bytes / 4) as usize, classes)?)?;
    if bytes == 0 {
        return Ok(());
    }
    let own = gpu.device().create_buffer(&BufferDescriptor {
        label: Some("a copy of the page's logits"),
        size: bytes,
        usage: BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let browsers = own
        .as_webgpu()
        .ok_or_else(|| Failure::new("the buffer is none of the browser's"))?;
    let browsers = JsValue::from(browsers.clone());
    let device = device_of(gpu)?;
    copy(&device, logits, &browsers, bytes)?;
    let mut encoder = gpu
        .device()
        .create_command_encoder(&CommandEncoderDescriptor::default());
    kernel.encode(&mut encoder, &SoftmaxBuffers::new(own.slice(..), None))?;
    gpu.queue().submit([encoder.finish()]);
    copy(&device, &browsers, result, bytes)
}

fn copy(device: &Device, from: &JsValue, to: &JsValue, bytes: u64) -> Result<(), Failure> {
    let copied = || {
        let encoder = device.encoder()?;
        encoder.copy(from, 0.0, to, 0.0, bytes as f64)?;
        device.queue().submit(&Array::of1(&encoder.finish()?))
    };
    copied().map_err(Failure::thrown)
}

/// The bytes of a buffer of the page's.
fn size(name: &str, buffer: &JsValue) -> Result<u64, Failure> {
    let size = Reflect::get(buffer, &"size".into()).ok().and_then(|size| size.as_f64());
    match size {
        Some(size) if size >= 0.0 => Ok(size as u64),
        _ => Err(Failure::new(format!("softmaxBuffer: {name} has to be a GPUBuffer"))),
    }
}
