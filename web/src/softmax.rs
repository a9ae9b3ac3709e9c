//! `softmax`.

use crate::arrays;
use crate::failure::Failure;
use crate::options::{ADJUST, Options};
use crate::start::{gpu, rows};
use js_sys::Float32Array;
use wasm_bindgen::prelude::*;
use wgpu_softmax::{Rows, Softmax};

/// Softmax of rows on the host.
#[wasm_bindgen]
pub async fn softmax(logits: JsValue, classes: f64, options: JsValue) -> Result<Float32Array, Failure> {
    let known = ["log", "fast", "fullyMasked", "progress"];
    let options = Options::new("softmax", options, &[&known, &ADJUST])?;
    let (gpu, progress) = (gpu()?, options.progress()?);
    let softmax = softmax_of(&options).await?;
    let logits = arrays::Floats::new("softmax: logits", &logits)?;
    let rows = rows(logits.length, classes)?;
    let result = arrays::new_floats(logits.length)?;
    // A row's bits do not depend on its batch. The module's memory, which never shrinks, holds some rows at a time.
    let most = (ROWS_ELEMENTS / rows.classes()).max(1);
    for first in (0..rows.count()).step_by(most) {
        let some = Rows::new(most.min(rows.count() - first), rows.classes());
        let start = first * rows.classes();
        let values = logits.read(start, start + some.count() * rows.classes()).await?;
        let told = progress.of(&gpu, first, rows.count());
        let of_rows = told.softmax_async(&values, some, &softmax).await?;
        arrays::write(&result, start, &of_rows).await?;
    }
    progress.thrown.check()?;
    Ok(result)
}

/// The elements of as many rows are in the module's memory at once, or one row is.
const ROWS_ELEMENTS: usize = 16 << 20;

pub(crate) async fn softmax_of(options: &Options) -> Result<Softmax, Failure> {
    Ok(Softmax {
        log: options.flag("log")?,
        fast: options.flag("fast")?,
        fully_masked: options.fully_masked()?,
        adjust: options.adjust().await?,
        ..Softmax::default()
    })
}
