//! Compares every operation and type with the f64 reference.

use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::ops::binary_cross_entropy::BinaryCrossEntropy;
use crate::ops::cross_entropy::CrossEntropyOutput;
use crate::ops::cross_entropy::{CrossEntropy, Input};
use crate::ops::logsumexp::LogSumExp;
use crate::ops::loss::{Gradient, Reduction};
use crate::ops::softmax::Softmax;
use crate::ops::softmax_grad::SoftmaxGrad;
use crate::reference::{self, CrossEntropyReference};
use crate::rows::Rows;
use crate::testing::{Bound, CLASSES, GRADIENT_ULP, LOSS_ULP, LossBounds, LostDifferences, Subject, places, ulp_of};

/// One class, an even number, an odd number, more than a chunk, and a multiple of four: loads of one, of two and of four
/// elements, and one lane, few lanes and many.
const SHAPES: [(usize, usize); 5] = [(3, 1), (3, 6), (3, 37), (2, 1030), (3, 40)];

pub(super) fn stored<T: Element>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&v| T::nearest(v)).collect()
}

/// Calls `run` with normal logits in each of the shapes.
async fn each_shape<T: Element>(
    tally: &mut Tally<'_>,
    run: impl AsyncFn(&mut Tally<'_>, &[T], Rows) -> Result<(), RunError>,
) -> Result<(), RunError> {
    for (count, classes) in SHAPES {
        let rows = Rows::new(count, classes);
        if tally.fits(rows) {
            let x: Vec<T> = stored(&tally.random.logits(count * classes, 4.0));
            run(tally, &x, rows).await?;
        }
    }
    Ok(())
}

/// The bound is 4 ULP plus the effect of rounding `x − m`: half an ULP of that difference changes the result by up to
/// `m − x` ULP.
pub(super) async fn softmax<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax::default();
    let sizes: Vec<usize> = match T::DTYPE {
        // These include an even and an odd vocabulary of today's models.
        Dtype::F32 => CLASSES.iter().copied().chain([50_257, 128_256]).collect(),
        _ => SHAPES.map(|(_, classes)| classes).to_vec(),
    };
    for classes in sizes {
        let rows = Rows::new(3, classes);
        if !tally.fits(rows) {
            continue;
        }
        // The spreads are narrow, usual, and so wide that most classes underflow.
        for spread in [0.1, 3.0, 60.0] {
            let x: Vec<T> = stored(&tally.random.logits(3 * classes, spread));
            let y = tally.gpu.softmax_async(&x, rows, &options).await?;
            let exact = reference::softmax(&x, rows, &options)?;
            let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
            let row_max = |row: &[f64]| row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let max: Vec<f64> = wide.chunks(classes).map(row_max).collect();
            let bound = |i: usize, exact| {
                let allowed = (4.0 + max[i / classes] - wide[i]) * ulp_of(exact, Dtype::F32);
                // A result below 2^-126 may be flushed to 0.
                (allowed.max(f64::from(f32::MIN_POSITIVE)), ulp_of(exact, T::DTYPE))
            };
            let subject = Subject::new::<T>(format!("softmax with spread {spread}"), rows, &options);
            tally.within(&subject, &Compared::new("y", &y, exact), bound);
        }
    }
    Ok(())
}

pub(super) async fn log_softmax<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax::log();
    each_shape::<T>(tally, async |tally, x, rows| {
        let y = tally.gpu.softmax_async(x, rows, &options).await?;
        let exact = reference::softmax(x, rows, &options)?;
        let subject = Subject::new::<T>("log_softmax", rows, &options);
        let lost = LostDifferences::new(x, rows).of_element_and_row(rows);
        tally.bounded(&subject, &Compared::new("y", &y, exact), |i, exact| {
            Bound::new(exact, LOSS_ULP, exact, lost[i])
        });
        Ok(())
    })
    .await
}

/// For each element, what the errors of its gradient in [`softmax_grad`] are in proportion to: both of its terms, and in the
/// sum over the row every summand, because these cancel.
fn softmax_grad_terms<T: Element>(y: &[T], g: &[T], rows: Rows, log: bool) -> Vec<f64> {
    let mut terms = vec![0.0; y.len()];
    for row in 0..rows.count() {
        let of = |i: usize| -> (f64, f64) { (y[i].into(), g[i].into()) };
        let summand = |i| if log { of(i).1.abs() } else { (of(i).0 * of(i).1).abs() };
        let sum: f64 = places(&rows, row).map(summand).sum();
        for i in places(&rows, row) {
            let (y, g) = of(i);
            terms[i] = if log {
                g.abs().max(y.exp() * sum)
            } else {
                y * g.abs().max(sum)
            };
        }
    }
    terms
}

