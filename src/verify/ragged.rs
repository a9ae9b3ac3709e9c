//! Checks that rows of unequal length have the bits that each has alone: those of the twin.

use super::recorded::Guarded;
use super::tally::{Compared, Tally};
use crate::error::{EncodeError, RunError};
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyBuffers};
use crate::ops::loss::{CrossEntropySummary, Gradient, Reduction};
use crate::ops::row_op::FullyMasked;
use crate::ops::softmax::Softmax;
use crate::ragged::RaggedRows;
use crate::reference;
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::testing::{LossBounds, Subject};
use crate::twin;

/// Around vectors of four, lanes and chunks, with empty rows between; rows that all begin at multiples of four; and so many short
/// rows beside a few long ones that they have dispatches of their own.
pub(super) async fn rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let short = |row: usize| if row.is_multiple_of(1000) { 1500 } else { row % 30 };
    for (lengths, has_options) in [
        (vec![5, 0, 1, 1025, 64, 3, 300, 0, 2050, 5000, 63, 0], true),
        (vec![4, 8, 0, 1024, 64, 300, 2052], false),
        ((0..4000).map(short).collect(), false),
    ] {
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        let rows = Rows::ragged(offsets)?;
        if tally.fits(Rows::new(1, rows.elements())) {
            softmax(tally, &rows).await?;
            loss(tally, &rows).await?;
            if has_options {
                smoothed(tally, &rows).await?;
            }
        }
    }
    Ok(())
}

/// Some of the rows that are not empty: all of few.
fn some(rows: &RaggedRows) -> impl Iterator<Item = usize> {
    let step = (rows.count() / 20).max(1);
    let numbers = (0..rows.count()).step_by(step);
    numbers.filter(|&number| rows.classes(number) > 0)
}

fn part<'a, T>(all: &'a [T], rows: &RaggedRows, number: usize) -> &'a [T] {
    &all[rows.elements_of(number..number + 1)]
}

fn subject_of<'a>(what: &str, rows: &'a RaggedRows, number: usize) -> Subject<'a> {
    let alone = Rows::new(1, rows.classes(number));
    Subject::new::<f32>(format!("{what} of row {number} of unequal ones"), alone, rows)
}

async fn softmax(tally: &mut Tally<'_>, rows: &RaggedRows) -> Result<(), RunError> {
    let x = tally.random.logits(rows.elements(), 4.0);
    let y = tally.gpu.softmax_async(&x, rows, &Softmax::default()).await?;
    for number in some(rows) {
        let expected = twin::softmax(part(&x, rows, number));
        let subject = subject_of("softmax", rows, number);
        tally.case(subject.bits("y", part(&y, rows, number), &expected));
    }
    Ok(())
}

/// Of each row a class; the target of an empty one is ignored.
fn targets_of(rows: &RaggedRows) -> Vec<i64> {
    let target = |number: usize| match rows.classes(number) {
        0 => CrossEntropy::default().ignore_index,
        classes => (number * 7919 % classes) as i64,
    };
    (0..rows.count()).map(target).collect()
}

async fn loss(tally: &mut Tally<'_>, rows: &RaggedRows) -> Result<(), RunError> {
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        ..CrossEntropy::default()
    };
    let x = tally.random.logits(rows.elements(), 4.0);
    let targets = targets_of(rows);
    let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
    let losses = out.row_losses.unwrap_or_default();
    let gradient = out.gradient.unwrap_or_default();
    for number in some(rows) {
        let target = targets[number] as usize;
        let (loss, of_row) = twin::cross_entropy(part(&x, rows, number), target, 1.0);
        let subject = subject_of("cross_entropy", rows, number);
        tally.case(subject.bits("loss", &losses[number..=number], &[loss]));
        tally.case(subject.bits("gradient", part(&gradient, rows, number), &of_row));
    }
    Ok(())
}

/// What the number of a row's classes says: how label smoothing is spread, and the lse of an empty row.
async fn smoothed(tally: &mut Tally<'_>, rows: &RaggedRows) -> Result<(), RunError> {
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        label_smoothing: 0.1,
        schedule: Some(Schedule::Split { lanes: 32, pieces: 3 }),
        fully_masked: FullyMasked::Uniform,
        lse: true,
        ..CrossEntropy::default()
    };
    let x = tally.random.logits(rows.elements(), 4.0);
    let targets = targets_of(rows);
    let out = match tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await {
        Err(RunError::Encode(EncodeError::Schedule { .. })) => return Ok(()),
        out => out?,
    };
    let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
    let bounds = LossBounds::new(&options, &exact);
    let subject = Subject::new::<f32>("cross_entropy of unequal rows", Rows::new(1, rows.elements()), &options);
    for (name, got, exact, bounds) in [
        ("row losses", out.row_losses, exact.row_losses, &bounds.row_losses),
        ("gradient", out.gradient, exact.gradient, &bounds.gradient),
        ("lse", out.lse, exact.lse, &bounds.lse),
    ] {
        let compared = Compared::new(name, &got.unwrap_or_default(), exact);
        tally.bounded(&subject, &compared, |i, _| bounds[i]);
    }
    Ok(())
}

/// Targets that only the device knows, of which one is a class of longer rows alone.
pub(super) async fn bad_targets(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let rows = Rows::ragged([0, 3, 3, 8, 8, 10, 14])?;
    let targets = [2u32, -100i32 as u32, 4, -100i32 as u32, 2, 3];
    let gpu = tally.gpu;
    let x = tally.random.logits(rows.elements(), 2.0);
    let (logits, targets) = (Guarded::of(gpu, &x)?, Guarded::new(gpu, &targets)?);
    let summary = Guarded::summary(gpu, 16)?;
    let buffers = CrossEntropyBuffers::new(logits.inside(), targets.inside(), summary.inside());
    let options = CrossEntropy::default();
    let mut encoder = gpu.encoder();
    options.prepare(gpu, &rows)?.encode(&mut encoder, &buffers)?;
    gpu.submit(encoder)?;
    let subject = Subject::new::<f32>("cross_entropy of unequal rows, recorded", Rows::new(1, 14), &options);
    let words = summary.read(tally, &subject, "the summary").await?;
    let found = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words));
    let found = found.map(|s| (s.counted, s.bad_targets, s.first_bad));
    tally.case(subject.equal("counted, bad targets, the first", &found, &Some((3, 1, Some((4, 2))))));
    Ok(())
}
