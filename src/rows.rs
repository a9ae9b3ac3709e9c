//! Where the rows of a batch lie, and how a batch is cut to fit a device's limits.

use crate::error::EncodeError;
use std::ops::Range;

/// Bytes of a stored element.
pub(crate) const ELEMENT_BYTES: u64 = 4;
/// wgpu's backends end a binding at 2 GiB, whatever the limit says.
const BINDING_MAX: u64 = 1 << 31;

/// Neighbours that are loaded and stored at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Access {
    Singles,
    Pairs,
    Quads,
}

impl Access {
    /// The widest for what lies at multiples of `elements`.
    pub(crate) fn of(elements: usize) -> Self {
        match elements % 4 {
            0 => Self::Quads,
            2 => Self::Pairs,
            _ => Self::Singles,
        }
    }
}

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

    /// The same rows, `row_stride` elements apart. What lies between them is neither read into a result nor written.
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

    /// Elements from the first of the first row to the last of the last row.
    ///
    /// # Errors
    /// A shape that is none: [`EncodeError::NoClasses`], [`EncodeError::TooLarge`], [`EncodeError::RowStrideTooSmall`],
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
            // The bytes must be countable too, and so must the rows.
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

    fn block(&self) -> usize {
        self.classes * self.inner
    }

    /// As every row begins at a multiple of so many elements, and has as many classes side by side.
    pub(crate) fn access(&self) -> Access {
        if self.inner == 1 {
            Access::of(self.classes).min(Access::of(self.outer_stride()))
        } else {
            Access::Singles
        }
    }

    /// Cuts the batch so that each part can be bound at once, whatever its offset.
    pub(crate) fn parts(&self, limits: &wgpu::Limits) -> Result<Vec<Part>, EncodeError> {
        let elements = self.elements()?;
        if elements == 0 {
            return Ok(Vec::new());
        }
        let slack = u64::from(limits.min_storage_buffer_offset_alignment);
        let limit = limits
            .max_storage_buffer_binding_size
            .min(BINDING_MAX)
            .saturating_sub(slack);
        let blocks = self.blocks_within(limit).ok_or_else(|| EncodeError::RowTooLong {
            classes: self.classes,
            inner: self.inner,
            needed: self.block() as u64 * ELEMENT_BYTES,
            limit,
        })?;
        let part = |outer: usize| {
            let outers = blocks.min(self.outer - outer);
            Part {
                first_row: outer * self.inner,
                rows: outers * self.inner,
                first_element: outer * self.outer_stride(),
                elements: (outers - 1) * self.outer_stride() + self.block(),
            }
        };
        Ok((0..self.outer).step_by(blocks).map(part).collect())
    }

    /// Outer blocks whose elements, and whose rows' words, take at most `limit` bytes.
    fn blocks_within(&self, limit: u64) -> Option<usize> {
        let limit = usize::try_from(limit / ELEMENT_BYTES).unwrap_or(usize::MAX);
        let beyond = limit.checked_sub(self.block())?;
        let by_elements = beyond / self.outer_stride() + 1;
        Some(by_elements.min(limit / self.inner).max(1))
    }

    /// Cuts a batch on the host into dense parts of at most `limit` bytes, or of one row where a row takes more.
    pub(crate) fn host_parts(&self, limit: u64) -> Result<Vec<HostPart>, EncodeError> {
        if self.elements()? == 0 {
            return Ok(Vec::new());
        }
        let dense = Self {
            row_stride: None,
            ..*self
        };
        let mut parts = Vec::new();
        if let Some(blocks) = dense.blocks_within(limit) {
            for outer in (0..self.outer).step_by(blocks) {
                let end = self.outer.min(outer + blocks);
                parts.push(self.host_part(outer..end, 0..self.inner));
            }
        } else {
            let row_bytes = self.classes as u64 * ELEMENT_BYTES;
            let rows = usize::try_from(limit / row_bytes)
                .unwrap_or(usize::MAX)
                .clamp(1, self.inner);
            for outer in 0..self.outer {
                for inner in (0..self.inner).step_by(rows) {
                    let end = self.inner.min(inner + rows);
                    parts.push(self.host_part(outer..outer + 1, inner..end));
                }
            }
        }
        Ok(parts)
    }

    fn host_part(&self, outer: Range<usize>, inner: Range<usize>) -> HostPart {
        HostPart {
            rows: Self {
                outer: outer.len(),
                classes: self.classes,
                inner: inner.len(),
                row_stride: None,
            },
            first_row: outer.start * self.inner + inner.start,
            whole: *self,
            outer,
            inner,
        }
    }
}

