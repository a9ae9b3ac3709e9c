//! From a stored logit to the value used: scale, bias, softcap and mask.

use super::values::{INVERTIBLE, NO_BUFFER, OptionBuffer, Values, check_finite, check_number, option_operand};
use crate::dispatch::{Extent, HostMatrix, Operand, Slice};
use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::rows::Rows;
use crate::shader::{AdjustSpec, MaskKind, Params, Slot};

/// What logits are multiplied by: the inverse of a temperature; −1 for softmin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// The same for all.
    Number(f32),
    /// One for each row. One of a device buffer that is not finite makes its row NaN.
    PerRow(Values),
}

impl Default for Scale {
    fn default() -> Self {
        Self::Number(1.0)
    }
}

/// What is added last, in f32; −∞ excludes a class.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub enum Mask {
    /// Nothing.
    #[default]
    None,
    /// Row r of each `group` rows sees classes `0 ..= r + offset`; the others get −∞ added (so that a NaN or +∞ among
    /// them shows, as with any other mask).
    Causal {
        /// Rows of a group.
        group: usize,
        /// Added to the row's number.
        offset: i64,
    },
    /// One value for each class.
    Classes(Values),
    /// Laid out as the logits are.
    Full(Values),
}

impl Mask {
    pub(crate) fn is_buffer(&self) -> bool {
        matches!(self, Self::Classes(Values::Buffer) | Self::Full(Values::Buffer))
    }

    pub(crate) fn values(&self) -> Option<&Values> {
        match self {
            Self::None | Self::Causal { .. } => None,
            Self::Classes(values) | Self::Full(values) => Some(values),
        }
    }

    pub(crate) fn kind(&self) -> MaskKind {
        match self {
            Self::None => MaskKind::None,
            Self::Causal { .. } => MaskKind::Causal,
            Self::Classes(_) => MaskKind::PerClass,
            Self::Full(_) => MaskKind::Full,
        }
    }

    /// Its numbers, if it has any.
    pub(crate) fn numbers(
        &self,
        gpu: &Gpu,
        rows: Rows,
        name: &'static str,
    ) -> Result<Option<OptionBuffer>, EncodeError> {
        let (extent, count, values) = match self {
            Self::None | Self::Causal { .. } => return Ok(None),
            Self::Classes(values) => (Extent::Words(rows.whole_classes()), rows.whole_classes(), values),
            Self::Full(values) => (Extent::Matrix(4), rows.elements()?, values),
        };
        OptionBuffer::new(gpu, Slot::Mask, name, extent, count, values).map(Some)
    }
}

/// A causal mask's group and offset as the kernels take them.
fn causal_numbers(mask: &Mask) -> Result<(u32, i32), EncodeError> {
    match *mask {
        Mask::Causal { group: 0, .. } => Err(EncodeError::BadNumber {
            option: "mask: Causal, group",
            value: "0".into(),
            must: "at least 1",
        }),
        Mask::Causal { group, offset } => {
            // A number beyond every class has the same effect as any other such number, so both are clamped.
            let far = i64::from(i32::MAX / 2);
            let group = u32::try_from(group).unwrap_or(u32::MAX).min(i32::MAX as u32 / 2);
            Ok((group, offset.clamp(-far, far) as i32))
        }
        _ => Ok((1, 0)),
    }
}

/// `a = softcap(scale · x + bias) + mask`, with `softcap(v) = cap · tanh(v / cap)`; each step is left out unless asked
/// for.
///
/// Gradients are with respect to the stored logit x: `da/dx = scale · (1 − tanh²((scale · x + bias) / cap))`.
/// Infinite and NaN logits are recognised by their stored bits: −∞ stays −∞ through a softcap, where cap · tanh would be −cap (a
/// negative scale makes it +∞), and `da/dx` is the scale there.
///
/// Finite numbers make no infinity. A sum that is too large for f32 is its largest number, ±3.4028235e38; a product that is too large is
/// one of the largest 2¹⁷ numbers, within 0.8 % of that: the larger, the larger |x|, of which the last 13 bits do not matter. So
/// the largest logit of a row stays the largest: `[20, 19.5, −3, 20]` scaled by 1e38 has the probabilities `[½, 0, 0, ½]`. A gradient
/// that is too large for f32 is ±3.4028235e38.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adjust {
    /// Multiplies the logits.
    pub scale: Scale,
    /// Added to each class's scaled logits.
    pub bias: Option<Values>,
    /// Bounds the logits softly to −cap ..= cap; from 2⁻¹²⁶ to 2¹²⁶.
    pub softcap: Option<f32>,
    /// Added last.
    pub mask: Mask,
}

