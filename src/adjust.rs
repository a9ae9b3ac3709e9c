//! From a stored logit to the value used: scale, bias, softcap and mask.

use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::kernel::Slice;
use crate::operand::{Extent, Operand, Slot};
use crate::rows::Rows;
use crate::shader::{Params, Shaping};
use crate::transfer::Matrix;
use crate::values::{NO_BUFFER, Supply, Values, check_number, supplied};

/// What logits are multiplied by: the inverse of a temperature; −1 for softmin.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Scale {
    /// The same for all.
    Number(f32),
    /// One for each row.
    PerRow(Values),
}

impl Default for Scale {
    fn default() -> Self {
        Self::Number(1.0)
    }
}

/// What is added last, f32; −∞ takes a class out.
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
}

/// `a = softcap(scale · x + bias) + mask`, with `softcap(v) = cap · tanh(v / cap)`; each step is left out unless asked for.
///
/// Gradients are with respect to the stored logit x: `da/dx = scale · (1 − tanh²((scale · x + bias) / cap))`.
/// Infinite and NaN logits are known by their stored bits: −∞ stays −∞ through a softcap (a negative scale turns it),
/// and `da/dx` is the scale there.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Adjust {
    /// Multiplies the logits.
    pub scale: Scale,
    /// Added to each class's scaled logits.
    pub bias: Option<Values>,
    /// Bounds the logits softly to −cap ..= cap.
    pub softcap: Option<f32>,
    /// Added last.
    pub mask: Mask,
}

/// The buffers of an [`Adjust`]'s [`Values::Buffer`]s, f32.
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
    /// `softmin` is the softmax of the logits times −1.
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
    pub(crate) shaping: Shaping,
    /// The numbers of it, the others being 0.
    pub(crate) params: Params,
    scale: Option<Supply>,
    bias: Option<Supply>,
    mask: Option<Supply>,
}

impl Adjusted {
    pub(crate) fn new(gpu: &Gpu, rows: Rows, adjust: &Adjust) -> Result<Self, EncodeError> {
        let (count, classes, elements) = (rows.count(), rows.classes(), rows.elements()?);
        let supply = |slot, name, extent, count, values: &Values| Supply::new(gpu, slot, name, extent, count, values);
        let (number, scale) = match &adjust.scale {
            Scale::Number(number) => (*number, None),
            Scale::PerRow(v) => (
                1.0,
                Some(supply(Slot::RowScale, "adjust.scale", Extent::Row, count, v)?),
            ),
        };
        check_number("scale", number, "finite", true)?;
        let by_class = Extent::Words(classes);
        let bias = (adjust.bias.as_ref()).map(|v| supply(Slot::Bias, "adjust.bias", by_class, classes, v));
        let cap = adjust.softcap.unwrap_or(1.0);
        check_number("softcap", cap, "finite and more than 0", cap > 0.0)?;
        let (kind, mask) = match &adjust.mask {
            Mask::None => (0, None),
            Mask::Causal { .. } => (1, None),
            Mask::Classes(v) => (2, Some(supply(Slot::Mask, "adjust.mask", by_class, classes, v)?)),
            Mask::Full(v) => (
                3,
                Some(supply(Slot::Mask, "adjust.mask", Extent::Matrix(4), elements, v)?),
            ),
        };
        let (group, offset) = match adjust.mask {
            Mask::Causal { group: 0, .. } => {
                return Err(EncodeError::BadNumber {
                    option: "mask: Causal, group",
                    value: "0".into(),
                    must: "at least 1",
                });
            }
            Mask::Causal { group, offset } => {
                // Farther than any class is as far as any class.
                let far = i64::from(i32::MAX / 2);
                let group = u32::try_from(group).unwrap_or(u32::MAX).min(i32::MAX as u32 / 2);
                (group, offset.clamp(-far, far) as i32)
            }
            _ => (1, 0),
        };
        let is_shaped = number != 1.0 || *adjust != Adjust::scaled(number);
        Ok(Self {
            shaping: Shaping {
                is_shaped,
                softcap: adjust.softcap.is_some(),
                mask: kind,
                is_slope: false,
            },
            params: Params {
                scale: number,
                softcap: cap,
                softcap_inverse: cap.recip(),
                causal_group: group,
                causal_offset: offset,
                ..Params::default()
            },
            scale,
            bias: bias.transpose()?,
            mask,
        })
    }

    /// For a batch on the host, whose full mask travels with the logits.
    pub(crate) fn on_host<'v>(
        gpu: &Gpu,
        rows: Rows,
        adjust: &'v Adjust,
    ) -> Result<(Self, Option<Matrix<'v>>), EncodeError> {
        let scale = matches!(adjust.scale, Scale::PerRow(Values::Buffer));
        if scale || adjust.mask.is_buffer() || adjust.bias == Some(Values::Buffer) {
            return Err(NO_BUFFER);
        }
        let Mask::Full(Values::Host(values)) = &adjust.mask else {
            return Ok((Self::new(gpu, rows, adjust)?, None));
        };
        let matrix = Matrix::new(Slot::Mask, "adjust.mask", values, &rows)?;
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
        let mask = (self.shaping.mask >= 2).then_some(Slot::Mask);
        let others = [&self.scale, &self.bias].into_iter().flatten().map(Supply::slot);
        others.chain(mask)
    }

    pub(crate) fn operands<'a>(&'a self, buffers: &AdjustBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let all = [
            supplied(&self.scale, "adjust.scale", buffers.scale)?,
            supplied(&self.bias, "adjust.bias", buffers.bias)?,
            supplied(&self.mask, "adjust.mask", buffers.mask)?,
        ];
        Ok(all.into_iter().flatten().collect())
    }
}
