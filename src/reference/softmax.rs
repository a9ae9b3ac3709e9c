//! The softmax family and its gradients.

use super::adjusted::*;
use super::row::Row;
use crate::error::{EncodeError, check_length};
use crate::ops::adjust::Adjust;
use crate::ops::logsumexp::LogSumExp;
use crate::ops::row_op::FullyMasked;
use crate::ops::sink::Sink;
use crate::ops::softmax::Softmax;
use crate::ops::values::Values;
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
    let rows_of = SinkRows::of(logits, &layout, options)?;
    let mut result = vec![0.0; logits.len()];
    for number in 0..layout.rows.count() {
        let row = rows_of.row(number);
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

/// The product of the Hessian of `Σ g y`, or with `log` of `Σ g ln y`, and a direction v, from the result of [`softmax`]: the formulas
/// are those of [`SoftmaxGrad::hessian_vector`](crate::SoftmaxGrad::hessian_vector), for logits used as they are.
///
/// # Errors
/// An invalid shape, and slices that do not fit it.
pub fn softmax_hvp<T: Copy + Into<f64>>(
    result: &[T],
    g: &[T],
    direction: &[T],
    rows: Rows,
    log: bool,
) -> Result<Vec<f64>, EncodeError> {
    check_length("result", rows.elements()?, result.len())?;
    check_length("upstream", result.len(), g.len())?;
    check_length("direction", result.len(), direction.len())?;
    let mut product = vec![0.0; result.len()];
    for row in 0..rows.count() {
        let of = |i: usize| -> (f64, f64, f64) {
            let y: f64 = result[i].into();
            (if log { y.exp() } else { y }, g[i].into(), direction[i].into())
        };
        let all: Vec<usize> = places(&rows, row).collect();
        let is_there = |y: f64| if log { y != f64::NEG_INFINITY } else { y != 0.0 };
        let there = || all.iter().copied().filter(|&i| is_there(result[i].into()));
        let t: f64 = there().map(|i| of(i).0 * of(i).2).sum();
        let s: f64 = there().map(|i| if log { of(i).1 } else { of(i).0 * of(i).1 }).sum();
        let u = there().map(|i| of(i).0 * of(i).2 * of(i).1).sum::<f64>() - t * s;
        for i in there() {
            let (y, g, v) = of(i);
            product[i] = if log {
                -y * (v - t) * s
            } else {
                y * ((v - t) * (g - s) - u)
            };
        }
    }
    Ok(product)
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
    let layout = rows.into();
    let rows_of = SinkRows::of(logits, &layout, options)?;
    let classes = rows.classes();
    let elements = Rows::new(rows.count().saturating_mul(classes), classes).elements()?;
    let mut jacobian = Vec::with_capacity(elements);
    for number in 0..rows.count() {
        let row = rows_of.row(number);
        for i in 0..classes {
            for (j, place) in places(&rows, number).enumerate() {
                if row.is_masked(i) || row.is_masked(j) {
                    jacobian.push(0.0);
                    continue;
                }
                let y_i = if options.log { 1.0 } else { row.probability(i) };
                let delta_minus_y = if i == j { row.complement(j) } else { -row.probability(j) };
                jacobian.push((rows_of.adjuster).grad(y_i * delta_minus_y, number, j, logits[place].into()));
            }
        }
    }
    Ok(jacobian)
}

/// The rows of a batch, with their sinks.
struct SinkRows<'a, T> {
    logits: &'a [T],
    layout: &'a RowLayout,
    adjuster: Adjuster<'a>,
    sink: Option<&'a Sink>,
    fully_masked: FullyMasked,
}

impl<'a, T: Copy + Into<f64>> SinkRows<'a, T> {
    fn new(
        logits: &'a [T],
        layout: &'a RowLayout,
        (adjust, sink, fully_masked): (&'a Adjust, Option<&'a Sink>, FullyMasked),
    ) -> Result<Self, EncodeError> {
        check_logits(logits, &layout.rows)?;
        if let Some(Sink::PerRow(values)) = sink {
            on_host(values, "sink", layout.rows.count())?;
        }
        Ok(Self {
            logits,
            layout,
            adjuster: Adjuster::new(adjust, &layout.rows)?,
            sink,
            fully_masked,
        })
    }

    fn of(logits: &'a [T], layout: &'a RowLayout, options: &'a Softmax) -> Result<Self, EncodeError> {
        Self::new(
            logits,
            layout,
            (&options.adjust, options.sink.as_ref(), options.fully_masked),
        )
    }

    fn row(&self, number: usize) -> Row {
        let sink = match self.sink {
            Some(Sink::Number(sink)) => Some(f64::from(*sink)),
            Some(Sink::PerRow(Values::Host(sinks))) => Some(sinks[number].into()),
            Some(Sink::PerRow(Values::Buffer)) | None => None,
        };
        let a = self.adjuster.row(self.logits, self.layout, number);
        Row::with_sink(&a, sink, self.fully_masked)
    }
}

/// The probability `e^(σ − lse)` of each row's sink: the gradient of its value is `−p Σ g y` after a softmax, `−p Σ g` after a
/// log-softmax, with g only of classes that are not −∞, and `p g` after logsumexp.
///
/// # Errors
/// As [`softmax`].
pub fn sink_probabilities<T: Copy + Into<f64>>(
    logits: &[T],
    rows: impl Into<RowLayout>,
    options: &Softmax,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows_of = SinkRows::of(logits, &layout, options)?;
    Ok((0..layout.rows.count())
        .map(|number| rows_of.row(number).sink_probability())
        .collect())
}

/// `lse = m + ln d` of each row: NaN for a row with a NaN or +∞; NaN, −∞ or −ln C for a row of only −∞, unless it has a sink.
///
/// # Errors
/// As [`softmax`].
pub fn logsumexp<T: Copy + Into<f64>>(
    logits: &[T],
    rows: impl Into<RowLayout>,
    options: &LogSumExp,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows_of = SinkRows::new(
        logits,
        &layout,
        (&options.adjust, options.sink.as_ref(), options.fully_masked),
    )?;
    Ok((0..layout.rows.count())
        .map(|number| rows_of.row(number).lse())
        .collect())
}

/// The gradient of [`logsumexp`], `g y_c · da/dx`, with one upstream gradient for each row in `g`. Classes of −∞ get
/// exactly 0, and so does padding.
///
/// # Errors
/// As [`softmax`].
pub fn logsumexp_grad<T: Copy + Into<f64>>(
    logits: &[T],
    g: &[f64],
    rows: impl Into<RowLayout>,
    options: &LogSumExp,
) -> Result<Vec<f64>, EncodeError> {
    let layout = rows.into();
    let rows_of = SinkRows::new(
        logits,
        &layout,
        (&options.adjust, options.sink.as_ref(), options.fully_masked),
    )?;
    check_length("upstream", layout.rows.count(), g.len())?;
    let mut gradient = vec![0.0; logits.len()];
    for (number, g) in g.iter().enumerate() {
        let row = rows_of.row(number);
        for (c, i) in layout.places(number).enumerate() {
            if !row.is_masked(c) {
                gradient[i] = (rows_of.adjuster).grad(g * row.probability(c), number, c, logits[i].into());
            }
        }
    }
    Ok(gradient)
}
