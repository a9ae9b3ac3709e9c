//! Reads the options of a call, and refuses what it does not know: a misspelt option would have no effect.

use crate::arrays;
use crate::failure::Failure;
use js_sys::{Array, Float32Array, Function, Object, Reflect, Uint32Array};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use wgpu_softmax::{Adjust, FullyMasked, Gpu, Mask, Scale};

/// The options that [`Options::adjust`] reads.
pub(crate) const ADJUST: [&str; 4] = ["scale", "bias", "softcap", "mask"];

/// An object with options, or nothing.
pub(crate) struct Options {
    call: &'static str,
    object: JsValue,
}

impl Options {
    pub(crate) fn new(call: &'static str, object: JsValue, known: &[&[&str]]) -> Result<Self, Failure> {
        if object.is_null() || object.is_undefined() {
            return Ok(Self {
                call,
                object: Object::new().into(),
            });
        }
        let Some(given) = object.dyn_ref::<Object>() else {
            return Err(Failure::new(format!("{call}: the options have to be an object")));
        };
        for key in Object::keys(given).iter().filter_map(|key| key.as_string()) {
            if !known.iter().any(|names| names.contains(&&key[..])) {
                let known = known.concat().join(", ");
                return Err(Failure::new(format!("{call} has no option {key}; it has {known}")));
            }
        }
        Ok(Self { call, object })
    }

    /// What is wrong with an option.
    fn wrong(&self, name: &str, must: &str) -> Failure {
        Failure::new(format!("{}: {name} has to be {must}", self.call))
    }

    pub(crate) fn get(&self, name: &str) -> Result<Option<JsValue>, Failure> {
        let value = Reflect::get(&self.object, &name.into()).map_err(Failure::thrown)?;
        Ok((!value.is_null() && !value.is_undefined()).then_some(value))
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Failure> {
        match self.get(name)? {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(name, "true or false")),
        }
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<f32>, Failure> {
        let number = |value: JsValue| value.as_f64().ok_or_else(|| self.wrong(name, "a number"));
        Ok(self.get(name)?.map(number).transpose()?.map(|number| number as f32))
    }

    /// A whole number between two others.
    pub(crate) fn whole(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>, Failure> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number.fract() == 0.0 && (least as f64..=most as f64).contains(&number) => {
                Ok(Some(number as i64))
            }
            _ => Err(self.wrong(name, &format!("a whole number from {least} to {most}"))),
        }
    }

    #[cfg(feature = "verify")]
    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let text = |value: JsValue| value.as_string().ok_or_else(|| self.wrong(name, "a string"));
        self.get(name)?.map(text).transpose()
    }

    /// One of several words.
    pub(crate) fn choice<T: Copy>(&self, name: &str, of: &[(&str, T)]) -> Result<Option<T>, Failure> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        let word = value.as_string().unwrap_or_default();
        match of.iter().find(|(known, _)| *known == word) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let known: Vec<_> = of.iter().map(|(known, _)| *known).collect();
                Err(self.wrong(name, &known.join(", ")))
            }
        }
    }

    pub(crate) async fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, Failure> {
        match self.get(name)? {
            None => Ok(None),
            Some(value) => arrays::floats(&format!("{}: {name}", self.call), &value)
                .await
                .map(Some),
        }
    }

    pub(crate) fn words(&self, name: &str) -> Result<Option<Vec<u32>>, Failure> {
        let words = |value: JsValue| arrays::words(&format!("{}: {name}", self.call), &value);
        self.get(name)?.map(words).transpose()
    }

    /// A value for all rows, or one for each: what `of` makes of a JavaScript value, for `rows` rows.
    pub(crate) fn per_row<T: Clone>(
        &self,
        name: &str,
        rows: usize,
        must: &str,
        of: impl Fn(&JsValue) -> Option<T>,
    ) -> Result<Option<Vec<T>>, Failure> {
        let Some(value) = self.get(name)? else { return Ok(None) };
        if let Some(one) = of(&value) {
            return Ok(Some(vec![one; rows]));
        }
        let is_list = Array::is_array(&value) || value.has_type::<Float32Array>() || value.has_type::<Uint32Array>();
        let values: Vec<T> = match is_list {
            true => Array::from(&value).iter().filter_map(|value| of(&value)).collect(),
            false => Vec::new(),
        };
        match values.len() == rows {
            true => Ok(Some(values)),
            false => Err(self.wrong(name, &format!("{must}, or one for each of the {rows} rows"))),
        }
    }

    pub(crate) async fn adjust(&self) -> Result<Adjust, Failure> {
        Ok(Adjust {
            scale: self.number("scale")?.map_or_else(Scale::default, Scale::Number),
            bias: self.floats("bias").await?.map(Into::into),
            softcap: self.number("softcap")?,
            mask: self
                .floats("mask")
                .await?
                .map_or(Mask::None, |mask| Mask::Classes(mask.into())),
        })
    }

    pub(crate) fn fully_masked(&self) -> Result<FullyMasked, Failure> {
        let of = [
            ("nan", FullyMasked::Nan),
            ("zeros", FullyMasked::Zeros),
            ("uniform", FullyMasked::Uniform),
        ];
        Ok(self.choice("fullyMasked", &of)?.unwrap_or_default())
    }

    pub(crate) fn function(&self, name: &str) -> Result<Option<Function>, Failure> {
        let function = |value: JsValue| value.dyn_into().map_err(|_| self.wrong(name, "a function"));
        self.get(name)?.map(function).transpose()
    }

    pub(crate) fn progress(&self) -> Result<Progress, Failure> {
        Ok(Progress {
            callback: self.function("progress")?,
            thrown: Thrown::default(),
        })
    }
}

/// The option `progress`.
pub(crate) struct Progress {
    callback: Option<Function>,
    pub(crate) thrown: Thrown,
}

impl Progress {
    /// A clone of the device whose calls tell the callback of their rows, which come after `before` others.
    pub(crate) fn of(&self, gpu: &Gpu, before: usize, all: usize) -> Gpu {
        let Some(callback) = self.callback.clone() else {
            return gpu.clone();
        };
        let thrown = self.thrown.clone();
        gpu.with_progress(move |done, _| {
            let done = (before + done) as f64;
            thrown.keep(callback.call2(&JsValue::NULL, &done.into(), &(all as f64).into()));
        })
    }
}

/// The first thing that a callback of the page's threw. The call goes on, and rejects with it at its end.
#[derive(Default, Clone)]
pub(crate) struct Thrown(Rc<RefCell<Option<JsValue>>>);

impl Thrown {
    pub(crate) fn keep(&self, outcome: Result<JsValue, JsValue>) {
        if let Err(thrown) = outcome {
            self.0.borrow_mut().get_or_insert(thrown);
        }
    }

    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.0.borrow_mut().take() {
            None => Ok(()),
            Some(thrown) => Err(Failure::thrown(thrown)),
        }
    }
}
