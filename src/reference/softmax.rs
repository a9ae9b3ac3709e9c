//! The softmax family and its gradients.

use super::adjusted::*;
use super::row::Row;
use crate::error::{EncodeError, check_length};
use crate::ops::adjust::Adjust;
use crate::ops::row_op::FullyMasked;
use crate::ops::softmax::Softmax;
use crate::ragged::RowLayout;
use crate::rows::Rows;

/// Softmax, and with [`Softmax::log`] log-softmax: the formulas and special values are those of [`Softmax`].
///
/// # Errors
/// An invalid shape, slices that do not fit it, and [`Values::Buffer`](crate::Values::Buffer).
pub fn softmax<T: Copy + Into<f64>>(
    logits: &[T],
    rows: impl Into<RowLayout>,
    options: &Softmax,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows = layout.rows;
    check_logits(logits, &rows)?;
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let mut result = vec![0.0; logits.len()];
    for number in 0..rows.count() {
        let row = Row::new(&adjuster.row(logits, &layout, number), options.fully_masked);
        for (c, i) in layout.places(number).enumerate() {
            result[i] = if options.log {
                row.log_probability(c)
            } else {
                row.probability(c)
            };
        }
    }
    Ok(result)
}

/// The gradient with respect to the logits, from the result of [`softmax`] and the gradient g with respect to that
/// result: `y_c (g_c − Σ g y)`, and with `log` `g_c − e^y_c Σ g`, times `da/dx` where the logits and their [`Adjust`]
/// are given.
///
/// Classes with a probability of 0 get a gradient of exactly 0 and take no part in the sums. A row with a NaN or +∞ in
/// its result, or with a sum that is NaN, is NaN throughout. Padding is 0.
///
/// # Errors
/// An invalid shape, slices that do not fit it, and [`Values::Buffer`](crate::Values::Buffer).
pub fn softmax_grad<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    result: &[T],
    g: &[U],
    rows: impl Into<RowLayout>,
    log: bool,
    logits_and_adjust: Option<(&[f64], &Adjust)>,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows = layout.rows;
    check_length("result", rows.elements()?, result.len())?;
    check_length("upstream", result.len(), g.len())?;
    let adjusted = match logits_and_adjust {
        Some((logits, adjust)) => {
            check_logits(logits, &rows)?;
            Some((logits, Adjuster::new(adjust, &rows)?))
        }
        None => None,
    };
    let masked = if log { f64::NEG_INFINITY } else { 0.0 };
    let mut gradient = vec![0.0; result.len()];
    for row in 0..rows.count() {
        let (mut sum, mut is_nan_row) = (0.0, false);
        for i in layout.places(row) {
            let (y, g): (f64, f64) = (result[i].into(), g[i].into());
            is_nan_row |= y.is_nan() || y == f64::INFINITY;
            if y != masked {
                sum += if log { g } else { g * y };
            }
        }
        is_nan_row |= sum.is_nan();
        for (c, i) in layout.places(row).enumerate() {
            let (y, g): (f64, f64) = (result[i].into(), g[i].into());
            let g = if is_nan_row {
                f64::NAN
            } else if y == masked {
                0.0
            } else if log {
                // g − e^y Σ g, in which e^y may be all but 1.
                if y > -0.5 {
                    (g - sum) - y.exp_m1() * sum
                } else {
                    g - y.exp() * sum
                }
            } else {
                y * (g - sum)
            };
            gradient[i] = match &adjusted {
                Some((logits, adjuster)) if !is_nan_row && y != masked => adjuster.grad(g, row, c, logits[i]),
                _ => g,
            };
        }
    }
    Ok(gradient)
}

/// The derivatives `∂y_i/∂x_j = y_i (δ_ij − y_j) · da_j/dx_j` of [`softmax`], and with [`Softmax::log`] those of
/// log-softmax, `(δ_ij − y_j) · da_j/dx_j`; they are 0 where class i or class j is −∞.
///
/// Those of row r are at `(r · classes + i) · classes + j`, whatever the layout of the logits.
///
/// # Errors
/// An invalid shape, slices that do not fit it, [`Values::Buffer`](crate::Values::Buffer), and
/// [`EncodeError::TooLarge`] where the derivatives cannot be counted.
pub fn softmax_jacobian<T: Copy + Into<f64>>(
    logits: &[T],
    rows: Rows,
    options: &Softmax,
) -> Result<Vec<f64>, EncodeError> {
    check_logits(logits, &rows)?;
    let adjuster = Adjuster::new(&options.adjust, &rows)?;
    let classes = rows.classes();
    let elements = Rows::new(rows.count().saturating_mul(classes), classes).elements()?;
    let mut jacobian = Vec::with_capacity(elements);
    for number in 0..rows.count() {
        let row = Row::new(&adjuster.row(logits, &rows.into(), number), options.fully_masked);
        for i in 0..classes {
            for (j, place) in places(&rows, number).enumerate() {
                if row.is_masked(i) || row.is_masked(j) {
                    jacobian.push(0.0);
                    continue;
                }
                let y_i = if options.log { 1.0 } else { row.probability(i) };
                let delta_minus_y = if i == j { row.complement(j) } else { -row.probability(j) };
                jacobian.push(adjuster.grad(y_i * delta_minus_y, number, j, logits[place].into()));
            }
        }
    }
    Ok(jacobian)
}

/// `lse = m + ln d` of each row: NaN for a row with a NaN or +∞; NaN, −∞ or −ln C for a row of only −∞.
///
/// # Errors
/// An invalid shape, slices that do not fit it, and [`Values::Buffer`](crate::Values::Buffer).
pub fn logsumexp<T: Copy + Into<f64>>(
    logits: &[T],
    rows: impl Into<RowLayout>,
    adjust: &Adjust,
    fully_masked: FullyMasked,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows = layout.rows;
    check_logits(logits, &rows)?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let lse = |row| Row::new(&adjuster.row(logits, &layout, row), fully_masked).lse();
    Ok((0..rows.count()).map(lse).collect())
}

/// The gradient of [`logsumexp`], `g y_c · da/dx`, with one upstream gradient for each row in `g`. Classes of −∞ get
/// exactly 0, and so does padding.
///
/// # Errors
/// An invalid shape, slices that do not fit it, and [`Values::Buffer`](crate::Values::Buffer).
pub fn logsumexp_grad<T: Copy + Into<f64>>(
    logits: &[T],
    g: &[f64],
    rows: impl Into<RowLayout>,
    adjust: &Adjust,
    fully_masked: FullyMasked,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows = layout.rows;
    check_logits(logits, &rows)?;
    check_length("upstream", rows.count(), g.len())?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let mut gradient = vec![0.0; logits.len()];
    for (number, g) in g.iter().enumerate() {
        let row = Row::new(&adjuster.row(logits, &layout, number), fully_masked);
        for (c, i) in layout.places(number).enumerate() {
            if !row.is_masked(c) {
                gradient[i] = adjuster.grad(g * row.probability(c), number, c, logits[i].into());
            }
        }
    }
    Ok(gradient)
}
