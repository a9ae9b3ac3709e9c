//! `crossEntropy`.

use crate::arrays;
use crate::failure::Failure;
use crate::object::ObjectOf;
use crate::options::{ADJUST, Options};
use crate::start::{gpu, rows};
use wasm_bindgen::prelude::*;
use wgpu_softmax::{CrossEntropy, CrossEntropyOutput, Gradient, Reduction};

/// The options besides those of [`ADJUST`].
const KNOWN: [&str; 15] = [
    "gradient",
    "reduction",
    "weights",
    "labelSmoothing",
    "zLoss",
    "ignoreIndex",
    "rowLosses",
    "lse",
    "logProb",
    "entropy",
    "argmax",
    "correct",
    "fast",
    "fullyMasked",
    "progress",
];

/// Cross-entropy of rows on the host, and its gradient.
#[wasm_bindgen(js_name = crossEntropy)]
pub async fn cross_entropy(
    logits: JsValue,
    targets: JsValue,
    classes: f64,
    options: JsValue,
) -> Result<JsValue, Failure> {
    let options = Options::new("crossEntropy", options, &[&KNOWN, &ADJUST])?;
    let (gpu, progress) = (gpu()?, options.progress()?);
    let loss = cross_entropy_of(&options).await?;
    let targets = arrays::targets("crossEntropy: targets", &targets)?;
    let logits = arrays::floats("crossEntropy: logits", &logits).await?;
    let rows = rows(logits.len(), classes)?;
    let out = progress
        .of(&gpu, 0, rows.count())
        .cross_entropy_async(&logits, &targets, rows, &loss)
        .await?;
    drop(logits);
    progress.thrown.check()?;
    object(out).await
}

async fn cross_entropy_of(options: &Options) -> Result<CrossEntropy, Failure> {
    let reductions = [
        ("mean", Reduction::Mean),
        ("sum", Reduction::Sum),
        ("none", Reduction::None),
    ];
    let default = CrossEntropy::default();
    Ok(CrossEntropy {
        adjust: options.adjust().await?,
        gradient: match options.flag("gradient")? {
            true => Gradient::Apart,
            false => Gradient::None,
        },
        reduction: options.choice("reduction", &reductions)?.unwrap_or_default(),
        weights: options.floats("weights").await?.map(Into::into),
        label_smoothing: options.number("labelSmoothing")?.unwrap_or_default(),
        z_loss: options.number("zLoss")?.unwrap_or_default(),
        ignore_index: options
            .whole("ignoreIndex", i32::MIN.into(), u32::MAX.into())?
            .unwrap_or(default.ignore_index),
        row_losses: options.flag("rowLosses")?,
        lse: options.flag("lse")?,
        log_prob: options.flag("logProb")?,
        entropy: options.flag("entropy")?,
        argmax: options.flag("argmax")?,
        correct: options.flag("correct")?,
        fast: options.flag("fast")?,
        fully_masked: options.fully_masked()?,
        ..default
    })
}

async fn object(out: CrossEntropyOutput) -> Result<JsValue, Failure> {
    let object = ObjectOf::new()
        .with_some("loss", out.loss)?
        .with_some("zLoss", out.z_loss)?
        .with_some("gradient", arrays::some_floats(out.gradient).await?)?
        .with_some("rowLosses", arrays::some_floats(out.row_losses).await?)?
        .with_some("lse", arrays::some_floats(out.lse).await?)?
        .with_some("logProb", arrays::some_floats(out.log_prob).await?)?
        .with_some("entropy", arrays::some_floats(out.entropy).await?)?
        .with_some("argmax", arrays::some_words(out.argmax))?
        .with_some("correct", out.correct.map(|rows| rows as f64))?
        .with("counted", out.counted as f64)?;
    Ok(object.done())
}