pub(super) async fn softmax_grad<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, async |tally, x, rows| {
        let g: Vec<T> = stored(&tally.random.logits(x.len(), 1.0));
        for log in [false, true] {
            let forward = Softmax {
                log,
                ..Softmax::default()
            };
            let y = tally.gpu.softmax_async(x, rows, &forward).await?;
            let options = SoftmaxGrad {
                log,
                ..SoftmaxGrad::default()
            };
            let dx = tally.gpu.softmax_grad_async(&y, &g, None, rows, &options).await?;
            let exact = reference::softmax_grad(&y, &g, rows, log, None)?;
            let subject = Subject::new::<T>("softmax_grad", rows, &options);
            let terms = softmax_grad_terms(&y, &g, rows, log);
            tally.bounded(&subject, &Compared::new("dx", &dx, exact), |i, exact| {
                Bound::new(exact, GRADIENT_ULP, terms[i], 0.0)
            });
        }
        Ok(())
    })
    .await
}

pub(super) async fn softmax_jacobian<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax::default();
    for classes in [1, 6, 37] {
        let rows = Rows::new(3, classes);
        let x: Vec<T> = stored(&tally.random.logits(3 * classes, 2.0));
        let jacobian = tally.gpu.softmax_jacobian_async(&x, rows, &options).await?;
        let exact = reference::softmax_jacobian(&x, rows, &options)?;
        let subject = Subject::new::<T>("softmax_jacobian", rows, &options);
        let (y, lost) = (reference::softmax(&x, rows, &options)?, LostDifferences::new(&x, rows));
        let rows_of_elements = rows_of_elements(rows);
        tally.bounded(
            &subject,
            &Compared::new("the derivative", &jacobian, exact),
            |at, exact| {
                let (i, j) = (at / classes, at / (classes * classes) * classes + at % classes);
                // y_i on the diagonal, from which its square is taken, and else y_i y_j.
                let term = if i == j { y[i] } else { exact };
                let lost = [i, j].map(|i| lost.of_log_prob(rows_of_elements[i], i));
                Bound::new(exact, GRADIENT_ULP, term, term.abs() * (lost[0] + lost[1]))
            },
        );
    }
    Ok(())
}

pub(super) async fn logsumexp<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = LogSumExp::default();
    each_shape::<T>(tally, async |tally, x, rows| {
        let lse = tally.gpu.logsumexp_async(x, rows, &options).await?;
        let exact = reference::logsumexp(x, rows, &options)?;
        let g = tally.random.logits(rows.count(), 1.0);
        let wide: Vec<f64> = g.iter().map(|&v| v.into()).collect();
        let dx = tally.gpu.logsumexp_grad_async(x, &lse, &g, rows, &options).await?;
        let exact_dx = reference::logsumexp_grad(x, &wide, rows, &options)?;
        let subject = Subject::new::<T>("logsumexp", rows, &options);
        let (ln_sums, lost) = (ln_sums(x, rows)?, LostDifferences::new(x, rows));
        let lse_bound = |row: usize, exact| Bound::of_lse(exact, ln_sums[row], lost.of_ln_sum[row]);
        let from_lse: Vec<f64> = (0..)
            .zip(&exact)
            .map(|(row, &exact)| lse_bound(row, exact).allowed)
            .collect();
        tally.bounded(&subject, &Compared::new("lse", &lse, exact), lse_bound);
        // y is exp(x − lse), of an lse that is as far off as that.
        let rows_of_elements = rows_of_elements(rows);
        tally.bounded(&subject, &Compared::new("dx", &dx, exact_dx), |i, exact| {
            let off = from_lse[rows_of_elements[i]] + lost.of_element[i];
            Bound::new(exact, GRADIENT_ULP, exact, exact.abs() * off)
        });
        Ok(())
    })
    .await
}

/// The row of each element.
fn rows_of_elements(rows: Rows) -> Vec<usize> {
    let mut result = vec![0; rows.elements().unwrap_or_default()];
    for row in 0..rows.count() {
        places(&rows, row).for_each(|i| result[i] = row);
    }
    result
}

/// `ln d` of each row: the log-probability of its largest class, negated.
fn ln_sums<T: Element>(x: &[T], rows: Rows) -> Result<Vec<f64>, RunError> {
    let log = reference::softmax(x, rows, &Softmax::log())?;
    let largest = |row| places(&rows, row).map(|i| log[i]).fold(f64::NEG_INFINITY, f64::max);
    Ok((0..rows.count()).map(|row| -largest(row)).collect())
}

/// Every output of a loss, with the gradient of the losses' sum.
pub(super) fn all_outputs() -> CrossEntropy {
    CrossEntropy {
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        row_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    }
}

