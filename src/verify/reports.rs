//! Checks what is reported of sampled tokens, and options of sampling that are the same for all rows, beside the twin. Shards are
//! compared with whole rows elsewhere, on the same adapter, so that whole rows must be right.

use super::corners::sampled;
use super::tally::Tally;
use crate::error::RunError;
use crate::ops::adjust::{Adjust, Scale};
use crate::ops::sample::{Allowed, History, LogProbs, LogitBias, NO_TOKEN, Sample, SampleOutput, SampleParams};
use crate::ops::values::Values;
use crate::rows::Rows;
use crate::testing::{SampleBatch, Subject, bits};
use crate::twin::{self, Edits};

const COUNT: usize = 32;
const TOP: usize = 5;

/// A row as the twin has it: the model's logits, what the filters leave of its values, and whether it has a token.
struct Row {
    model: Vec<f32>,
    left: Vec<f32>,
    has_token: bool,
}

/// The words of a row's largest classes and of their log-probabilities.
fn top_of(x: &[f32], has_token: bool) -> (Vec<u32>, Vec<f32>) {
    if !has_token {
        return (vec![NO_TOKEN; TOP], vec![f32::NAN; TOP]);
    }
    let mut order: Vec<usize> = (0..x.len()).filter(|&c| x[c] > f32::NEG_INFINITY).collect();
    let by_value = |&i: &usize, &j: &usize| {
        x[j].partial_cmp(&x[i])
            .unwrap_or(std::cmp::Ordering::Equal)
            .then(i.cmp(&j))
    };
    order.sort_by(by_value);
    order.truncate(TOP);
    let mut ids: Vec<u32> = order.iter().map(|&c| c as u32).collect();
    let mut log_probs: Vec<f32> = order.iter().map(|&c| twin::log_prob(x, c)).collect();
    ids.resize(TOP, NO_TOKEN);
    log_probs.resize(TOP, f32::NEG_INFINITY);
    (ids, log_probs)
}

/// Every row's log-probability, largest classes and, with the final ones, probabilities: those of the twin, bit by bit.
fn compare(tally: &mut Tally<'_>, subject: &Subject<'_>, whose: LogProbs, rows: &[Row], out: &SampleOutput) {
    let (mut log_probs, mut ids, mut top) = (Vec::new(), Vec::new(), Vec::new());
    for (row, &token) in rows.iter().zip(&out.tokens) {
        let x = if whose == LogProbs::Model {
            &row.model
        } else {
            &row.left
        };
        let is_class = row.has_token && (token as usize) < x.len();
        log_probs.push(if is_class {
            twin::log_prob(x, token as usize)
        } else {
            f32::NAN
        });
        let (classes, of_classes) = top_of(x, row.has_token);
        ids.extend(classes);
        top.extend(of_classes);
    }
    let words = |values: Option<&[f32]>| bits(values.unwrap_or_default());
    tally.case(subject.each("log_probs", &words(out.log_probs.as_deref()), &bits(&log_probs)));
    tally.case(subject.each("top_ids", out.top_ids.as_deref().unwrap_or_default(), &ids));
    tally.case(subject.each("top_log_probs", &words(out.top_log_probs.as_deref()), &bits(&top)));
    if let Some(probs) = &out.probs {
        let of_row = |row: &Row| match row.has_token {
            true => twin::softmax(&row.left),
            false => vec![f32::NAN; row.left.len()],
        };
        let expected: Vec<f32> = rows.iter().flat_map(of_row).collect();
        tally.case(subject.each("probs", &bits(probs), &bits(&expected)));
    }
}

/// Log-probabilities of the model and of what was drawn from, the largest classes, and the probabilities.
pub(super) async fn reports(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (classes, has_edits) in [(33, true), (2050, false)] {
        if !tally.fits(Rows::new(COUNT, classes)) {
            continue;
        }
        let batch = SampleBatch::new(&mut tally.random, COUNT, classes, has_edits);
        let rows: Vec<Row> = (0..COUNT)
            .zip(batch.drawn())
            .map(|(row, drawn)| row_of(&batch, row, drawn.token))
            .collect();
        for whose in [LogProbs::Final, LogProbs::Model] {
            let options = Sample {
                log_probs: whose,
                top_n: TOP,
                probs: whose == LogProbs::Final,
                ..batch.options()
            };
            let out = tally.gpu.sample_async(&batch.logits, batch.rows, &options).await?;
            let subject = Subject::new::<f32>(format!("sample, {whose:?}"), batch.rows, &batch.params);
            compare(tally, &subject, whose, &rows, &out);
        }
    }
    Ok(())
}

