//! Where a row's elements are, and the values used: logits scaled, biased, capped and masked.

use crate::error::{EncodeError, check_length};
use crate::ops::adjust::{Adjust, Mask, Scale};
use crate::ops::values::{Values, check_finite};
use crate::ragged::RowLayout;
use crate::rows::Rows;

/// Indices of a row's elements in the batch, in the order of its classes.
#[doc(hidden)]
pub fn places(rows: &Rows, row: usize) -> impl Iterator<Item = usize> + use<> {
    RowLayout::from(*rows).places(row)
}

pub(super) fn check_logits<T>(logits: &[T], rows: &Rows) -> Result<(), EncodeError> {
    rows.check_whole("the reference")?;
    check_length("logits", rows.elements()?, logits.len())
}

/// The error of an option whose numbers are in a buffer, which a call on host slices does not have.
pub(super) fn no_buffer(a: &'static str, why: &'static str) -> EncodeError {
    let b = "slices on the host";
    EncodeError::Conflict { a, b, why }
}

pub(super) fn on_host<'a>(values: &'a Values, what: &'static str, expected: usize) -> Result<&'a [f32], EncodeError> {
    match values {
        Values::Host(values) => {
            check_length(what, expected, values.len())?;
            Ok(values)
        }
        Values::Buffer => Err(no_buffer("Values::Buffer", "there is no buffer; use Values::Host")),
    }
}

pub(super) fn class_values<'a>(
    values: Option<&'a Values>,
    what: &'static str,
    rows: &Rows,
) -> Result<Option<&'a [f32]>, EncodeError> {
    values.map(|values| on_host(values, what, rows.classes())).transpose()
}

/// The value for a class, or 1.
pub(super) fn weight_of(values: Option<&[f32]>, class: usize) -> f64 {
    values.map_or(1.0, |values| values[class].into())
}

/// `weight · x`, and 0 for a weight of exactly 0, whatever x.
pub(super) fn weigh(weight: f64, x: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * x }
}

/// A [`Mask`] with its numbers.
pub(super) enum MaskValues<'a> {
    None,
    Causal { group: usize, offset: i64 },
    Classes(&'a [f32]),
    Full(&'a [f32]),
}

impl<'a> MaskValues<'a> {
    pub(super) fn new(mask: &'a Mask, what: &'static str, rows: &Rows) -> Result<Self, EncodeError> {
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

/// A result of two numbers which, if these are finite, is within f32's range.
fn saturated(result: f64, a: f64, b: f64) -> f64 {
    let most = f64::from(f32::MAX);
    if a.is_finite() && b.is_finite() {
        result.clamp(-most, most)
    } else {
        result
    }
}

fn saturated_sum(a: f64, b: f64) -> f64 {
    saturated(a + b, a, b)
}

/// A product beyond f32's range is one of the largest 2^17 numbers in it: the larger, the larger x, of which the last 13 bits do
/// not matter. No other product is as large.
fn saturated_product(scale: f64, x: f64) -> f64 {
    let (product, most) = (scale * x, f32::MAX.to_bits());
    if !scale.is_finite() {
        return f64::NAN;
    }
    if !x.is_finite() || scale.abs() <= 1.0 {
        return product;
    }
    let number = |bits: u32| f64::from(f32::from_bits(bits)).copysign(product);
    if (product as f32).is_infinite() {
        return number(most - ((most - (x.abs() as f32).to_bits().min(most)) >> 13));
    }
    let least = number(most - (1 << 17));
    if product.abs() > least.abs() { least } else { product }
}

/// An [`Adjust`] with its numbers.
pub(super) struct Adjuster<'a> {
    scale: f64,
    scales: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    cap: Option<f64>,
    mask: MaskValues<'a>,
}

impl<'a> Adjuster<'a> {
    pub(super) fn new(adjust: &'a Adjust, rows: &Rows) -> Result<Self, EncodeError> {
        if let Scale::PerRow(values) = &adjust.scale {
            check_finite("adjust.scale", Some(values))?;
        }
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

    pub(super) fn scale(&self, row: usize) -> f64 {
        self.scales.map_or(self.scale, |scales| scales[row].into())
    }

    /// `scale · x + bias`.
    pub(super) fn scaled(&self, row: usize, class: usize, x: f64) -> f64 {
        let scaled = saturated_product(self.scale(row), x);
        self.bias
            .map_or(scaled, |bias| saturated_sum(scaled, bias[class].into()))
    }

    /// The adjusted value `a` of the element at `place`.
    pub(super) fn adjust(&self, row: usize, class: usize, place: usize, x: f64) -> f64 {
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
            MaskValues::Classes(mask) => saturated_sum(v, mask[class].into()),
            MaskValues::Full(mask) => saturated_sum(v, mask[place].into()),
        }
    }

    /// `g · da/dx`, saturated.
    pub(super) fn grad(&self, g: f64, row: usize, class: usize, x: f64) -> f64 {
        let factor = self.adjust_grad(row, class, x);
        saturated(g * factor, g, factor)
    }

    /// `da/dx`.
    pub(super) fn adjust_grad(&self, row: usize, class: usize, x: f64) -> f64 {
        let v = self.scaled(row, class, x);
        let softcap_grad = match self.cap {
            // 1 - tanh^2 without what cancels, and 0 where the kernels have 0.
            Some(cap) if v.is_finite() => match (-2.0 * (v / cap).abs()).exp() {
                e if e < (-87f64).exp() => 0.0,
                e => 4.0 * e / (1.0 + e).powi(2),
            },
            _ => 1.0,
        };
        self.scale(row) * softcap_grad
    }

    /// A row's adjusted values.
    pub(super) fn row<T: Copy + Into<f64>>(&self, logits: &[T], rows: &RowLayout, row: usize) -> Vec<f64> {
        rows.places(row)
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
        for (i, a) in places(&rows, row).zip(adjuster.row(logits, &rows.into(), row)) {
            result[i] = a;
        }
    }
    Ok(result)
}
