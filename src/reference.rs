//! The same operations in f64 on the CPU, one plain function each. The kernels are tested against them, and your tests may
//! use them too. Here, too, the largest logit is subtracted first; sums are taken from left to right.
//!
//! ```
//! use wgpu_softmax::{reference, Rows, Softmax};
//! let y = reference::softmax(&[0.0, 3f64.ln()], Rows::new(1, 2), &Softmax::default())?;
//! assert!((y[0] - 0.25).abs() < 1e-15 && (y[1] - 0.75).abs() < 1e-15);
//! # Ok::<(), wgpu_softmax::EncodeError>(())
//! ```

mod binary_cross_entropy;
mod cross_entropy;
mod softmax;
#[cfg(test)]
mod tests;

pub use binary_cross_entropy::{BinaryCrossEntropyReference, binary_cross_entropy_with_logits};
pub use cross_entropy::{CrossEntropyReference, cross_entropy, cross_entropy_soft};
pub use softmax::{logsumexp, logsumexp_grad, softmax, softmax_grad, softmax_jacobian};

use crate::adjust::{Adjust, Mask, Scale};
use crate::error::{EncodeError, check_length};
use crate::rows::Rows;
use crate::softmax::FullyMasked;
use crate::values::{NO_BUFFER, Values};

/// Indices of a row's elements in the batch, in the order of its classes.
#[doc(hidden)]
pub fn places(rows: &Rows, row: usize) -> impl Iterator<Item = usize> + use<> {
    let (outer, step) = (row / rows.inner(), rows.inner());
    let start = outer * rows.outer_stride() + row % rows.inner();
    (0..rows.classes()).map(move |class| start + class * step)
}

fn check_logits<T>(logits: &[T], rows: &Rows) -> Result<(), EncodeError> {
    check_length("logits", rows.elements()?, logits.len())
}

/// The error of an option whose numbers are in a buffer, of which a call on host slices has none.
fn no_buffer(a: &'static str, why: &'static str) -> EncodeError {
    let b = "slices on the host";
    EncodeError::Conflict { a, b, why }
}

fn on_host<'a>(values: &'a Values, what: &'static str, expected: usize) -> Result<&'a [f32], EncodeError> {
    match values {
        Values::Host(values) => {
            check_length(what, expected, values.len())?;
            Ok(values)
        }
        Values::Buffer => Err(NO_BUFFER),
    }
}

fn class_values<'a>(
    values: Option<&'a Values>,
    what: &'static str,
    rows: &Rows,
) -> Result<Option<&'a [f32]>, EncodeError> {
    values.map(|values| on_host(values, what, rows.classes())).transpose()
}

/// The value for a class, or 1.
fn weight_of(values: Option<&[f32]>, class: usize) -> f64 {
    values.map_or(1.0, |values| values[class].into())
}

/// `weight · x`, and 0 for a weight of exactly 0, whatever x.
fn weigh(weight: f64, x: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * x }
}

/// A [`Mask`] with its numbers.
enum MaskValues<'a> {
    None,
    Causal { group: usize, offset: i64 },
    Classes(&'a [f32]),
    Full(&'a [f32]),
}

impl<'a> MaskValues<'a> {
    fn new(mask: &'a Mask, what: &'static str, rows: &Rows) -> Result<Self, EncodeError> {
        Ok(match mask {
            Mask::None => Self::None,
            Mask::Causal { group: 0, .. } => {
                return Err(EncodeError::BadNumber {
                    option: "mask: Causal, group",
                    value: "0".into(),
                    must: "at least 1",
                });
            }
            &Mask::Causal { group, offset } => Self::Causal { group, offset },
            Mask::Classes(values) => Self::Classes(on_host(values, what, rows.classes())?),
            Mask::Full(values) => Self::Full(on_host(values, what, rows.elements()?)?),
        })
    }
}

/// An [`Adjust`] with its numbers.
struct Adjuster<'a> {
    scale: f64,
    scales: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    cap: Option<f64>,
    mask: MaskValues<'a>,
}

impl<'a> Adjuster<'a> {
    fn new(adjust: &'a Adjust, rows: &Rows) -> Result<Self, EncodeError> {
        let (scale, scales) = match &adjust.scale {
            Scale::Number(number) => (f64::from(*number), None),
            Scale::PerRow(values) => (1.0, Some(on_host(values, "adjust.scale", rows.count())?)),
        };
        Ok(Self {
            scale,
            scales,
            bias: class_values(adjust.bias.as_ref(), "adjust.bias", rows)?,
            cap: adjust.softcap.map(f64::from),
            mask: MaskValues::new(&adjust.mask, "adjust.mask", rows)?,
        })
    }

    fn scale(&self, row: usize) -> f64 {
        self.scales.map_or(self.scale, |scales| scales[row].into())
    }