fn row_of(batch: &SampleBatch, row: usize, token: u32) -> Row {
    let (values, has_token) = (batch.values(row), token != NO_TOKEN);
    Row {
        model: batch.row(row).to_vec(),
        left: match has_token {
            true => twin::left(&values, &batch.params[row], batch.joint),
            false => values,
        },
        has_token,
    }
}

/// Parameters, allowed classes and biases that all rows share, after a scale and a bias of the logits, and a history of each with
/// classes that have a bias too. A row with a +∞ has no token, even where that class is not allowed.
pub(super) async fn shared(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [37, 2050] {
        let rows = Rows::new(COUNT, classes);
        let mut x = tally.random.logits(COUNT * classes, 4.0);
        let of_class = tally.random.logits(classes, 1.0);
        let allowed: Vec<u32> = (0..classes.div_ceil(32)).map(|_| tally.random.bits() as u32).collect();
        let hidden = (0..32).find(|c| allowed[0] >> c & 1 == 0).unwrap_or(0);
        // The scale is negative.
        x[7 * classes + hidden] = f32::NEG_INFINITY;
        let history: Vec<u32> = [3, 5, 3, 9].repeat(COUNT);
        let params = SampleParams {
            temperature: 0.7,
            repetition_penalty: 1.5,
            presence_penalty: 0.5,
            top_k: 20,
            top_p: 0.9,
            min_p: 0.001,
            ..SampleParams::default().at(tally.random.bits(), 1 << 33)
        };
        let (biased, biases) = ([3u32, 5, NO_TOKEN, 3], [2.5f32, f32::NEG_INFINITY, 1.0, -7.0]);
        let options = Sample {
            adjust: Adjust {
                scale: Scale::Number(-0.5),
                bias: Some(of_class.clone().into()),
                ..Adjust::default()
            },
            history: Some(History {
                length: 4,
                tokens: history.clone().into(),
            }),
            allowed: Some(Allowed::All(allowed.clone().into())),
            bias: Some(LogitBias {
                length: biased.len(),
                per_row: false,
                classes: biased.to_vec().into(),
                values: Values::from(biases.to_vec()),
            }),
            ..Sample::new(params)
        };
        let bias: Vec<(u32, f32)> = biased.into_iter().zip(biases).collect();
        let drawn: Vec<twin::Drawn> = (x.chunks(classes))
            .map(|row| {
                // Half of an f32 is exact.
                let a: Vec<f32> = row.iter().zip(&of_class).map(|(x, b)| x * -0.5 + b).collect();
                let edits = Edits {
                    history: &history[..4],
                    bias: &bias,
                    allowed: Some(&allowed),
                };
                twin::draw(&twin::values(&a, &params, edits), &params, false)
            })
            .collect();
        sampled(tally, (&x, rows), &options, &drawn).await?;
    }
    Ok(())
}

/// A row of more than 1,024 chunks, whose spans have several.
pub(super) async fn long(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let rows = Rows::new(1, 1_050_000);
    if !tally.fits(rows) {
        return Ok(());
    }
    let x = tally.random.logits(rows.classes(), 2.0);
    for (temperature, top_p) in [(1.0, 1.0), (0.7, 0.8)] {
        for position in 0..3 {
            let params = SampleParams {
                temperature,
                top_p,
                ..SampleParams::default().at(7, position)
            };
            let drawn = twin::draw(&twin::values(&x, &params, Edits::default()), &params, false);
            let options = Sample {
                kept: true,
                ..Sample::new(params)
            };
            let out = tally.gpu.sample_async(&x, rows, &options).await?;
            let subject = Subject::new::<f32>("sample", rows, &options);
            tally.case(subject.each("tokens", &out.tokens, &[drawn.token]));
            tally.case(subject.each("kept", out.kept.as_deref().unwrap_or_default(), &[drawn.kept]));
        }
    }
    Ok(())
}
