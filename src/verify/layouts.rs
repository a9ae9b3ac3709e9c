//! Checks rows of many layouts, numbers and lengths.

use super::tally::{Compared, Tally};
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::Gradient;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{self, LossBounds, Subject};

/// Softmax, mean loss and gradient of rows that lie as `rows` says.
async fn check(tally: &mut Tally<'_>, x: &[f32], rows: Rows) -> Result<(), RunError> {
    let options = Softmax::default();
    let y = tally.gpu.softmax_async(x, rows, &options).await?;
    let exact = reference::softmax(x, rows, &options)?;
    let subject = Subject::new::<f32>("softmax", rows, &options);
    tally.near(&subject, &Compared::new("y", &y, exact));

    let targets = tally.random.targets(rows.count(), rows.classes());
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let out = tally.gpu.cross_entropy_async(x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(x, &targets, rows, &options)?;
    let subject = Subject::new::<f32>("cross_entropy", rows, &options);
    let bounds = LossBounds::new(&options, &exact);
    let loss = Compared::new("loss", &[out.loss.unwrap_or(f32::NAN)], vec![exact.loss]);
    tally.bounded(&subject, &loss, |_, _| bounds.loss);
    let gradient = Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient);
    tally.bounded(&subject, &gradient, |i, _| bounds.gradient[i]);
    Ok(())
}

pub(super) async fn strides_and_axes(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in testing::layouts()? {
        let x = testing::laid_out(&mut tally.random, &rows, 4.0)?;
        check(tally, &x, rows).await?;
    }
    Ok(())
}

/// No rows, one row, and numbers of rows around 65,535, which is how many work-groups a dispatch may have in one
/// dimension.
pub(super) async fn many_rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    check_sizes(
        tally,
        &[(0, 4), (1, 4), (65_535, 3), (65_536, 3), (70_000, 24), (65_537, 130)],
    )
    .await
}

/// Vocabularies, as many classes as a row may have in one schedule or with spans of one chunk, and one more.
pub(super) async fn long_rows(tally: &mut Tally<'_>) -> Result<(), RunError> {
    check_sizes(
        tally,
        &[(5, 50_257), (1, 128_256), (5, 131_072), (4, 131_073), (1, 1_048_577)],
    )
    .await
}

async fn check_sizes(tally: &mut Tally<'_>, sizes: &[(usize, usize)]) -> Result<(), RunError> {
    for &(count, classes) in sizes {
        let rows = Rows::new(count, classes);
        if tally.fits(rows) {
            let x = tally.random.logits(count * classes, 3.0);
            check(tally, &x, rows).await?;
        }
    }
    Ok(())
}
