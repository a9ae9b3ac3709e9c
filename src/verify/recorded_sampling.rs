//! Checks sampling that is recorded on the caller's buffers, which may hold what no call on the host lets through.

use super::recorded::{Guarded, first_largest};
use super::tally::Tally;
use crate::error::RunError;
use crate::ops::sample::{
    Draft, History, NO_TOKEN, Sample, SampleBuffers, SampleKernel, SampleParams, SampleRows, Words,
};
use crate::rows::Rows;
use crate::testing::Subject;
use crate::twin::{self, Edits};

/// Parameters that no row can have, which only a buffer can hold: their rows have no token, and the others theirs.
fn strange(good: SampleParams) -> Vec<SampleParams> {
    let mut all = vec![good; 14];
    all[1].temperature = f32::NAN;
    all[2].temperature = -1.0;
    all[3].temperature = 1e-38;
    all[4].temperature = f32::INFINITY;
    all[5].top_p = 1.0f32.next_up();
    all[6].top_p = -0.5;
    all[7].min_p = f32::NAN;
    all[8].repetition_penalty = 0.0;
    all[9].presence_penalty = f32::INFINITY;
    all[10].frequency_penalty = f32::NAN;
    all[12].temperature = 0.0;
    all[13].top_k = 1;
    all
}

const STRANGE: std::ops::RangeInclusive<usize> = 1..=10;
const HISTORY: usize = 3;

/// Tokens of rows with histories, of which one is the number of classes, which is an error of its row. The kernel is recorded twice,
/// so that the second time nothing is left of the first history.
pub(super) async fn sample(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [37, 2050] {
        let good = SampleParams {
            temperature: 0.7,
            top_p: 0.9,
            repetition_penalty: 1.5,
            presence_penalty: 2.0,
            prompt_length: 1,
            ..SampleParams::default().at(tally.random.bits(), 3)
        };
        let params = strange(good);
        let rows = Rows::new(params.len(), classes);
        let x = tally.random.logits(params.len() * classes, 3.0);
        let options = Sample {
            rows: SampleRows::Buffer,
            history: Some(History {
                length: HISTORY,
                tokens: Words::Buffer,
            }),
            summary: true,
            ..Sample::default()
        };
        let kernel = options.prepare(tally.gpu, rows)?;
        let largest: Vec<u32> = x.chunks(classes).map(first_largest).collect();
        for wrong_row in [11, 0] {
            // Among them is each row's likeliest token, so that its penalties decide; the second time it is not.
            let token = |row: usize, i: usize| match (row == wrong_row, i) {
                (true, 1) => classes as u32,
                (_, 2) if wrong_row == 11 => largest[row],
                _ => (row * 5 + i * 11) as u32 % classes as u32,
            };
            let histories: Vec<u32> = (0..params.len())
                .flat_map(|row| (0..HISTORY).map(move |i| (row, i)))
                .map(|(row, i)| token(row, i))
                .collect();
            let expected: Vec<u32> = (0..params.len())
                .map(|row| match STRANGE.contains(&row) || row == wrong_row {
                    true => NO_TOKEN,
                    false => token_of(
                        &x[row * classes..][..classes],
                        &params[row],
                        &histories[row * HISTORY..][..HISTORY],
                    ),
                })
                .collect();
            let subject = Subject::new::<f32>("sample, recorded", rows, &options);
            let found = recorded(tally, &subject, &kernel, (&x, &params, &histories)).await?;
            tally.case(subject.each("tokens", &found[0], &expected));
            let first = u32::from(wrong_row != 0);
            tally.case(subject.each("rows without a token, and the first", &found[1], &[11, first]));
        }
    }
    Ok(())
}

fn token_of(x: &[f32], params: &SampleParams, history: &[u32]) -> u32 {
    let edits = Edits {
        history,
        ..Edits::default()
    };
    twin::draw(&twin::values(x, params, edits), params, false).token
}

/// The tokens, and the summary.
async fn recorded(
    tally: &mut Tally<'_>,
    subject: &Subject<'_>,
    kernel: &SampleKernel,
    (x, params, histories): (&[f32], &[SampleParams], &[u32]),
) -> Result<[Vec<u32>; 2], RunError> {
    let gpu = tally.gpu;
    let words: Vec<u32> = bytemuck::cast_slice(params).to_vec();
    let (logits, given) = (Guarded::of(gpu, x)?, Guarded::new(gpu, &words)?);
    let (tokens, summary) = (Guarded::empty(gpu, params.len())?, Guarded::summary(gpu, 2)?);
    let history = Guarded::new(gpu, histories)?;
    let buffers = SampleBuffers {
        params: Some(given.inside()),
        history: Some(history.inside()),
        summary: Some(summary.inside()),
        ..SampleBuffers::new(logits.inside(), tokens.inside())
    };
    let mut encoder = gpu.encoder();
    kernel.encode(&mut encoder, &buffers)?;
    gpu.submit(encoder)?;
    Ok([
        tokens.read(tally, subject, "the tokens").await?,
        summary.read(tally, subject, "the summary").await?,
    ])
}

/// A draft's token that is the number of classes counts as none: its row has its own token.
pub(super) async fn draft(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let (classes, rows) = (8, Rows::new(4, 8));
    let x = tally.random.logits(4 * classes, 2.0);
    let params: Vec<SampleParams> = (0..4).map(|row| SampleParams::default().at(9, row)).collect();
    let options = Sample {
        draft: Some(Draft {
            length: 1,
            tokens: Words::Buffer,
            probs: None,
        }),
        ..Sample::per_row(params.clone())
    };
    let gpu = tally.gpu;
    let (logits, drafted) = (
        Guarded::of(gpu, &x)?,
        Guarded::new(gpu, &[classes as u32, u32::MAX - 1])?,
    );
    let (tokens, accepted) = (Guarded::empty(gpu, 4)?, Guarded::empty(gpu, 2)?);
    let buffers = SampleBuffers {
        draft_tokens: Some(drafted.inside()),
        accepted: Some(accepted.inside()),
        ..SampleBuffers::new(logits.inside(), tokens.inside())
    };
    let mut encoder = gpu.encoder();
    options.prepare(gpu, rows)?.encode(&mut encoder, &buffers)?;
    gpu.submit(encoder)?;
    let subject = Subject::new::<f32>("sample with a draft, recorded", rows, &options);
    let own = |row: usize| token_of(&x[row * classes..][..classes], &params[row], &[]);
    let got = tokens.read(tally, &subject, "the tokens").await?;
    tally.case(subject.each("tokens", &got, &[own(0), NO_TOKEN, own(2), NO_TOKEN]));
    let got = accepted.read(tally, &subject, "the numbers accepted").await?;
    tally.case(subject.each("accepted", &got, &[0, 0]));
    Ok(())
}
