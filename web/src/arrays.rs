//! Large arrays on their way into the module's memory and out of it: in pieces, between which the page has its turn.

use crate::failure::Failure;
use js_sys::{Array, Float32Array, Function, Int32Array, Promise, Reflect, Uint32Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Elements that are copied at once. It takes a few milliseconds.
const PIECE: usize = 1 << 20;

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

/// A Float32Array of the page's.
pub(crate) struct Floats<'a> {
    name: &'a str,
    array: &'a Float32Array,
    pub(crate) length: usize,
}

impl<'a> Floats<'a> {
    pub(crate) fn new(name: &'a str, value: &'a JsValue) -> Result<Self, Failure> {
        let array: &Float32Array = value
            .dyn_ref()
            .ok_or_else(|| Failure::new(format!("{name} has to be a Float32Array")))?;
        let length = array.length() as usize;
        Ok(Self { name, array, length })
    }

    /// The elements from one to before another.
    pub(crate) async fn read(&self, start: usize, end: usize) -> Result<Vec<f32>, Failure> {
        let (name, length) = (self.name, end - start);
        let mut all = Vec::new();
        all.try_reserve_exact(length)
            .map_err(|_| Failure::new(format!("the page has no memory for {length} elements of {name}")))?;
        while all.len() < length {
            if !all.is_empty() {
                turn().await?;
            }
            if self.array.length() as usize != self.length {
                return Err(Failure::new(format!("{name} changed its length while it was read")));
            }
            let (from, to) = (all.len(), length.min(all.len() + PIECE));
            all.resize(to, 0.0);
            let piece = self.array.subarray((start + from) as u32, (start + to) as u32);
            piece.copy_to(&mut all[from..to]);
        }
        Ok(all)
    }
}

/// All elements of a Float32Array.
pub(crate) async fn floats(name: &str, value: &JsValue) -> Result<Vec<f32>, Failure> {
    let array = Floats::new(name, value)?;
    array.read(0, array.length).await
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
pub(crate) fn new_floats(length: usize) -> Result<Float32Array, Failure> {
    let constructor = Reflect::get(&js_sys::global(), &"Float32Array".into()).map_err(Failure::thrown)?;
    let constructor: Function = constructor.dyn_into().map_err(Failure::thrown)?;
    let arguments = Array::of1(&JsValue::from_f64(length as f64));
    let array = Reflect::construct(&constructor, &arguments).map_err(Failure::thrown)?;
    array.dyn_into().map_err(Failure::thrown)
}

/// Writes elements from `start` on.
pub(crate) async fn write(array: &Float32Array, start: usize, values: &[f32]) -> Result<(), Failure> {
    for (piece, at) in values.chunks(PIECE).zip((start..).step_by(PIECE)) {
        if at > start {
            turn().await?;
        }
        array.subarray(at as u32, (at + piece.len()) as u32).copy_from(piece);
    }
    Ok(())
}

/// A new Float32Array of these elements.
pub(crate) async fn float_array(values: &[f32]) -> Result<Float32Array, Failure> {
    let array = new_floats(values.len())?;
    write(&array, 0, values).await?;
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
