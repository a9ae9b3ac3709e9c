//! Checks rows that are all but certain.

use super::accuracy::{all_outputs, compare_outputs};
use super::tally::{Compared, Tally};
use crate::dtype::Element;
use crate::error::RunError;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::testing::{
    Bound, CONFIDENT_CLASSES, Confident, GAPS, LOSS_ULP, LossBounds, LostDifferences, Subject, loss_options,
};

/// One, two or three largest classes far above the others: losses of 1e-35 and their gradients have as many right digits as
/// any, and each row's gradient sums to 0.
pub(super) async fn rows<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in CONFIDENT_CLASSES {
        for gap in GAPS {
            let batch = Confident::new(&mut tally.random, classes, gap);
            if !tally.fits(batch.rows) {
                continue;
            }
            let (x, rows) = (batch.stored::<T>(), batch.rows);
            let options = Softmax::log();
            let y = tally.gpu.softmax_async(&x, rows, &options).await?;
            let exact = reference::softmax(&x, rows, &options)?;
            let subject = Subject::new::<T>(format!("log_softmax with a gap of {gap}"), rows, &options);
            let lost = LostDifferences::new(&x, rows).of_element_and_row(rows);
            tally.bounded(&subject, &Compared::new("y", &y, exact), |i, exact| {
                Bound::new(exact, LOSS_ULP, exact, lost[i])
            });
            for options in loss_options(&all_outputs(), classes) {
                let out = tally
                    .gpu
                    .cross_entropy_async(&x, &batch.targets, rows, &options)
                    .await?;
                let exact = reference::cross_entropy(&x, &batch.targets, rows, &options)?;
                let subject = Subject::new::<T>(format!("cross_entropy with a gap of {gap}"), rows, &options);
                let bounds = LossBounds::of_stored(&x, rows, &options, &exact);
                compare_outputs(tally, &subject, (&out, &exact, &bounds), true);
                if options.z_loss == 0.0 {
                    let gradient = out.gradient.unwrap_or_default();
                    tally.case(bounds.gradient_sums_to_zero(&subject, &gradient, &exact));
                }
            }
        }
    }
    Ok(())
}
