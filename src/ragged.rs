//! [`RaggedRows`]: rows of unequal length, one after the other.

use crate::error::EncodeError;
use crate::rows::{ELEMENT_BYTES, Rows};
use std::ops::Range;
use std::sync::Arc;

/// Rows of unequal length in one buffer, without gaps: the neighbours of the nodes of a graph, or packed sequences. The softmax of each
/// is also called a segment softmax.
///
/// [`Rows::ragged`] makes them of offsets like those of a CSR matrix. Softmax, logsumexp, cross-entropy and their gradients take them, or
/// a reference to them, in place of [`Rows`], on host slices and for kernels on device buffers, with the same formulas and accuracy: a
/// row has the bits that it has alone, as `Rows::new(1, length)`, whatever the other rows are. Shards, sampling, binary cross-entropy
/// and the Jacobian take [`Rows`] alone.
///
/// - What is laid out as the logits are, soft targets, full masks and gradients, has the same offsets. What has one number for each row
///   has one for empty rows too. What has one for each class, biases, masks and weights, has as many as the longest row has classes,
///   and at least one.
/// - Rows of similar length are run together, in as many dispatches as there are such lengths, but for lengths of few rows. A schedule
///   that is asked for runs all rows, planned for the longest.
/// - A kernel is prepared for the offsets, of which it keeps 16 bytes a row on the device, 20 with class indices as targets. It need
///   not be compiled again for others: rows are planned for few lengths.
/// - Label smoothing, and the values of [`FullyMasked::Uniform`](crate::FullyMasked::Uniform), follow from each row's own number of
///   classes.
/// - An empty row is like a row of −∞ alone, so that it shows: its lse, entropy, and loss of soft targets are NaN unless
///   [`FullyMasked::Zeros`](crate::FullyMasked::Zeros) makes them −∞, 0 and 0; with `Uniform` they are NaN, because nothing can be
///   spread over no classes. With a sink its lse is the sink. Its argmax is 2³¹ − 1. A class index as its target is out of range unless
///   it is ignored.
///
/// ```
/// use wgpu_softmax::{Gpu, Rows, Softmax};
/// let gpu = Gpu::new()?;
/// let rows = Rows::ragged([0, 2, 2, 5])?; // a row of two classes, an empty one, and one of three
/// let y = gpu.softmax(&[0f32, 0.0, 1.0, 1.0, f32::NEG_INFINITY], &rows, &Softmax::default())?;
/// assert_eq!(y, [0.5, 0.5, 0.5, 0.5, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaggedRows {
    /// Those of the whole batch.
    offsets: Arc<[usize]>,
    /// The rows that these are.
    held: Range<usize>,
    longest: usize,
}

impl Rows {
    /// Rows of unequal length: row r has elements `offsets[r] .. offsets[r + 1]`, so that there is one offset more than there are rows.
    /// Rows may be empty.
    ///
    /// # Errors
    /// [`EncodeError::BadOffset`] where the first is not 0 or one is less than the one before it; no offsets at all; and more elements
    /// than can be counted.
    pub fn ragged(offsets: impl Into<Arc<[usize]>>) -> Result<RaggedRows, EncodeError> {
        let offsets: Arc<[usize]> = offsets.into();
        let (Some(&first), Some(&end)) = (offsets.first(), offsets.last()) else {
            return Err(EncodeError::NoOffsets);
        };
        let bad = |index, offset, before| EncodeError::BadOffset { index, offset, before };
        if first != 0 {
            return Err(bad(0, first, 0));
        }
        if let Some(r) = offsets.windows(2).position(|pair| pair[1] < pair[0]) {
            return Err(bad(r + 1, offsets[r + 1], offsets[r]));
        }
        let rows = RaggedRows::of(Arc::clone(&offsets), 0..offsets.len() - 1);
        if end.checked_mul(ELEMENT_BYTES as usize).is_none() {
            return Err(rows.envelope().too_large());
        }
        Ok(rows)
    }
}

impl RaggedRows {
    fn of(offsets: Arc<[usize]>, held: Range<usize>) -> Self {
        let lengths = offsets[held.start..=held.end].windows(2).map(|pair| pair[1] - pair[0]);
        let longest = lengths.max().unwrap_or(0);
        Self { offsets, held, longest }
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.held.len()
    }

    /// Classes of the longest row; 0 if there is none.
    pub const fn longest(&self) -> usize {
        self.longest
    }

    /// Elements of all rows.
    pub fn elements(&self) -> usize {
        self.elements_of(0..self.count()).len()
    }

    /// Where each row begins, and the last ends.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets[self.held.start..=self.held.end]
    }

    /// The elements of some rows, counted from the first of the first row.
    pub(crate) fn elements_of(&self, rows: Range<usize>) -> Range<usize> {
        let at = |row: usize| self.offsets[self.held.start + row] - self.offsets[self.held.start];
        at(rows.start)..at(rows.end)
    }

    /// Classes of a row.
    pub(crate) fn classes(&self, row: usize) -> usize {
        self.elements_of(row..row + 1).len()
    }

    /// Some of the rows as a batch of their own.
    pub(crate) fn part(&self, rows: Range<usize>) -> Self {
        let start = self.held.start;
        Self::of(Arc::clone(&self.offsets), start + rows.start..start + rows.end)
    }

    /// Rows that are all as long as the longest, but have no more elements than these.
    pub(crate) fn envelope(&self) -> Rows {
        Rows::envelope(self.count(), self.longest, self.elements())
    }
}

/// Where the rows of a batch lie: [`Rows`], or [`RaggedRows`]. Calls take either.
#[derive(Debug, Clone)]
pub struct RowLayout {
    /// Of rows of unequal length, the envelope.
    pub(crate) rows: Rows,
    pub(crate) ragged: Option<RaggedRows>,
    /// What each class of a row has its share of, where rows are of unequal length: a quotient that kernels cannot round as the host
    /// does.
    pub(crate) smoothing: f32,
}

impl RowLayout {
    /// Classes of a row, of whole ones where these are a shard.
    pub(crate) fn classes_of(&self, row: usize) -> usize {
        match &self.ragged {
            Some(ragged) if row < ragged.count() => ragged.classes(row),
            _ => self.rows.whole_classes(),
        }
    }

    /// Indices of a row's elements in the batch, in the order of its classes.
    pub(crate) fn places(&self, row: usize) -> impl Iterator<Item = usize> + use<> {
        let (start, step, classes) = match &self.ragged {
            Some(ragged) => {
                let elements = ragged.elements_of(row..row + 1);
                (elements.start, 1, elements.len())
            }
            None => {
                let inner = self.rows.inner();
                let start = row / inner * self.rows.outer_stride() + row % inner;
                (start, inner, self.rows.classes())
            }
        };
        (0..classes).map(move |class| start + class * step)
    }
}

impl From<Rows> for RowLayout {
    fn from(rows: Rows) -> Self {
        Self {
            rows,
            ragged: None,
            smoothing: 0.0,
        }
    }
}

impl From<RaggedRows> for RowLayout {
    fn from(ragged: RaggedRows) -> Self {
        Self {
            rows: ragged.envelope(),
            ragged: Some(ragged),
            smoothing: 0.0,
        }
    }
}

impl From<&RaggedRows> for RowLayout {
    fn from(ragged: &RaggedRows) -> Self {
        ragged.clone().into()
    }
}
