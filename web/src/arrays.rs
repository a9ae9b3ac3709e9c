//! Large arrays on their way into the module's memory and out of it: in pieces, between which the page has its turn.

use crate::failure::Failure;
use js_sys::{Array, Float32Array, Function, Int32Array, Promise, Reflect, Uint32Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Elements that are copied at once. It takes a few milliseconds.
const PIECE: usize = 2 << 20;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout, catch)]
    fn set_timeout(callback: &Function, milliseconds: i32) -> Result<JsValue, JsValue>;
}

/// Lets the page have its turn. `scheduler.yield` is not slowed down in a tab that nobody sees, and not in every browser.
pub(crate) async fn turn() -> Result<(), Failure> {
    let scheduler = Reflect::get(&js_sys::global(), &"scheduler".into()).unwrap_or_default();
    let own = Reflect::get(&scheduler, &"yield".into()).ok();
    let turned = match own.and_then(|function| function.dyn_into::<Function>().ok()) {
        Some(function) => Promise::resolve(&function.call0(&scheduler).map_err(Failure::thrown)?),
        None => Promise::new(&mut |resolve, reject| {
            if let Err(error) = set_timeout(&resolve, 0) {
                // A promise that is settled already takes no notice.
                let _ = reject.call1(&JsValue::NULL, &error);
            }
        }),
    };
    JsFuture::from(turned).await.map_err(Failure::thrown)?;
    Ok(())
}

/// The elements of a Float32Array.
pub(crate) async fn floats(name: &str, value: &JsValue) -> Result<Vec<f32>, Failure> {
    let array: &Float32Array = value
        .dyn_ref()
        .ok_or_else(|| Failure::new(format!("{name} has to be a Float32Array")))?;
    let length = array.length() as usize;
    let mut all = Vec::new();
    all.try_reserve_exact(length)
        .map_err(|_| Failure::new(format!("the page has no memory for the {length} elements of {name}")))?;
    while all.len() < length {
        if !all.is_empty() {
            turn().await?;
        }
        let (start, end) = (all.len(), length.min(all.len() + PIECE));
        if array.length() as usize != length {
            return Err(Failure::new(format!("{name} changed its length while it was read")));
        }
        all.resize(end, 0.0);
        array.subarray(start as u32, end as u32).copy_to(&mut all[start..end]);
    }
    Ok(all)
}

/// The elements of a Uint32Array.
pub(crate) fn words(name: &str, value: &JsValue) -> Result<Vec<u32>, Failure> {
    let array = value.dyn_ref::<Uint32Array>();
    let array = array.ok_or_else(|| Failure::new(format!("{name} has to be a Uint32Array")))?;
    Ok(array.to_vec())
}

/// Classes, signed or not.
pub(crate) fn targets(name: &str, value: &JsValue) -> Result<Vec<i64>, Failure> {
    if let Some(signed) = value.dyn_ref::<Int32Array>() {
        return Ok(signed.to_vec().into_iter().map(i64::from).collect());
    }
    if let Some(unsigned) = value.dyn_ref::<Uint32Array>() {
        return Ok(unsigned.to_vec().into_iter().map(i64::from).collect());
    }
    Err(Failure::new(format!(
        "{name} have to be a Uint32Array or an Int32Array"
    )))
}

/// A new Float32Array. The browser may have no room for it, which would be a panic in js_sys' own constructor.
pub(crate) async fn float_array(values: &[f32]) -> Result<Float32Array, Failure> {
    let constructor = Reflect::get(&js_sys::global(), &"Float32Array".into()).map_err(Failure::thrown)?;
    let constructor: Function = constructor.dyn_into().map_err(Failure::thrown)?;
    let arguments = Array::of1(&JsValue::from_f64(values.len() as f64));
    let array = Reflect::construct(&constructor, &arguments).map_err(Failure::thrown)?;
    let array: Float32Array = array.dyn_into().map_err(Failure::thrown)?;
    for (piece, start) in values.chunks(PIECE).zip((0..).step_by(PIECE)) {
        if start > 0 {
            turn().await?;
        }
        array.subarray(start, start + piece.len() as u32).copy_from(piece);
    }
    Ok(array)
}

/// [`float_array`] of what was asked for.
pub(crate) async fn some_floats(values: Option<Vec<f32>>) -> Result<Option<Float32Array>, Failure> {
    match values {
        None => Ok(None),
        Some(values) => float_array(&values).await.map(Some),
    }
}

pub(crate) fn some_words(values: Option<Vec<u32>>) -> Option<Uint32Array> {
    values.map(|values| Uint32Array::from(&values[..]))
}