    /// `scale · x + bias`.
    fn scaled(&self, row: usize, class: usize, x: f64) -> f64 {
        self.scale(row) * x + self.bias.map_or(0.0, |bias| bias[class].into())
    }

    /// The adjusted value `a` of the element at `place`.
    fn adjust(&self, row: usize, class: usize, place: usize, x: f64) -> f64 {
        let v = self.scaled(row, class, x);
        let v = match self.cap {
            Some(cap) if v.is_finite() => cap * (v / cap).tanh(),
            _ => v,
        };
        match self.mask {
            MaskValues::None => v,
            MaskValues::Causal { group, offset } if class as i128 > (row % group) as i128 + i128::from(offset) => {
                v + f64::NEG_INFINITY
            }
            MaskValues::Causal { .. } => v,
            MaskValues::Classes(mask) => v + f64::from(mask[class]),
            MaskValues::Full(mask) => v + f64::from(mask[place]),
        }
    }

    /// `da/dx`.
    fn adjust_grad(&self, row: usize, class: usize, x: f64) -> f64 {
        let v = self.scaled(row, class, x);
        let softcap_grad = match self.cap {
            Some(cap) if v.is_finite() => 1.0 - (v / cap).tanh().powi(2),
            _ => 1.0,
        };
        self.scale(row) * softcap_grad
    }

    /// A row's adjusted values.
    fn row<T: Copy + Into<f64>>(&self, logits: &[T], rows: &Rows, row: usize) -> Vec<f64> {
        places(rows, row)
            .enumerate()
            .map(|(c, i)| self.adjust(row, c, i, logits[i].into()))
            .collect()
    }
}

/// The adjusted values `softcap(scale · x + bias) + mask`, laid out as the logits are; padding is 0.
///
/// # Errors
/// An invalid shape, slices that do not fit it, and [`Values::Buffer`].
pub fn adjusted<T: Copy + Into<f64>>(logits: &[T], rows: Rows, adjust: &Adjust) -> Result<Vec<f64>, EncodeError> {
    check_logits(logits, &rows)?;
    let adjuster = Adjuster::new(adjust, &rows)?;
    let mut result = vec![0.0; logits.len()];
    for row in 0..rows.count() {
        for (i, a) in places(&rows, row).zip(adjuster.row(logits, &rows, row)) {
            result[i] = a;
        }
    }
    Ok(result)
}

/// A row, as its softmax sees it.
enum Row {
    /// All its results are NaN: it contains a NaN or +∞, or it contains only −∞ with [`FullyMasked::Nan`].
    Nan,
    /// Its probabilities are 0: it contains only −∞, with [`FullyMasked::Zeros`].
    Zeros,
    /// `shifted` are the values less the largest, and `exp_sum` is the sum of their exponentials. A row of only −∞ with
    /// [`FullyMasked::Uniform`] is one of these too, with equal values.
    Ordinary { shifted: Vec<f64>, exp_sum: f64, lse: f64 },
}

impl Row {
    fn new(a: &[f64], fully_masked: FullyMasked) -> Self {
        if a.iter().any(|v| v.is_nan() || *v == f64::INFINITY) {
            return Self::Nan;
        }
        let max = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY {
            let classes = a.len() as f64;
            return match fully_masked {
                FullyMasked::Nan => Self::Nan,
                FullyMasked::Zeros => Self::Zeros,
                FullyMasked::Uniform => Self::Ordinary {
                    shifted: vec![0.0; a.len()],
                    exp_sum: classes,
                    lse: -classes.ln(),
                },
            };
        }
        let shifted: Vec<f64> = a.iter().map(|v| v - max).collect();
        let exp_sum: f64 = shifted.iter().map(|v| v.exp()).sum();
        let lse = max + exp_sum.ln();
        Self::Ordinary { shifted, exp_sum, lse }
    }

    /// Whether the class is −∞: its probability is 0, and the other classes' are as if it were absent.
    fn is_masked(&self, class: usize) -> bool {
        match self {
            Self::Nan => false,
            Self::Zeros => true,
            Self::Ordinary { shifted, .. } => shifted[class] == f64::NEG_INFINITY,
        }
    }

    fn probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary { shifted, exp_sum, .. } => shifted[class].exp() / exp_sum,
        }
    }

    fn log_probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary { shifted, exp_sum, .. } => shifted[class] - exp_sum.ln(),
        }
    }

    fn lse(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary { lse, .. } => *lse,
        }
    }

    fn entropy(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary { shifted, exp_sum, .. } => {
                let inner: f64 = shifted.iter().map(|&v| weigh(v.exp(), v)).sum();
                exp_sum.ln() - inner / exp_sum
            }
        }
    }
}