/// Compares all outputs, or without `has_class_targets` all those that soft targets have too.
pub(super) fn compare_outputs<T: Element>(
    tally: &mut Tally<'_>,
    subject: &Subject<'_>,
    (out, exact, bounds): (&CrossEntropyOutput<T>, &CrossEntropyReference, &LossBounds),
    has_class_targets: bool,
) {
    fn present<T: Clone>(values: &Option<Vec<T>>) -> Vec<T> {
        values.clone().unwrap_or_default()
    }
    let loss = [out.loss.unwrap_or(f32::NAN)];
    for (compared, bounds) in [
        (
            Compared::new("row losses", &present(&out.row_losses), exact.row_losses.clone()),
            &bounds.row_losses[..],
        ),
        (Compared::new("loss", &loss, vec![exact.loss]), &[bounds.loss]),
        (
            Compared::new("gradient", &present(&out.gradient), exact.gradient.clone()),
            &bounds.gradient,
        ),
        (Compared::new("lse", &present(&out.lse), exact.lse.clone()), &bounds.lse),
        (
            Compared::new("entropy", &present(&out.entropy), exact.entropies.clone()),
            &bounds.entropies,
        ),
    ] {
        tally.bounded(subject, &compared, |i, _| bounds[i]);
    }
    let argmax = present(&out.argmax).into_iter().map(|c| c as usize);
    tally.near(subject, &Compared::indices("argmax", argmax, &exact.argmax));
    if has_class_targets {
        let log_probs = Compared::new("log_prob", &present(&out.log_prob), exact.log_probs.clone());
        tally.bounded(subject, &log_probs, |i, _| bounds.log_probs[i]);
        let counts = [out.correct.unwrap_or_default(), out.counted];
        let expected = [exact.correct, exact.counted];
        tally.near(subject, &Compared::indices("correct and counted", counts, &expected));
    }
}

pub(super) async fn cross_entropy<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = all_outputs();
    each_shape::<T>(tally, async |tally, x, rows| {
        let targets = tally.random.targets(rows.count(), rows.classes());
        let out = tally.gpu.cross_entropy_async(x, &targets, rows, &options).await?;
        let exact = reference::cross_entropy(x, &targets, rows, &options)?;
        let subject = Subject::new::<T>("cross_entropy", rows, &options);
        let bounds = LossBounds::of_stored(x, rows, &options, &exact);
        compare_outputs(tally, &subject, (&out, &exact, &bounds), true);
        Ok(())
    })
    .await
}

pub(super) async fn cross_entropy_soft<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = CrossEntropy {
        label_smoothing: 0.1,
        log_prob: false,
        correct: false,
        ..all_outputs()
    };
    each_shape::<T>(tally, async |tally, x, rows| {
        let logits = tally.random.logits(x.len(), 2.0);
        let probabilities: Vec<T> = reference::softmax(&logits, rows, &Softmax::default())?
            .into_iter()
            .map(|p| T::nearest(p as f32))
            .collect();
        let out = tally
            .gpu
            .cross_entropy_soft_async(x, &probabilities, rows, &options)
            .await?;
        let exact = reference::cross_entropy_soft(x, &probabilities, rows, &options)?;
        let subject = Subject::new::<T>("cross_entropy_soft", rows, &options);
        let bounds = LossBounds::of_stored(x, rows, &options, &exact);
        compare_outputs(tally, &subject, (&out, &exact, &bounds), false);
        Ok(())
    })
    .await
}

pub(super) async fn nll_loss<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = CrossEntropy {
        input: Input::LogProbs,
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    };
    each_shape::<T>(tally, async |tally, x, rows| {
        let log_probs = tally.gpu.softmax_async(x, rows, &Softmax::log()).await?;
        let targets = tally.random.targets(rows.count(), rows.classes());
        let out = tally
            .gpu
            .cross_entropy_async(&log_probs, &targets, rows, &options)
            .await?;
        let exact = reference::cross_entropy(&log_probs, &targets, rows, &options)?;
        let subject = Subject::new::<T>("nll_loss", rows, &options);
        let losses = Compared::new("row losses", &out.row_losses.unwrap_or_default(), exact.row_losses);
        tally.bounded(&subject, &losses, |_, exact| Bound::of_itself(exact, LOSS_ULP));
        let gradient = Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient);
        tally.bounded(&subject, &gradient, |_, exact| Bound::of_itself(exact, GRADIENT_ULP));
        Ok(())
    })
    .await
}

pub(super) async fn binary_cross_entropy<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = BinaryCrossEntropy {
        reduction: Reduction::None,
        gradient: Gradient::Apart,
        ..BinaryCrossEntropy::default()
    };
    each_shape::<T>(tally, async |tally, x, rows| {
        let targets: Vec<T> = (0..x.len()).map(|_| T::nearest(tally.random.below(2) as f32)).collect();
        let out = tally
            .gpu
            .binary_cross_entropy_with_logits_async(x, &targets, rows, &options)
            .await?;
        let exact = reference::binary_cross_entropy_with_logits(x, &targets, rows, &options)?;
        let subject = Subject::new::<T>("binary_cross_entropy_with_logits", rows, &options);
        // A target of 0 or 1 leaves one term of each, so nothing cancels.
        let losses = Compared::new("losses", &out.losses.unwrap_or_default(), exact.losses);
        tally.bounded(&subject, &losses, |_, exact| Bound::of_itself(exact, LOSS_ULP));
        let gradient = Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient);
        tally.bounded(&subject, &gradient, |_, exact| Bound::of_itself(exact, GRADIENT_ULP));
        Ok(())
    })
    .await
}
