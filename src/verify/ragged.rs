//! Checks that rows of unequal length have the bits that each has alone.

use super::tally::Tally;
use crate::error::RunError;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyOutput};
use crate::ops::loss::{Gradient, Reduction};
use crate::ops::softmax::Softmax;
use crate::ragged::RaggedRows;
use crate::rows::Rows;
use crate::testing::{Subject, bits};

/// Around vectors of four, lanes and chunks, with empty rows between; rows that all begin at multiples of four; and so many short
/// rows beside a few long ones that they have dispatches of their own.
pub(super) async fn rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let short = |row: usize| if row.is_multiple_of(1000) { 1500 } else { row % 30 };
    for lengths in [
        vec![5, 0, 1, 1025, 64, 3, 300, 0, 2050, 63, 5000, 0],
        vec![4, 8, 0, 1024, 64, 300, 2052],
        (0..4000).map(short).collect(),
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

async fn softmax(tally: &mut Tally<'_>, rows: &RaggedRows) -> Result<(), RunError> {
    let (gpu, options) = (tally.gpu, Softmax::default());
    let x = tally.random.logits(rows.elements(), 4.0);
    let y = gpu.softmax_async(&x, rows, &options).await?;
    for number in some(rows) {
        let alone = Rows::new(1, rows.classes(number));
        let expected = gpu.softmax_async(part(&x, rows, number), alone, &options).await?;
        let subject = Subject::new::<f32>("softmax of a row among unequal ones", alone, &options);
        tally.case(subject.bits("y", part(&y, rows, number), &expected));
    }
    Ok(())
}

async fn loss(tally: &mut Tally<'_>, rows: &RaggedRows) -> Result<(), RunError> {
    let gpu = tally.gpu;
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        label_smoothing: 0.1,
        lse: true,
        ..CrossEntropy::default()
    };
    let x = tally.random.logits(rows.elements(), 4.0);
    let target = |number: usize| match rows.classes(number) {
        0 => options.ignore_index,
        classes => (number * 7919 % classes) as i64,
    };
    let targets: Vec<i64> = (0..rows.count()).map(target).collect();
    let all = gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
    for number in some(rows) {
        let alone = Rows::new(1, rows.classes(number));
        let (x, target) = (part(&x, rows, number), &targets[number..=number]);
        let expected = gpu.cross_entropy_async(x, target, alone, &options).await?;
        let subject = Subject::new::<f32>("cross_entropy of a row among unequal ones", alone, &options);
        let of_row = |out: &CrossEntropyOutput, row: usize| {
            let number = |list: &Option<Vec<f32>>| list.as_ref().map_or(f32::NAN, |list| list[row]);
            bits(&[number(&out.row_losses), number(&out.lse)])
        };
        tally.case(subject.each("loss and lse", &of_row(&all, number), &of_row(&expected, 0)));
        let gradient = part(all.gradient.as_deref().unwrap_or_default(), rows, number);
        tally.case(subject.bits("gradient", gradient, &expected.gradient.unwrap_or_default()));
    }
    Ok(())
}
