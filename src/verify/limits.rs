//! Checks results at the ends of f32's range: those below 2⁻¹²⁶ are 0, and what is too large is f32's largest number.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::ops::adjust::{Adjust, Mask, Scale};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::logsumexp::LogSumExp;
use crate::ops::loss::{Gradient, Reduction, Upstream};
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{LARGE_ROWS, Subject, ulp_of};

/// Half of the classes are maxima, of which there are so many that the exponentials of the others are above 2⁻¹²⁶ and their
/// probabilities below, and on the other side of it in the last row.
fn falling(classes: usize) -> Vec<f32> {
    let row = |top: f32| {
        let below = move |c: usize| top - 6.0 * c as f32 / classes as f32;
        (0..classes).map(move |c| if c % 2 == 0 { 0.0 } else { below(c) })
    };
    [-83.0, -85.0, -78.0].into_iter().flat_map(row).collect()
}

/// Not every adapter has numbers below 2⁻¹²⁶, so that no result may be one: of rows of one span and of several.
pub(super) async fn flushed<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [8, 1030] {
        let rows = Rows::new(3, classes);
        let x: Vec<T> = stored(&falling(classes));
        let gpu = tally.gpu;
        let options = Softmax::default();
        let y = gpu.softmax_async(&x, rows, &options).await?;
        let exact = reference::softmax(&x, rows, &options)?;
        let subject = Subject::new::<T>("softmax", rows, &options);
        is_flushed(tally, &subject, "y", &y);
        has_flushed_values(tally, &subject, &Compared::new("y", &y, exact));

        let options = LogSumExp::default();
        let lse = gpu.logsumexp_async(&x, rows, &options).await?;
        let dx = gpu
            .logsumexp_grad_async(&x, &lse, &[1.0, 0.125, -3.0], rows, &options)
            .await?;
        let exact = reference::logsumexp_grad(&x, &[1.0, 0.125, -3.0], rows, &options)?;
        let subject = Subject::new::<T>("logsumexp", rows, &options);
        is_flushed(tally, &subject, "dx", &dx);
        has_flushed_values(tally, &subject, &Compared::new("dx", &dx, exact));

        let targets = [0u32, 3, 2];
        for (label_smoothing, z_loss) in [(0.0, 0.0), (1e-37, 1.0)] {
            let options = CrossEntropy {
                reduction: Reduction::Sum,
                gradient: Gradient::Apart,
                upstream: Upstream::Number(0.5),
                label_smoothing,
                z_loss,
                ..CrossEntropy::default()
            };
            let out = gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
            let subject = Subject::new::<T>("cross_entropy", rows, &options);
            is_flushed(tally, &subject, "gradient", &out.gradient.unwrap_or_default());
        }
    }
    Ok(())
}

const LEAST: f64 = f32::MIN_POSITIVE as f64;

/// A case of numbers of which none is below 2⁻¹²⁶, but for 0.
fn is_flushed<T: Element>(tally: &mut Tally<'_>, subject: &Subject<'_>, output: &str, got: &[T]) {
    let is_subnormal = |v: &T| {
        let v: f64 = (*v).into();
        v != 0.0 && v.abs() < LEAST
    };
    let first = got.iter().position(is_subnormal);
    tally.case(subject.equal(&format!("the first number of {output} below 2^-126"), &first, &None));
}

/// A case of products, none of which is 0 unless it is so small. `x − m` is rounded, which is as many ULP as it is large; and near
/// 2⁻¹²⁶ a factor may be 0 already.
fn has_flushed_values(tally: &mut Tally<'_>, subject: &Subject<'_>, compared: &Compared) {
    tally.within(subject, compared, |_, exact| {
        let unit = ulp_of(exact, Dtype::F32);
        ((128.0 * unit).max(4.0 * LEAST), unit.max(LEAST))
    });
}

const MOST: f32 = f32::MAX;

fn adjusts(classes: usize) -> Vec<Adjust> {
    let per_class = |values: [f32; 4]| -> Vec<f32> { values.into_iter().cycle().take(classes).collect() };
    vec![
        Adjust::scaled(1e38),
        Adjust::scaled(-MOST),
        Adjust {
            scale: Scale::PerRow([1e38, -2.0, 1e30, 1.5, MOST, -MOST, 1e38, 0.0].to_vec().into()),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(1e38),
            bias: Some(per_class([MOST, -MOST, 0.0, 1.0]).into()),
            mask: Mask::Classes(per_class([MOST, -MOST, f32::NEG_INFINITY, -MOST]).into()),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(MOST),
            softcap: Some(0.01),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::Number(MOST),
            softcap: Some(f32::MIN_POSITIVE),
            ..Adjust::default()
        },
    ]
}

/// Finite numbers make no NaN and no infinity, and the largest logit of a row stays that.
pub(super) async fn saturated(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for adjust in adjusts(4) {
        of_large_rows(tally, 4, &adjust).await?;
    }
    of_large_rows(tally, 2052, &adjusts(2052)[3]).await
}

async fn of_large_rows(tally: &mut Tally<'_>, classes: usize, adjust: &Adjust) -> Result<(), RunError> {
    let rows = Rows::new(LARGE_ROWS.len(), classes);
    let x: Vec<f32> = (LARGE_ROWS.iter())
        .flat_map(|row| row.iter().copied().cycle().take(classes))
        .collect();
    for log in [false, true] {
        let options = Softmax {
            log,
            adjust: adjust.clone(),
            ..Softmax::default()
        };
        let y = tally.gpu.softmax_async(&x, rows, &options).await?;
        let subject = Subject::new::<f32>("softmax", rows, &options);
        let exact = reference::softmax(&x, rows, &options)?;
        is_right(tally, &subject, "y", &y, exact);
    }
    let options = CrossEntropy {
        adjust: adjust.clone(),
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        upstream: Upstream::Number(8.0),
        argmax: true,
        ..CrossEntropy::default()
    };
    let targets: Vec<i64> = (0..LARGE_ROWS.len() as i64).map(|row| row % 4).collect();
    let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
    let subject = Subject::new::<f32>("cross_entropy", rows, &options);
    is_right(
        tally,
        &subject,
        "row losses",
        &out.row_losses.unwrap_or_default(),
        exact.row_losses,
    );
    let gradient = out.gradient.unwrap_or_default();
    let first = gradient.iter().position(|g| g.is_infinite());
    tally.case(subject.equal("the first gradient that is infinite", &first, &None));
    is_right(tally, &subject, "gradient", &gradient, exact.gradient);
    let argmax = out.argmax.iter().flatten().map(|&c| c as usize);
    tally.near(&subject, &Compared::indices("argmax", argmax, &exact.argmax));
    Ok(())
}

/// Differences have the rounding of the numbers that they are of, which is up to 2^104, and may be beyond f32's range.
fn is_right(tally: &mut Tally<'_>, subject: &Subject<'_>, output: &'static str, got: &[f32], exact: Vec<f64>) {
    let seen = |(&got, exact): (&f32, &f64)| if exact.is_finite() { got.clamp(-MOST, MOST) } else { got };
    let got: Vec<f32> = got.iter().zip(&exact).map(seen).collect();
    let exact = exact.into_iter().map(|v| {
        if v.is_finite() {
            v.clamp(-f64::from(MOST), MOST.into())
        } else {
            v
        }
    });
    tally.within(subject, &Compared::new(output, &got, exact.collect()), |_, exact| {
        let off = if exact.abs() > 2f64.powi(100) {
            2f64.powi(105)
        } else {
            2e-6 * exact.abs().max(1.0)
        };
        (off, ulp_of(exact.abs().max(1.0), Dtype::F32))
    });
}
