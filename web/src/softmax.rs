//! `softmax`.

use crate::arrays;
use crate::failure::Failure;
use crate::options::{ADJUST, Options};
use crate::start::{gpu, rows};
use js_sys::Float32Array;
use wasm_bindgen::prelude::*;
use wgpu_softmax::Softmax;

/// Softmax of rows on the host.
#[wasm_bindgen]
pub async fn softmax(logits: JsValue, classes: f64, options: JsValue) -> Result<Float32Array, Failure> {
    let known = ["log", "fast", "fullyMasked", "progress"];
    let options = Options::new("softmax", options, &[&known, &ADJUST])?;
    let (gpu, thrown) = options.progress(&gpu()?)?;
    let softmax = softmax_of(&options).await?;
    let logits = arrays::floats("softmax: logits", &logits).await?;
    let rows = rows(logits.len(), classes)?;
    let result = gpu.softmax_async(&logits, rows, &softmax).await?;
    drop(logits);
    thrown.check()?;
    arrays::float_array(&result).await
}

pub(crate) async fn softmax_of(options: &Options) -> Result<Softmax, Failure> {
    Ok(Softmax {
        log: options.flag("log")?,
        fast: options.flag("fast")?,
        fully_masked: options.fully_masked()?,
        adjust: options.adjust().await?,
        ..Softmax::default()
    })
}
