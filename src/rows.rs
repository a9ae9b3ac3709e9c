//! [`Rows`]: where the rows of a batch lie.

use crate::error::EncodeError;

/// Bytes of a word, an f32 or u32, which is also the largest stored element.
pub(crate) const ELEMENT_BYTES: u64 = 4;
/// Classes whose sum is one tree.
const CHUNK: usize = 1024;

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
    shard: Option<Shard>,
    /// How many elements rows of unequal length have; `classes` are then those of the longest.
    ragged_elements: Option<usize>,
}

/// Where the classes that are here lie in a row of which others are elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    first: usize,
    classes: usize,
}

impl Rows {
    /// `rows` rows of `classes` neighbouring elements.
    pub const fn new(rows: usize, classes: usize) -> Self {
        Self {
            outer: rows,
            classes,
            inner: 1,
            row_stride: None,
            shard: None,
            ragged_elements: None,
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
            shard: None,
            ragged_elements: None,
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

    /// The same rows as a shard of longer ones: what is a row here are classes `first ..` of a row of `classes`, whose others
    /// are elsewhere. A shard begins at a multiple of [`Rows::shard_grid`], and ends there or with the row. The class axis must be
    /// the last, and the whole row has at most 2³⁰ classes; what is wrong shows as [`EncodeError::BadShard`] when the rows are used.
    ///
    /// ```
    /// use wgpu_softmax::Rows;
    /// let rows = Rows::new(8, 43_008).shard(43_008, 128_256); // the middle one of three
    /// assert_eq!((rows.classes(), rows.whole_classes(), rows.first_class()), (43_008, 128_256, 43_008));
    /// assert!(rows.elements().is_ok());
    /// ```
    #[must_use]
    pub const fn shard(self, first: usize, classes: usize) -> Self {
        Self {
            shard: Some(Shard { first, classes }),
            ..self
        }
    }

    /// The classes of a span, in whose multiples a row of `classes` is cut into shards: 1,024, and more where there are more
    /// than 1,048,576 classes.
    pub const fn shard_grid(classes: usize) -> usize {
        CHUNK * classes.div_ceil(CHUNK).div_ceil(CHUNK)
    }

    /// Cuts rows of this many classes into up to `parts` shards of nearly equal size: the first class and the number of
    /// classes of each. A row of fewer spans than `parts` gives fewer shards, one for each span.
    ///
    /// ```
    /// use wgpu_softmax::Rows;
    /// assert_eq!(Rows::even_shards(5000, 2), [(0, 3072), (3072, 1928)]);
    /// ```
    pub fn even_shards(classes: usize, parts: usize) -> Vec<(usize, usize)> {
        let grid = Self::shard_grid(classes).max(1);
        let spans = classes.div_ceil(grid);
        let parts = parts.clamp(1, spans.max(1));
        let at = |part: usize| (spans * part).div_ceil(parts).saturating_mul(grid);
        let shard = |part: usize| (at(part), at(part + 1).min(classes) - at(part));
        (0..parts).map(shard).collect()
    }

    /// Number of rows.
    pub const fn count(&self) -> usize {
        self.outer.saturating_mul(self.inner)
    }

    /// Classes of each row that are here: all of them, or a shard's.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Classes of each whole row, of which a shard has [`Rows::classes`].
    pub const fn whole_classes(&self) -> usize {
        match self.shard {
            Some(shard) => shard.classes,
            None => self.classes,
        }
    }

    /// The first class that is here: 0 but for shards.
    pub const fn first_class(&self) -> usize {
        match self.shard {
            Some(shard) => shard.first,
            None => 0,
        }
    }

    /// Whether it is a shard.
    pub const fn is_shard(&self) -> bool {
        self.shard.is_some()
    }

    /// Classes of a span.
    pub(crate) fn grid(&self) -> usize {
        Self::shard_grid(self.whole_classes()).max(1)
    }

    /// Spans that are here.
    pub(crate) fn spans(&self) -> usize {
        self.classes.div_ceil(self.grid())
    }

    /// Spans of each whole row.
    pub(crate) fn whole_spans(&self) -> usize {
        self.whole_classes().div_ceil(self.grid())
    }

    /// Whether a span is longer than a chunk.
    pub(crate) fn has_long_spans(&self) -> bool {
        self.grid() > CHUNK
    }

    /// Rows side by side: 1 when the class axis is the last.
    pub const fn inner(&self) -> usize {
        self.inner
    }

    /// The number of elements from the first of the first row to the last of the last row, both included.
    ///
    /// # Errors
    /// An invalid shape: [`EncodeError::NoClasses`], [`EncodeError::TooLarge`], [`EncodeError::RowStrideTooSmall`],
    /// [`EncodeError::RowStrideNeedsLastAxis`], [`EncodeError::BadShard`].
    pub fn elements(&self) -> Result<usize, EncodeError> {
        if let Some(elements) = self.ragged_elements {
            return Ok(elements);
        }
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
        self.check_shard()?;
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

    fn check_shard(&self) -> Result<(), EncodeError> {
        let Some(Shard { first, classes }) = self.shard else {
            return Ok(());
        };
        let grid = Self::shard_grid(classes).max(1);
        let end = first.checked_add(self.classes);
        let bad = |why| EncodeError::BadShard {
            first,
            held: self.classes,
            classes,
            grid,
            why,
        };
        match end {
            _ if classes > 1 << 30 => Err(bad("a row has at most 2^30 classes")),
            _ if self.inner != 1 => Err(bad("the class axis must be the last")),
            Some(end) if end <= classes => {
                match (first.is_multiple_of(grid), end.is_multiple_of(grid) || end == classes) {
                    (true, true) => Ok(()),
                    (false, _) => Err(bad("it begins between two multiples of the grid")),
                    (true, false) => Err(bad("it ends between two multiples of the grid, and not with the row")),
                }
            }
            _ => Err(bad("it ends after the row")),
        }
    }

    /// Refuses whole rows, for calls on shards.
    pub(crate) fn check_is_shard(&self) -> Result<(), EncodeError> {
        match self.shard {
            Some(_) => Ok(()),
            None => Err(EncodeError::Conflict {
                a: "a call on a shard",
                b: "whole rows",
                why: "Rows::shard says which classes are here",
            }),
        }
    }

    /// Refuses shards, for operations that need whole rows.
    pub(crate) fn check_whole(&self, operation: &'static str) -> Result<(), EncodeError> {
        match self.shard {
            None => Ok(()),
            Some(_) => Err(EncodeError::Conflict {
                a: operation,
                b: "a shard",
                why: "it needs whole rows",
            }),
        }
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

    /// Rows of unequal length as if all were as long as the longest, which have no more elements than those.
    pub(crate) fn envelope(count: usize, longest: usize, elements: usize) -> Self {
        Self {
            ragged_elements: Some(elements),
            ..Self::new(count, longest.max(1))
        }
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
            shard: self.shard,
            ragged_elements: None,
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
