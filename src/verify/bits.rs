//! Checks that the bits are the same in every run, under every schedule, in every batch, and in plain f32 Rust.

use super::accuracy::all_outputs;
use super::tally::Tally;
use crate::error::{EncodeError, RunError};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::{Gradient, Reduction};
use crate::ops::softmax::Softmax;
use crate::rows::Rows;
use crate::testing::{self, CLASSES, DraftBatch, SampleBatch, Subject, bits};
use crate::twin;

fn twin_rows() -> impl Iterator<Item = Rows> {
    let classes = CLASSES.iter().copied().chain([32_000, 50_257]);
    classes.map(|classes| Rows::new(4, classes))
}

pub(super) async fn softmax_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax::default();
    for rows in twin_rows() {
        if !tally.fits(rows) {
            continue;
        }
        let classes = rows.classes();
        let x = tally.random.logits(4 * classes, 5.0);
        let y = tally.gpu.softmax_async(&x, rows, &options).await?;
        let expected: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
        tally.case(Subject::new::<f32>("softmax", rows, &options).bits("y", &y, &expected));
        tally.hash(&bits(&y));
    }
    Ok(())
}

pub(super) async fn cross_entropy_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = CrossEntropy {
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    };
    for rows in twin_rows() {
        if !tally.fits(rows) {
            continue;
        }
        let classes = rows.classes();
        let x = tally.random.logits(4 * classes, 5.0);
        let targets = tally.random.targets(4, classes);
        let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
        let twins = x.chunks(classes).zip(&targets);
        let (losses, gradients): (Vec<f32>, Vec<Vec<f32>>) = twins
            .map(|(x, &target)| twin::cross_entropy(x, target as usize, 1.0))
            .unzip();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        for (output, got, expected) in [
            ("row losses", out.row_losses.unwrap_or_default(), losses.clone()),
            ("gradient", out.gradient.unwrap_or_default(), gradients.concat()),
            ("loss", vec![out.loss.unwrap_or(f32::NAN)], vec![twin::total(&losses)]),
        ] {
            tally.case(subject.bits(output, &got, &expected));
            tally.hash(&bits(&got));
        }
    }
    Ok(())
}

/// Tokens of rows of every kind, with their ranks and the number of classes that the filters left.
pub(super) async fn sample_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [3, 33, 257, 1025, 4100, 50_257] {
        for has_edits in [false, true] {
            if !tally.fits(Rows::new(32, classes)) {
                continue;
            }
            let batch = SampleBatch::new(&mut tally.random, 32, classes, has_edits);
            let options = batch.options();
            let out = tally.gpu.sample_async(&batch.logits, batch.rows, &options).await?;
            let drawn = batch.drawn();
            let subject = Subject::new::<f32>("sample", batch.rows, &batch.params);
            for (output, got, expected) in [
                ("tokens", out.tokens, drawn.iter().map(|d| d.token).collect()),
                (
                    "ranks",
                    out.ranks.unwrap_or_default(),
                    drawn.iter().map(|d| d.rank).collect(),
                ),
                (
                    "kept",
                    out.kept.unwrap_or_default(),
                    drawn.iter().map(|d| d.kept).collect::<Vec<_>>(),
                ),
            ] {
                tally.case(subject.equal(output, &got, &expected));
                tally.hash(&got);
            }
        }
    }
    Ok(())
}

/// Tokens of drafts that are accepted, and what takes the place of those that are not.
pub(super) async fn draft_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (classes, length) in [(3, 1), (33, 2), (1025, 5), (50_257, 3)] {
        for has_probs in [false, true] {
            let count = 8 * (length + 1);
            if !tally.fits(Rows::new(count, classes)) {
                continue;
            }
            let target = SampleBatch::new(&mut tally.random, count, classes, has_probs);
            let batch = DraftBatch::new(&mut tally.random, target, length, has_probs);
            let rows = batch.target.rows;
            let out = tally
                .gpu
                .sample_async(&batch.target.logits, rows, &batch.options())
                .await?;
            let (tokens, accepted) = batch.verified();
            let subject = Subject::new::<f32>("sample with a draft", rows, &batch.target.params);
            for (output, got, expected) in [
                ("tokens", out.tokens, tokens),
                ("accepted", out.accepted.unwrap_or_default(), accepted),
            ] {
                tally.case(subject.equal(output, &got, &expected));
                tally.hash(&got);
            }
        }
    }
    Ok(())
}

