//! Rows that are not ordinary, common offsets, bad targets.

use super::accuracy::all_outputs;
use super::tally::{Compared, Tally};
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::Reduction;
use crate::ops::row_op::FullyMasked;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{self, ODD_ROWS};

/// The loss is ln d - (a_t - m), never (m + ln d) - a_t, which a large offset would swallow.
pub(super) fn common_offset(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for offset in [1e4f32, 1e6, 1e7] {
        for classes in [10, 1500] {
            if !tally.fits(5 * classes) {
                continue;
            }
            let rows = Rows::new(5, classes);
            let x: Vec<f32> = tally
                .random
                .logits(5 * classes, 4.0)
                .iter()
                .map(|v| v + offset)
                .collect();
            let targets = tally.random.targets(5, classes);
            let out = tally.gpu.cross_entropy(&x, &targets, rows, &all_outputs())?;
            let exact = reference::cross_entropy(&x, &targets, rows, &all_outputs())?;
            let losses = Compared::new(&out.row_losses.unwrap_or_default(), exact.row_losses);
            tally.near(format_args!("losses of 5 x {classes} at {offset}"), &losses);
            let gradient = Compared::new(&out.gradient.unwrap_or_default(), exact.gradient);
            tally.near(format_args!("gradient of 5 x {classes} at {offset}"), &gradient);
        }
    }
    Ok(())
}

pub(super) fn odd_rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let count = ODD_ROWS.len();
    for classes in [3, 4, 64, 1000, 1030, 2050] {
        if !tally.fits(count * classes) {
            continue;
        }
        let x = testing::odd_rows(classes);
        let rows = Rows::new(count, classes);
        for fully_masked in [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform] {
            for log in [false, true] {
                let options = Softmax {
                    log,
                    fully_masked,
                    ..Softmax::default()
                };
                let y = tally.gpu.softmax(&x, rows, &options)?;
                let compared = Compared::new(&y, reference::softmax(&x, rows, &options)?);
                tally.near(
                    format_args!("{classes} classes, log {log}, {fully_masked:?}"),
                    &compared,
                );
            }
            for target in [0i64, 1, 2, -100] {
                let targets = vec![target; count];
                let options = CrossEntropy {
                    fully_masked,
                    reduction: Reduction::None,
                    entropy: false,
                    log_prob: false,
                    ..all_outputs()
                };
                let out = tally.gpu.cross_entropy(&x, &targets, rows, &options)?;
                let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
                let argmax: Vec<f32> = out.argmax.unwrap_or_default().iter().map(|&c| c as f32).collect();
                let exact_argmax = exact.argmax.iter().map(|&c| c as f64).collect();
                for (what, compared) in [
                    (
                        "losses",
                        Compared::new(&out.row_losses.unwrap_or_default(), exact.row_losses),
                    ),
                    ("lse", Compared::new(&out.lse.unwrap_or_default(), exact.lse)),
                    (
                        "gradient",
                        Compared::new(&out.gradient.unwrap_or_default(), exact.gradient),
                    ),
                    ("argmax", Compared::new(&argmax, exact_argmax)),
                ] {
                    tally.near(
                        format_args!("{what} of {classes} classes, target {target}, {fully_masked:?}"),
                        &compared,
                    );
                }
            }
        }
    }
    Ok(())
}

/// An error that names the first of them, and never a read outside of the logits.
pub(super) fn bad_targets(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let (count, classes) = (1000, 5);
    let rows = Rows::new(count, classes);
    let x = tally.random.logits(count * classes, 3.0);
    for (first, value) in [(0usize, 5i64), (637, -1), (999, i64::from(u32::MAX))] {
        let mut targets = vec![1i64; count];
        targets[first] = value;
        targets[999] = value;
        let bad = if first == 999 { 1 } else { 2 };
        let outcome = tally.gpu.cross_entropy(&x, &targets, rows, &CrossEntropy::default());
        let miss = match outcome {
            Err(RunError::TargetOutOfRange { row, target, count, .. })
                if (row, target, count) == (first, value.into(), bad) =>
            {
                None
            }
            Err(error @ (RunError::DeviceLost { .. } | RunError::Device { .. })) => return Err(error),
            outcome => Some(format!("{outcome:?}")),
        };
        tally.case(format_args!("target {value} in row {first}"), miss);
    }
    Ok(())
}
