//! The softmax family and its gradients.

use super::*;
use crate::ops::softmax::Softmax;

/// Softmax, and with [`Softmax::log`] log-softmax: the formulas and special values are those of [`Softmax`].
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn softmax<T: Copy + Into<f64>>(logits: &[T], rows: Rows, options: &Softmax) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let mut result = vec![0.0; logits.len()];
    for number in 0..rows.count() {
        let row = Row::new(&adjuster.row(logits, &rows, number), options.fully_masked);
        for (c, i) in places(&rows, number).enumerate() {
            result[i] = if options.log {
                row.log_probability(c)
            } else {
                row.probability(c)
            };
        }
    }
    Ok(result)
}

/// The gradient with respect to the logits, from what [`softmax`] gave and the gradient g with respect to that:
/// `y_c (g_c − Σ g y)`, and with `log` `g_c − e^y_c Σ g`, times `da/dx` where the logits and their [`Adjust`] are
/// given.
///
/// Classes whose probability is 0 get exactly 0 and are left out of the sums. A row with a NaN or +∞ in the result, or
/// whose sum is NaN, is NaN throughout. Padding is 0.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn softmax_grad<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    result: &[T],
    g: &[U],
    rows: Rows,
    log: bool,
    logits_for_slope: Option<(&[f64], &Adjust)>,
) -> Result<Vec<f64>, EncodeError> {
    check_length("result", rows.elements()?, result.len())?;
    check_length("upstream", result.len(), g.len())?;
    let slopes = match logits_for_slope {
        Some((logits, adjust)) => {
            checked(logits, &rows)?;
            Some((logits, Adjuster::new(adjust, &rows)?))
        }
        None => None,
    };
    let absent = if log { f64::NEG_INFINITY } else { 0.0 };
    let mut gradient = vec![0.0; result.len()];
    for row in 0..rows.count() {
        let (mut sum, mut is_odd) = (0.0, false);
        for i in places(&rows, row) {
            let (y, g): (f64, f64) = (result[i].into(), g[i].into());
            is_odd |= y.is_nan() || y == f64::INFINITY;
            if y != absent {
                sum += if log { g } else { g * y };
            }
        }
        is_odd |= sum.is_nan();
        for (c, i) in places(&rows, row).enumerate() {
            let (y, g): (f64, f64) = (result[i].into(), g[i].into());
            let slope = slopes
                .as_ref()
                .map_or(1.0, |(logits, adjuster)| adjuster.slope(row, c, logits[i]));
            gradient[i] = if is_odd {
                f64::NAN
            } else if y == absent {
                0.0
            } else if log {
                (g - y.exp() * sum) * slope
            } else {
                y * (g - sum) * slope
            };
        }
    }
    Ok(gradient)
}

/// The derivatives `∂y_i/∂x_j = y_i (δ_ij − y_j) · da_j/dx_j` of [`softmax`], and with [`Softmax::log`] those of
/// log-softmax, `(δ_ij − y_j) · da_j/dx_j`, 0 where class i or j is −∞.
///
/// Row r's are at `(r · classes + i) · classes + j`, whatever the layout of the logits.
///
/// # Errors
/// A shape that is none or does not fit the slices, [`Values::Buffer`], and [`EncodeError::TooLarge`] where the
/// derivatives cannot be counted.
pub fn softmax_jacobian<T: Copy + Into<f64>>(
    logits: &[T],
    rows: Rows,
    options: &Softmax,
) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let classes = rows.classes();
    let elements = Rows::new(rows.count().saturating_mul(classes), classes).elements()?;
    let mut jacobian = Vec::with_capacity(elements);
    for number in 0..rows.count() {
        let row = Row::new(&adjuster.row(logits, &rows, number), options.fully_masked);
        for i in 0..classes {
            for (j, place) in places(&rows, number).enumerate() {
                if row.is_absent(i) || row.is_absent(j) {
                    jacobian.push(0.0);
                    continue;
                }
                let first = if options.log { 1.0 } else { row.probability(i) };
                let delta = f64::from(u8::from(i == j));
                let slope = adjuster.slope(number, j, logits[place].into());
                jacobian.push(first * (delta - row.probability(j)) * slope);
            }
        }
    }
    Ok(jacobian)
}

/// `lse = m + ln d` of each row: NaN for a row with a NaN or +∞; NaN, −∞ or −ln C for one of −∞ alone.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn logsumexp<T: Copy + Into<f64>>(
    logits: &[T],
    rows: Rows,
    adjust: &Adjust,
    fully_masked: FullyMasked,
) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let lse = |row| Row::new(&adjuster.row(logits, &rows, row), fully_masked).lse();
    Ok((0..rows.count()).map(lse).collect())
}

/// The gradient of [`logsumexp`], of which g has one upstream gradient a row: `g y_c · da/dx`, exactly 0 for classes of
/// −∞. Padding is 0.
///
/// # Errors
/// A shape that is none or does not fit the slices, and [`Values::Buffer`].
pub fn logsumexp_grad<T: Copy + Into<f64>>(
    logits: &[T],
    g: &[f64],
    rows: Rows,
    adjust: &Adjust,
    fully_masked: FullyMasked,
) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    check_length("upstream", rows.count(), g.len())?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let mut gradient = vec![0.0; logits.len()];
    for (number, g) in g.iter().enumerate() {
        let row = Row::new(&adjuster.row(logits, &rows, number), fully_masked);
        for (c, i) in places(&rows, number).enumerate() {
            if !row.is_absent(c) {
                gradient[i] = g * row.probability(c) * adjuster.slope(number, c, logits[i].into());
            }
        }
    }
    Ok(gradient)
}
