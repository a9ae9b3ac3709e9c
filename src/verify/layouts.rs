//! Where rows lie, how many there are, and how long they are.

use super::tally::{Compared, Tally};
use crate::cross_entropy::{CrossEntropy, Gradient};
use crate::error::RunError;
use crate::reference;
use crate::rows::Rows;
use crate::softmax::Softmax;

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
    for (shape, axis) in [
        ([3, 10, 7], 1),
        ([2, 1500, 5], 1),
        ([12, 3, 5], 0),
        ([2, 3, 130], -1),
        ([1, 300, 70], 1),
    ] {
        let rows = Rows::of_shape(&shape, axis)?;
        let x = tally.random.logits(rows.elements()?, 4.0);
        check(tally, &x, rows)?;
    }
    for (count, classes, stride) in [(5, 10, 13), (5, 10, 14), (5, 8, 12), (3, 1100, 1101), (1, 4, 9)] {
        let rows = Rows::new(count, classes).with_row_stride(stride);
        // What lies between the rows must not matter.
        let mut x = tally.random.logits(rows.elements()?, 4.0);
        let between = x.iter_mut().enumerate().filter(|(i, _)| i % stride >= classes);
        between.for_each(|(_, v)| *v = f32::NAN);
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
