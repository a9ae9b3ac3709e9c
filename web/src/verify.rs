//! `verify`.

use crate::failure::Failure;
use crate::object::ObjectOf;
use crate::options::{Options, Thrown};
use crate::start::gpu;
use js_sys::Array;
use wasm_bindgen::prelude::*;
use wgpu_softmax::{Check, Verify};

/// Checks on this adapter what the crate promises.
#[wasm_bindgen]
pub async fn verify(options: JsValue) -> Result<JsValue, Failure> {
    let options = Options::new("verify", options, &[&["only", "mostElements", "progress"]])?;
    let gpu = gpu()?;
    let most_elements = options.whole("mostElements", 0, u32::MAX.into())?;
    let verify = Verify {
        only: options.text("only")?.unwrap_or_default(),
        most_elements: most_elements.map_or(Verify::default().most_elements, |most| most as usize),
    };
    let count = verify.count();
    if count == 0 {
        return Err(Failure::new(format!(
            "verify: no check has {:?} in its name",
            verify.only
        )));
    }
    let progress = options.function("progress")?;
    let (thrown, rows, mut table) = (Thrown::default(), Array::new(), heading());
    let mut failed = None;
    let checks = gpu
        .verify_async(&verify, |check| {
            table += &line(check);
            match object(check) {
                Ok(row) => {
                    let done = rows.push(&row);
                    if let Some(progress) = &progress {
                        thrown.keep(progress.call3(&JsValue::NULL, &row, &done.into(), &(count as f64).into()));
                    }
                }
                Err(failure) => failed = Some(failure),
            }
        })
        .await?;
    thrown.check()?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    let failed: usize = checks.iter().map(|check| check.failed).sum();
    let output = ObjectOf::new()
        .with("checks", rows)?
        .with("failed", failed as f64)?
        .with("table", table)?;
    Ok(output.done())
}

fn object(check: &Check) -> Result<JsValue, Failure> {
    let object = ObjectOf::new()
        .with("name", &check.name[..])?
        .with("cases", check.cases as f64)?
        .with("failed", check.failed as f64)?
        .with("skipped", check.skipped as f64)?
        .with_some("maxUlp", check.max_ulp)?
        .with_some("meanUlp", check.mean_ulp)?
        .with_some("hash", check.hash.map(|hash| format!("{hash:016x}")))?
        .with_some("firstFailure", check.first_failure.as_deref())?;
    Ok(object.done())
}

fn heading() -> String {
    format!(
        "{:<26} {:>6} {:>6} {:>7} {:>9} {:>9}  hash of bits\n",
        "check", "cases", "failed", "skipped", "max ULP", "mean ULP"
    )
}

fn line(check: &Check) -> String {
    let number = |ulp: Option<f64>| ulp.map_or_else(|| "-".into(), |ulp| format!("{ulp:.3}"));
    let hash = check.hash.map_or_else(|| "-".into(), |hash| format!("{hash:016x}"));
    let (max, mean) = (number(check.max_ulp), number(check.mean_ulp));
    format!(
        "{:<26} {:>6} {:>6} {:>7} {max:>9} {mean:>9}  {hash}\n",
        check.name, check.cases, check.failed, check.skipped
    )
}
