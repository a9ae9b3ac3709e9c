//! `sample`.

use crate::arrays;
use crate::failure::Failure;
use crate::object::ObjectOf;
use crate::options::{ADJUST, Options};
use crate::start::{gpu, rows};
use wasm_bindgen::prelude::*;
use wgpu_softmax::{Allowed, History, LogProbs, Rows, Sample, SampleOutput, SampleParams};

/// The options besides those of [`ADJUST`].
const KNOWN: [&str; 19] = [
    "temperature",
    "topK",
    "topP",
    "minP",
    "joint",
    "seed",
    "position",
    "repetitionPenalty",
    "presencePenalty",
    "frequencyPenalty",
    "history",
    "promptLength",
    "allowed",
    "logProbs",
    "ranks",
    "kept",
    "topN",
    "probs",
    "progress",
];

/// Draws a class of each row on the host.
#[wasm_bindgen]
pub async fn sample(logits: JsValue, classes: f64, options: JsValue) -> Result<JsValue, Failure> {
    let options = Options::new("sample", options, &[&KNOWN, &ADJUST])?;
    let (gpu, progress) = (gpu()?, options.progress()?);
    let logits = arrays::floats("sample: logits", &logits).await?;
    let rows = rows(logits.len(), classes)?;
    let sample = sample_of(&options, &rows).await?;
    let out = progress
        .of(&gpu, 0, rows.count())
        .sample_async(&logits, rows, &sample)
        .await?;
    drop(logits);
    progress.thrown.check()?;
    object(out).await
}

async fn sample_of(options: &Options, rows: &Rows) -> Result<Sample, Failure> {
    let log_probs = [("model", LogProbs::Model), ("final", LogProbs::Final)];
    Ok(Sample {
        adjust: options.adjust().await?,
        joint: options.flag("joint")?,
        history: history(options, rows)?,
        allowed: allowed(options, rows)?,
        log_probs: options.choice("logProbs", &log_probs)?.unwrap_or_default(),
        ranks: options.flag("ranks")?,
        kept: options.flag("kept")?,
        top_n: options.whole("topN", 0, 128)?.unwrap_or(0) as usize,
        probs: options.flag("probs")?,
        ..Sample::per_row(params(options, rows.count())?)
    })
}

/// The parameters of each row.
fn params(options: &Options, rows: usize) -> Result<Vec<SampleParams>, Failure> {
    let number = |value: &JsValue| value.as_f64().map(|number| number as f32);
    let whole = |value: &JsValue| {
        let number = value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0);
        number.filter(|n| *n <= f64::from(u32::MAX)).map(|n| n as u32)
    };
    let long = |value: &JsValue| match value.as_f64() {
        // A number beyond 2^53 is not the one that was meant.
        Some(number) => {
            (number.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&number)).then_some(number as u64)
        }
        None => u64::try_from(value.clone()).ok(),
    };
    let numbers = |name| options.per_row(name, rows, "a number", number);
    let wholes = |name| options.per_row(name, rows, "a whole number from 0", whole);
    let longs = |name| options.per_row(name, rows, "a whole number from 0, or a bigint below 2^64", long);
    let (temperature, top_p, min_p) = (numbers("temperature")?, numbers("topP")?, numbers("minP")?);
    let (top_k, prompt_length) = (wholes("topK")?, wholes("promptLength")?);
    let repetition = numbers("repetitionPenalty")?;
    let (presence, frequency) = (numbers("presencePenalty")?, numbers("frequencyPenalty")?);
    let (seed, position) = (longs("seed")?, longs("position")?);
    let default = SampleParams::default();
    let of_row = |row: usize| {
        let or = |values: &Option<Vec<f32>>, default| values.as_ref().map_or(default, |values| values[row]);
        let or_zero = |values: &Option<Vec<u32>>| values.as_ref().map_or(0, |values| values[row]);
        let long_or_zero = |values: &Option<Vec<u64>>| values.as_ref().map_or(0, |values| values[row]);
        SampleParams {
            temperature: or(&temperature, default.temperature),
            top_k: or_zero(&top_k),
            top_p: or(&top_p, default.top_p),
            min_p: or(&min_p, default.min_p),
            repetition_penalty: or(&repetition, default.repetition_penalty),
            presence_penalty: or(&presence, default.presence_penalty),
            frequency_penalty: or(&frequency, default.frequency_penalty),
            prompt_length: or_zero(&prompt_length),
            ..default
        }
        .at(long_or_zero(&seed), long_or_zero(&position))
    };
    Ok((0..rows).map(of_row).collect())
}

fn history(options: &Options, rows: &Rows) -> Result<Option<History>, Failure> {
    let Some(tokens) = options.words("history")? else {
        return Ok(None);
    };
    let count = rows.count().max(1);
    if !tokens.len().is_multiple_of(count) {
        let message = format!(
            "sample: history has {} tokens, not as many for each of {count} rows",
            tokens.len()
        );
        return Err(Failure::new(message));
    }
    Ok(Some(History {
        length: tokens.len() / count,
        tokens: tokens.into(),
    }))
}

fn allowed(options: &Options, rows: &Rows) -> Result<Option<Allowed>, Failure> {
    let Some(words) = options.words("allowed")? else {
        return Ok(None);
    };
    let of_row = rows.classes().div_ceil(32);
    match words.len() {
        all if all == of_row => Ok(Some(Allowed::All(words.into()))),
        each if each == of_row * rows.count() => Ok(Some(Allowed::PerRow(words.into()))),
        other => Err(Failure::new(format!(
            "sample: allowed has {other} words, and needs {of_row}, or as many for each row"
        ))),
    }
}

async fn object(out: SampleOutput) -> Result<JsValue, Failure> {
    let object = ObjectOf::new()
        .with_some("tokens", arrays::some_words(Some(out.tokens)))?
        .with_some("logProbs", arrays::some_floats(out.log_probs).await?)?
        .with_some("ranks", arrays::some_words(out.ranks))?
        .with_some("kept", arrays::some_words(out.kept))?
        .with_some("topIds", arrays::some_words(out.top_ids))?
        .with_some("topLogProbs", arrays::some_floats(out.top_log_probs).await?)?
        .with_some("probs", arrays::some_floats(out.probs).await?)?;
    Ok(object.done())
}