/// The buffers, of f32, for the options of an [`Adjust`] that are [`Values::Buffer`].
#[derive(Debug, Clone, Copy, Default)]
pub struct AdjustBuffers<'a> {
    /// One for each row; with [`Scale::PerRow`].
    pub scale: Option<Slice<'a>>,
    /// One for each class; with [`Adjust::bias`].
    pub bias: Option<Slice<'a>>,
    /// One for each class, or laid out as the logits are; with [`Mask::Classes`] or [`Mask::Full`].
    pub mask: Option<Slice<'a>>,
}

impl Adjust {
    /// The logits times −1: `softmin` is the softmax of these.
    #[doc(alias = "softmin")]
    pub fn negated() -> Self {
        Self::scaled(-1.0)
    }

    /// The logits times a number.
    pub fn scaled(scale: f32) -> Self {
        Self {
            scale: Scale::Number(scale),
            ..Self::default()
        }
    }
}

/// An [`Adjust`] made ready for a batch.
#[derive(Debug, Clone)]
pub(crate) struct Adjusted {
    pub(crate) spec: AdjustSpec,
    /// The parameters that it sets; the others are 0.
    pub(crate) params: Params,
    scale: Option<OptionBuffer>,
    bias: Option<OptionBuffer>,
    mask: Option<OptionBuffer>,
}

impl Adjusted {
    pub(crate) fn new(gpu: &Gpu, rows: Rows, adjust: &Adjust) -> Result<Self, EncodeError> {
        let (count, classes) = (rows.count(), rows.whole_classes());
        let by_class = Extent::Words(classes);
        let (number, scale) = match &adjust.scale {
            Scale::Number(number) => (*number, None),
            Scale::PerRow(values) => {
                check_finite("adjust.scale", Some(values))?;
                let scale = OptionBuffer::new(gpu, Slot::RowScale, "adjust.scale", Extent::Row, count, values)?;
                (1.0, Some(scale))
            }
        };
        check_number("scale", number, "finite", true)?;
        let cap = adjust.softcap.unwrap_or(1.0);
        check_number("softcap", cap, "from 2^-126 to 2^126", INVERTIBLE.contains(&cap))?;
        let (causal_group, causal_offset) = causal_numbers(&adjust.mask)?;
        let bias = adjust.bias.as_ref();
        let bias = bias.map(|v| OptionBuffer::new(gpu, Slot::Bias, "adjust.bias", by_class, classes, v));
        Ok(Self {
            spec: AdjustSpec {
                is_adjusted: number != 1.0 || *adjust != Adjust::scaled(number),
                softcap: adjust.softcap.is_some(),
                mask: adjust.mask.kind(),
                grad_only: false,
            },
            params: Params {
                scale: number,
                softcap: cap,
                softcap_reciprocal: cap.recip(),
                causal_group,
                causal_offset,
                ..Params::default()
            },
            scale,
            bias: bias.transpose()?,
            mask: adjust.mask.numbers(gpu, rows, "adjust.mask")?,
        })
    }

    /// The same, where the logits are divided by a temperature and not scaled otherwise.
    pub(crate) fn at_temperature(mut self, temperature: f32) -> Self {
        if temperature != 1.0 {
            self.spec.is_adjusted = true;
            self.params.scale = temperature.recip();
        }
        self
    }

    /// For a batch on the host, whose full mask travels with the logits.
    pub(crate) fn on_host<'v>(
        gpu: &Gpu,
        rows: Rows,
        adjust: &'v Adjust,
    ) -> Result<(Self, Option<HostMatrix<'v>>), RunError> {
        let scale = matches!(adjust.scale, Scale::PerRow(Values::Buffer));
        if scale || adjust.mask.is_buffer() || adjust.bias == Some(Values::Buffer) {
            return Err(NO_BUFFER);
        }
        let Mask::Full(Values::Host(values)) = &adjust.mask else {
            return Ok((Self::new(gpu, rows, adjust)?, None));
        };
        let matrix = HostMatrix::new(Slot::Mask, "adjust.mask", values, &rows)?;
        let rest = Adjust {
            mask: Mask::Full(Values::Buffer),
            ..adjust.clone()
        };
        let adjusted = Self {
            mask: None,
            ..Self::new(gpu, rows, &rest)?
        };
        Ok((adjusted, Some(matrix)))
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        let has_mask = matches!(self.spec.mask, MaskKind::PerClass | MaskKind::Full);
        let mask = has_mask.then_some(Slot::Mask);
        let others = [&self.scale, &self.bias].into_iter().flatten().map(OptionBuffer::slot);
        others.chain(mask)
    }

    pub(crate) fn operands<'a>(&'a self, buffers: &AdjustBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let all = [
            option_operand(&self.scale, "adjust.scale", buffers.scale)?,
            option_operand(&self.bias, "adjust.bias", buffers.bias)?,
            option_operand(&self.mask, "adjust.mask", buffers.mask)?,
        ];
        Ok(all.into_iter().flatten().collect())
    }
}
