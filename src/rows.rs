//! [`Rows`]: where the rows of a batch lie.

use crate::error::EncodeError;

/// Bytes of a word, an f32 or u32, which is also the largest stored element.
pub(crate) const ELEMENT_BYTES: u64 = 4;
/// The rows of a batch of logits: `outer × classes × inner` elements, of which `(o, c, i)` is at
/// `(o · classes + c) · inner + i`. A row is one `(o, i)`, and has number `o · inner + i`.
///
/// ```
/// use wgpu_softmax::Rows;
/// let batch = Rows::new(32, 10); // 32 rows of 10 classes
/// let images = Rows::of_shape(&[8, 21, 64, 64], 1)?; // 21 classes for each pixel of 8 images
/// assert_eq!((images.count(), images.classes()), (8 * 64 * 64, 21));
/// let padded = Rows::new(32, 10).with_row_stride(16); // 6 elements of padding after each row
/// assert_eq!(padded.elements()?, 31 * 16 + 10);
/// # Ok::<(), wgpu_softmax::EncodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rows {
    outer: usize,
    classes: usize,
    inner: usize,
    row_stride: Option<usize>,
}

impl Rows {
    /// `rows` rows of `classes` neighbouring elements.
    pub const fn new(rows: usize, classes: usize) -> Self {
        Self {
            outer: rows,
            classes,
            inner: 1,
            row_stride: None,
        }
    }

    /// The rows of an N-D array in C order whose `axis` holds the classes; a negative axis counts from the end.
    ///
    /// # Errors
    /// [`EncodeError::AxisOutOfRange`], and [`EncodeError::TooLarge`] where the elements cannot be counted.
    pub fn of_shape(shape: &[usize], axis: isize) -> Result<Self, EncodeError> {
        let dims = shape.len();
        let bad_axis = EncodeError::AxisOutOfRange { axis, dims };
        let axis = if axis < 0 {
            axis.checked_add_unsigned(dims)
        } else {
            Some(axis)
        };
        let axis = axis
            .and_then(|a| usize::try_from(a).ok())
            .filter(|&a| a < dims)
            .ok_or(bad_axis)?;
        let product = |part: &[usize]| part.iter().try_fold(1usize, |all, &n| all.checked_mul(n));
        let (outer, inner) = (product(&shape[..axis]), product(&shape[axis + 1..]));
        let classes = shape[axis];
        let rows = Self {
            outer: outer.unwrap_or(usize::MAX),
            classes,
            inner: inner.unwrap_or(usize::MAX),
            row_stride: None,
        };
        if outer.is_none() || inner.is_none() {
            return Err(rows.too_large());
        }
        Ok(rows)
    }

    /// The same rows, `row_stride` elements apart. The padding between them does not affect any result, and is not
    /// written.
    #[must_use]
    pub const fn with_row_stride(self, row_stride: usize) -> Self {
        Self {
            row_stride: Some(row_stride),
            ..self
        }
    }

    /// Number of rows.
    pub const fn count(&self) -> usize {
        self.outer.saturating_mul(self.inner)
    }

    /// Classes of each row.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Rows side by side: 1 when the class axis is the last.
    pub const fn inner(&self) -> usize {
        self.inner
    }

    /// The number of elements from the first of the first row to the last of the last row, both included.
    ///
    /// # Errors
    /// An invalid shape: [`EncodeError::NoClasses`], [`EncodeError::TooLarge`], [`EncodeError::RowStrideTooSmall`],
    /// [`EncodeError::RowStrideNeedsLastAxis`].
    pub fn elements(&self) -> Result<usize, EncodeError> {
        if self.classes == 0 {
            return Err(EncodeError::NoClasses);
        }
        if let Some(row_stride) = self.row_stride {
            if self.inner != 1 {
                return Err(EncodeError::RowStrideNeedsLastAxis {
                    row_stride,
                    inner: self.inner,
                });
            }
            if row_stride < self.classes {
                return Err(EncodeError::RowStrideTooSmall {
                    row_stride,
                    classes: self.classes,
                });
            }
        }
        if self.outer == 0 || self.inner == 0 {
            return Ok(0);
        }
        let counted = || {
            let block = self.classes.checked_mul(self.inner)?;
            let before = (self.outer - 1).checked_mul(self.row_stride.unwrap_or(block))?;
            let elements = before.checked_add(block)?;
            // The numbers of bytes and of rows must fit a `usize` too.
            elements.checked_mul(ELEMENT_BYTES as usize)?;
            self.outer.checked_mul(self.inner)?;
            Some(elements)
        };
        counted().ok_or_else(|| self.too_large())
    }

    pub(crate) fn too_large(&self) -> EncodeError {
        EncodeError::TooLarge {
            outer: self.outer,
            classes: self.classes,
            inner: self.inner,
        }
    }

    /// Elements from one outer block to the next.
    pub(crate) fn outer_stride(&self) -> usize {
        self.row_stride.unwrap_or(self.classes * self.inner)
    }

    /// Elements of one outer block.
    pub(crate) fn block(&self) -> usize {
        self.classes * self.inner
    }

    /// Outer blocks.
    pub(crate) fn outer(&self) -> usize {
        self.outer
    }

    /// Rows of the same number of classes: `outer` blocks of `inner` rows side by side, without padding.
    pub(crate) fn dense(&self, outer: usize, inner: usize) -> Self {
        Self {
            outer,
            classes: self.classes,
            inner,
            row_stride: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn invalid_shapes_are_errors() {
        assert_eq!(Rows::new(3, 0).elements(), Err(EncodeError::NoClasses));
        assert!(matches!(
            Rows::new(2, 5).with_row_stride(4).elements(),
            Err(EncodeError::RowStrideTooSmall { .. })
        ));
        assert!(matches!(
            Rows::new(usize::MAX, 2).elements(),
            Err(EncodeError::TooLarge { .. })
        ));
        assert!(matches!(
            Rows::of_shape(&[2, 3], 2),
            Err(EncodeError::AxisOutOfRange { .. })
        ));
        assert!(matches!(
            Rows::of_shape(&[2, 3], -3),
            Err(EncodeError::AxisOutOfRange { .. })
        ));
        assert!(matches!(
            Rows::of_shape(&[usize::MAX, 4, 3], 2),
            Err(EncodeError::TooLarge { .. })
        ));
        assert_eq!(Rows::new(0, 3).elements(), Ok(0));
    }
}