pub(super) async fn schedules(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [1, 5, 64, 100, 1024, 1025, 3000] {
        let rows = Rows::new(3, classes);
        if !tally.fits(rows) {
            continue;
        }
        let x = tally.random.logits(3 * classes, 5.0);
        let targets = tally.random.targets(3, classes);
        let y = tally.gpu.softmax_async(&x, rows, &Softmax::default()).await?;
        let first = tally
            .gpu
            .cross_entropy_async(&x, &targets, rows, &all_outputs())
            .await?;
        for schedule in testing::schedules() {
            let options = Softmax {
                schedule: Some(schedule),
                ..Softmax::default()
            };
            let got = match tally.gpu.softmax_async(&x, rows, &options).await {
                Err(RunError::Encode(EncodeError::Schedule { .. })) => continue,
                got => got?,
            };
            let subject = Subject::new::<f32>(format!("softmax by {schedule}"), rows, &options);
            tally.case(subject.bits("y", &got, &y));
            let options = CrossEntropy {
                schedule: Some(schedule),
                ..all_outputs()
            };
            let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
            let subject = Subject::new::<f32>(format!("cross_entropy by {schedule}"), rows, &options);
            tally.case(subject.same_outputs(&out, &first));
        }
    }
    Ok(())
}

pub(super) async fn determinism(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = all_outputs();
    for (count, classes) in [(3000, 10), (40, 1030), (2, 40_000)] {
        let rows = Rows::new(count, classes);
        if !tally.fits(rows) {
            continue;
        }
        let x = tally.random.logits(count * classes, 5.0);
        let targets = tally.random.targets(count, classes);
        let first = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
        for run in 2..5 {
            let again = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
            let subject = Subject::new::<f32>(format!("run {run} of cross_entropy"), rows, &options);
            tally.case(subject.same_outputs(&again, &first));
        }
    }
    Ok(())
}

/// A row alone, and as the first, the last or some other row of a batch.
pub(super) async fn batch_invariance(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax::default();
    for (count, classes) in [(70_000, 7), (70_000, 24), (300, 1030), (9, 40_000)] {
        let rows = Rows::new(count, classes);
        if !tally.fits(rows) {
            continue;
        }
        let x = tally.random.logits(count * classes, 5.0);
        let all = tally.gpu.softmax_async(&x, rows, &options).await?;
        for row in [0, 1, count / 2, count - 1] {
            let range = row * classes..(row + 1) * classes;
            let one = Rows::new(1, classes);
            let alone = tally.gpu.softmax_async(&x[range.clone()], one, &options).await?;
            let subject = Subject::new::<f32>(format!("softmax of row {row} of {count} alone"), one, &options);
            tally.case(subject.bits("y", &alone, &all[range]));
        }
    }
    Ok(())
}

/// A batch that goes to the device in parts.
pub(super) async fn parts(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let in_parts = tally.gpu.with_part_bytes(4096);
    let options = all_outputs();
    for (count, classes) in [(700, 10), (9, 1030)] {
        let rows = Rows::new(count, classes);
        if !tally.fits(rows) {
            continue;
        }
        let x = tally.random.logits(count * classes, 5.0);
        let targets = tally.random.targets(count, classes);
        let whole = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
        let out = in_parts.cross_entropy_async(&x, &targets, rows, &options).await?;
        let subject = Subject::new::<f32>("cross_entropy in parts of 4096 bytes", rows, &options);
        tally.case(subject.same_outputs(&out, &whole));
    }
    Ok(())
}
