//! Checks rows with NaN and infinities, common offsets and bad targets.

use super::accuracy::all_outputs;
use super::tally::{Compared, Tally};
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::Reduction;
use crate::ops::row_op::FullyMasked;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{self, LossBounds, SPECIAL_ROWS, Subject};

/// The loss is `ln d − (a_t − m)`, never `(m + ln d) − a_t`, which would lose its digits to a large offset.
pub(super) async fn common_offset(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for offset in [1e4f32, 1e6, 1e7] {
        for classes in [10, 1500] {
            let rows = Rows::new(5, classes);
            if !tally.fits(rows) {
                continue;
            }
            let x = tally.random.logits(5 * classes, 4.0);
            let x: Vec<f32> = x.iter().map(|v| v + offset).collect();
            let targets = tally.random.targets(5, classes);
            let options = all_outputs();
            let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
            let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
            let subject = Subject::new::<f32>(format!("cross_entropy at offset {offset}"), rows, &options);
            let bounds = LossBounds::new(&options, &exact);
            let losses = Compared::new("row losses", &out.row_losses.unwrap_or_default(), exact.row_losses);
            tally.bounded(&subject, &losses, |i, _| bounds.row_losses[i]);
            let gradient = Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient);
            tally.bounded(&subject, &gradient, |i, _| bounds.gradient[i]);
        }
    }
    Ok(())
}

pub(super) async fn special_rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [3, 4, 64, 1000, 1030, 2050] {
        let rows = Rows::new(SPECIAL_ROWS.len(), classes);
        if !tally.fits(rows) {
            continue;
        }
        let x = testing::special_rows(classes);
        for fully_masked in [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform] {
            for log in [false, true] {
                let options = Softmax {
                    log,
                    fully_masked,
                    ..Softmax::default()
                };
                let y = tally.gpu.softmax_async(&x, rows, &options).await?;
                let subject = Subject::new::<f32>("softmax", rows, &options);
                tally.near(
                    &subject,
                    &Compared::new("y", &y, reference::softmax(&x, rows, &options)?),
                );
            }
            for target in [0i64, 1, 2, -100] {
                loss_of_special_rows(tally, &x, rows, target, fully_masked).await?;
            }
        }
    }
    Ok(())
}

async fn loss_of_special_rows(
    tally: &mut Tally<'_>,
    x: &[f32],
    rows: Rows,
    target: i64,
    fully_masked: FullyMasked,
) -> Result<(), RunError> {
    let targets = vec![target; rows.count()];
    let options = CrossEntropy {
        fully_masked,
        reduction: Reduction::None,
        entropy: false,
        log_prob: false,
        ..all_outputs()
    };
    let out = tally.gpu.cross_entropy_async(x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(x, &targets, rows, &options)?;
    let argmax = out.argmax.unwrap_or_default().into_iter().map(|c| c as usize);
    let subject = Subject::new::<f32>(format!("cross_entropy with target {target}"), rows, &options);
    for compared in [
        Compared::new("row losses", &out.row_losses.unwrap_or_default(), exact.row_losses),
        Compared::new("lse", &out.lse.unwrap_or_default(), exact.lse),
        Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient),
        Compared::indices("argmax", argmax, &exact.argmax),
    ] {
        tally.near(&subject, &compared);
    }
    Ok(())
}

/// Bad targets give an error that names the first of them, and never a read outside the logits.
pub(super) async fn bad_targets(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let (count, classes) = (1000, 5);
    let rows = Rows::new(count, classes);
    let x = tally.random.logits(count * classes, 3.0);
    for (first, value) in [(0usize, 5i64), (637, -1), (999, i64::from(u32::MAX))] {
        let mut targets = vec![1i64; count];
        targets[first] = value;
        targets[999] = value;
        let expected = RunError::TargetOutOfRange {
            row: first,
            target: value.into(),
            classes,
            count: if first == 999 { 1 } else { 2 },
        };
        let options = CrossEntropy::default();
        let got = match tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await {
            Err(error @ (RunError::DeviceLost { .. } | RunError::Device { .. })) => return Err(error),
            got => got.map(|_| ()),
        };
        let subject = Subject::new::<f32>(
            format!("cross_entropy with target {value} in row {first}"),
            rows,
            &options,
        );
        tally.case(subject.equal("the outcome", &got, &Err(expected)));
    }
    Ok(())
}
