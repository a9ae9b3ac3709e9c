//! Measures what `fast: true` computes. WGSL promises little of a driver's functions, so the bounds are wide: they tell a
//! rough result from a wrong one, and the errors printed are the result.

use super::accuracy::{all_outputs, stored};
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{Subject, ulp_of};

/// Rows and classes: short, one chunk, several, and the vocabulary of a model.
const SHAPES: [(usize, usize); 4] = [(3, 10), (3, 1000), (2, 4096), (2, 50_257)];

/// `x − m` is rounded once, which is off by as many ULP as it is large, and a driver's exp by twice as many again.
fn of_probability(exact: f64, distance: f64) -> f64 {
    ((16.0 + 4.0 * distance) * ulp_of(exact, Dtype::F32)).max(f64::from(f32::MIN_POSITIVE) * 2.0)
}

pub(super) async fn softmax<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax {
        fast: true,
        ..Softmax::default()
    };
    for (count, classes) in SHAPES {
        let rows = Rows::new(count, classes);
        if !tally.fits(rows) {
            continue;
        }
        for spread in [0.1, 3.0, 20.0] {
            let x: Vec<T> = stored(&tally.random.logits(count * classes, spread));
            let y = tally.gpu.softmax_async(&x, rows, &options).await?;
            let exact = reference::softmax(&x, rows, &options)?;
            let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
            let largest = |row: &[f64]| row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let max: Vec<f64> = wide.chunks(classes).map(largest).collect();
            let bound = |i: usize, exact| {
                (
                    of_probability(exact, max[i / classes] - wide[i]),
                    ulp_of(exact, T::DTYPE),
                )
            };
            let subject = Subject::new::<T>(format!("fast softmax with spread {spread}"), rows, &options);
            tally.within(&subject, &Compared::new("y", &y, exact), bound);
        }
    }
    Ok(())
}

pub(super) async fn cross_entropy<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = CrossEntropy {
        fast: true,
        ..all_outputs()
    };
    for (count, classes) in SHAPES {
        let rows = Rows::new(count, classes);
        if !tally.fits(rows) {
            continue;
        }
        let x: Vec<T> = stored(&tally.random.logits(count * classes, 3.0));
        let targets = tally.random.targets(count, classes);
        let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
        let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
        let subject = Subject::new::<T>("fast cross_entropy", rows, &options);
        let near = |dtype| move |_, exact: f64| (2e-5 * exact.abs().max(1e-3), ulp_of(exact, dtype));
        let losses = Compared::new("row losses", &out.row_losses.unwrap_or_default(), exact.row_losses);
        tally.within(&subject, &losses, near(Dtype::F32));
        let gradient = Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient);
        tally.within(&subject, &gradient, near(T::DTYPE));
    }
    Ok(())
}
