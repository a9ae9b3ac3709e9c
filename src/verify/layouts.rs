//! Where rows lie, how many there are, and how long they are.

use super::tally::{Compared, Tally};
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::Gradient;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::testing;

/// Softmax, mean loss and gradient of rows that lie as `rows` says.
fn check(tally: &mut Tally<'_>, x: &[f32], rows: Rows) -> Result<(), RunError> {
    let y = tally.gpu.softmax(x, rows, &Softmax::default())?;
    let exact = reference::softmax(x, rows, &Softmax::default())?;
    tally.near(format_args!("softmax of {rows:?}"), &Compared::new(&y, exact));
    let targets = tally.random.targets(rows.count(), rows.classes());
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let out = tally.gpu.cross_entropy(x, &targets, rows, &options)?;
    let exact = reference::cross_entropy(x, &targets, rows, &options)?;
    let loss = Compared::new(&[out.loss.unwrap_or(f32::NAN)], vec![exact.loss]);
    tally.near(format_args!("loss of {rows:?}"), &loss);
    let gradient = Compared::new(&out.gradient.unwrap_or_default(), exact.gradient);
    tally.near(format_args!("gradient of {rows:?}"), &gradient);
    Ok(())
}

pub(super) fn strides_and_axes(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in testing::layouts()? {
        let x = testing::laid_out(&mut tally.random, &rows, 4.0)?;
        check(tally, &x, rows)?;
    }
    Ok(())
}

/// None, one, and about the 65,535 work-groups that a dispatch has in one dimension.
pub(super) fn many_rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (count, classes) in [(0, 4), (1, 4), (65_535, 3), (65_536, 3), (70_000, 24), (65_537, 130)] {
        if tally.fits(count * classes) {
            let x = tally.random.logits(count * classes, 3.0);
            check(tally, &x, Rows::new(count, classes))?;
        }
    }
    Ok(())
}

/// Vocabularies, and a class more or less than what one schedule holds.
pub(super) fn long_rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (count, classes) in [(5, 50_257), (1, 128_256), (5, 131_072), (4, 131_073), (1, 1_048_577)] {
        if tally.fits(count * classes) {
            let x = tally.random.logits(count * classes, 3.0);
            check(tally, &x, Rows::new(count, classes))?;
        }
    }
    Ok(())
}