/// Rows that are bound at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    pub(crate) first_element: usize,
    pub(crate) elements: usize,
}

/// Rows that travel between host and device at once, dense on the device.
#[derive(Debug, Clone)]
pub(crate) struct HostPart {
    /// The part as the device sees it.
    pub(crate) rows: Rows,
    pub(crate) first_row: usize,
    whole: Rows,
    outer: Range<usize>,
    inner: Range<usize>,
}

impl HostPart {
    /// The stretches of the whole batch that the part consists of, in the order they have on the device.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = Range<usize>> {
        let (whole, inner) = (self.whole, self.inner.clone());
        let full = inner.len() == whole.inner;
        let dense = full && whole.outer_stride() == whole.block();
        let blocks = if dense { 1 } else { self.outer.len() };
        let pieces = if full { 1 } else { whole.classes };
        let length = match (dense, full) {
            (true, _) => self.outer.len() * whole.block(),
            (_, true) => whole.block(),
            _ => inner.len(),
        };
        let first = self.outer.start * whole.outer_stride() + inner.start;
        (0..blocks).flat_map(move |block| {
            (0..pieces).map(move |piece| {
                let start = first + block * whole.outer_stride() + piece * whole.inner;
                start..start + length
            })
        })
    }

    pub(crate) fn elements(&self) -> usize {
        self.rows.count() * self.rows.classes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits(binding: u64) -> wgpu::Limits {
        wgpu::Limits {
            max_storage_buffer_binding_size: binding,
            min_storage_buffer_offset_alignment: 256,
            ..wgpu::Limits::default()
        }
    }

    #[test]
    fn parts_cover_every_row_once_within_the_limit() {
        for rows in [
            Rows::new(1000, 10),
            Rows::new(1000, 10).with_row_stride(13),
            Rows::of_shape(&[7, 5, 9], 1).unwrap(),
        ] {
            let limit = 1256;
            let mut next = 0;
            for part in rows.parts(&limits(limit)).unwrap() {
                assert_eq!(part.first_row, next);
                assert!(part.elements as u64 * 4 <= limit - 256 && part.rows as u64 * 4 <= limit - 256);
                next += part.rows;
            }
            assert_eq!(next, rows.count());
        }
    }

    #[test]
    fn host_parts_cover_every_element_once() {
        for (rows, limit) in [
            (Rows::new(10, 3), 40),
            (Rows::new(10, 3).with_row_stride(5), 40),
            (Rows::of_shape(&[2, 3, 7], 1).unwrap(), 40),
            (Rows::of_shape(&[2, 3, 7], 1).unwrap(), 1),
            (Rows::of_shape(&[2, 3, 7], 1).unwrap(), 90),
        ] {
            let mut seen = vec![0; rows.elements().unwrap()];
            let mut next = 0;
            for part in rows.host_parts(limit).unwrap() {
                assert_eq!(part.first_row, next);
                next += part.rows.count();
                let taken: usize = part.stretches().map(|s| s.len()).sum();
                assert_eq!(taken, part.rows.count() * rows.classes());
                part.stretches().flatten().for_each(|i| seen[i] += 1);
            }
            assert_eq!(next, rows.count());
            let padding = |i: usize| i % rows.outer_stride() >= rows.block();
            assert!(
                seen.iter().enumerate().all(|(i, &n)| n == u32::from(!padding(i))),
                "{rows:?}"
            );
        }
    }

    #[test]
    fn shapes_that_are_none_are_errors() {
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
