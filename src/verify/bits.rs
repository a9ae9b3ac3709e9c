//! The same bits in every run, under every schedule, in every batch, and in plain f32 Rust.

use super::accuracy::all_outputs;
use super::tally::Tally;
use crate::error::{EncodeError, RunError};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::{Gradient, Reduction};
use crate::ops::softmax::Softmax;
use crate::rows::Rows;
use crate::testing::{self, CLASSES, bits};
use crate::twin;

fn twin_classes() -> impl Iterator<Item = usize> {
    CLASSES.iter().copied().chain([32_000, 50_257])
}

pub(super) fn softmax_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in twin_classes() {
        if !tally.fits(4 * classes) {
            continue;
        }
        let x = tally.random.logits(4 * classes, 5.0);
        let y = bits(&tally.gpu.softmax(&x, Rows::new(4, classes), &Softmax::default())?);
        let twin: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
        tally.same(format_args!("4 x {classes}"), &y, &bits(&twin));
        tally.hash(&y);
    }
    Ok(())
}

pub(super) fn cross_entropy_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = CrossEntropy {
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    };
    for classes in twin_classes() {
        if !tally.fits(4 * classes) {
            continue;
        }
        let x = tally.random.logits(4 * classes, 5.0);
        let targets = tally.random.targets(4, classes);
        let out = tally.gpu.cross_entropy(&x, &targets, Rows::new(4, classes), &options)?;
        let twins = x.chunks(classes).zip(&targets);
        let (losses, gradients): (Vec<f32>, Vec<Vec<f32>>) = twins
            .map(|(x, &target)| twin::cross_entropy(x, target as usize, 1.0))
            .unzip();
        let got_losses = bits(&out.row_losses.unwrap_or_default());
        let gradient = bits(&out.gradient.unwrap_or_default());
        tally.same(format_args!("losses of 4 x {classes}"), &got_losses, &bits(&losses));
        tally.same(
            format_args!("gradient of 4 x {classes}"),
            &gradient,
            &bits(&gradients.concat()),
        );
        let loss = bits(&[out.loss.unwrap_or(f32::NAN)]);
        tally.same(
            format_args!("loss of 4 x {classes}"),
            &loss,
            &bits(&[twin::total(&losses)]),
        );
        for words in [&got_losses, &gradient, &loss] {
            tally.hash(words);
        }
    }
    Ok(())
}

pub(super) fn schedules(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [1, 5, 64, 100, 1024, 1025, 3000] {
        if !tally.fits(3 * classes) {
            continue;
        }
        let rows = Rows::new(3, classes);
        let x = tally.random.logits(3 * classes, 5.0);
        let targets = tally.random.targets(3, classes);
        let y = bits(&tally.gpu.softmax(&x, rows, &Softmax::default())?);
        let first = tally.gpu.cross_entropy(&x, &targets, rows, &all_outputs())?;
        for schedule in testing::schedules() {
            let softmax = Softmax {
                schedule: Some(schedule),
                ..Softmax::default()
            };
            let got = match tally.gpu.softmax(&x, rows, &softmax) {
                Err(RunError::Encode(EncodeError::Schedule { .. })) => continue,
                got => got?,
            };
            tally.same(
                format_args!("softmax of {classes} classes by {schedule}"),
                &bits(&got),
                &y,
            );
            let options = CrossEntropy {
                schedule: Some(schedule),
                ..all_outputs()
            };
            let out = tally.gpu.cross_entropy(&x, &targets, rows, &options)?;
            let miss = (out != first).then(|| "other results".into());
            tally.case(format_args!("cross_entropy of {classes} classes by {schedule}"), miss);
        }
    }
    Ok(())
}

pub(super) fn determinism(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (count, classes) in [(3000, 10), (40, 1030), (2, 40_000)] {
        if !tally.fits(count * classes) {
            continue;
        }
        let rows = Rows::new(count, classes);
        let x = tally.random.logits(count * classes, 5.0);
        let targets = tally.random.targets(count, classes);
        let first = tally.gpu.cross_entropy(&x, &targets, rows, &all_outputs())?;
        for run in 2..5 {
            let again = tally.gpu.cross_entropy(&x, &targets, rows, &all_outputs())?;
            let miss = (again != first).then(|| "other results".into());
            tally.case(format_args!("run {run} of {count} x {classes}"), miss);
        }
    }
    Ok(())
}

/// A row alone, and as the first, the last or some other one of many.
pub(super) fn batch_invariance(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (count, classes) in [(70_000, 7), (70_000, 24), (300, 1030), (9, 40_000)] {
        if !tally.fits(count * classes) {
            continue;
        }
        let x = tally.random.logits(count * classes, 5.0);
        let all = bits(&tally.gpu.softmax(&x, Rows::new(count, classes), &Softmax::default())?);
        for row in [0, 1, count / 2, count - 1] {
            let range = row * classes..(row + 1) * classes;
            let alone = tally
                .gpu
                .softmax(&x[range.clone()], Rows::new(1, classes), &Softmax::default())?;
            tally.same(
                format_args!("row {row} of {count} x {classes}"),
                &bits(&alone),
                &all[range],
            );
        }
    }
    Ok(())
}

/// A batch that goes to the device in parts.
pub(super) fn parts(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let in_parts = tally.gpu.with_part_bytes(4096);
    for (count, classes) in [(700, 10), (9, 1030)] {
        if !tally.fits(count * classes) {
            continue;
        }
        let rows = Rows::new(count, classes);
        let x = tally.random.logits(count * classes, 5.0);
        let targets = tally.random.targets(count, classes);
        let whole = tally.gpu.cross_entropy(&x, &targets, rows, &all_outputs())?;
        let cut = in_parts.cross_entropy(&x, &targets, rows, &all_outputs())?;
        let miss = (cut != whole).then(|| "other results".into());
        tally.case(format_args!("{count} x {classes}"), miss);
    }
    Ok(())
}
