//! Where the rows of the logits lie, and their names in messages.

use crate::arrays::refused;
use crate::failure::Failure;
use std::path::Path;
use wgpu_softmax::{EncodeError, Rows};

/// The shape of the logits, whose class axis may be any.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    axis: isize,
    shape: Vec<usize>,
    rows: Rows,
}

/// Moves the axis after next before the next: an array of shape `[outer, a, b]` becomes one of `[outer, b, a]`.
fn swapped(values: &[f32], a: usize, b: usize) -> Vec<f32> {
    if a * b == 0 {
        return Vec::new();
    }
    let blocks = values.chunks_exact(a * b);
    let column = |block: &[f32], i: usize| block.iter().skip(i).step_by(b).copied().collect::<Vec<f32>>();
    blocks
        .flat_map(|block| (0..b).flat_map(move |i| column(block, i)))
        .collect()
}

/// How a flag says it, as people would write it.
fn flag_of_axis(axis: usize, dims: usize) -> String {
    if axis + 1 == dims {
        "--axis -1".into()
    } else {
        format!("--axis {axis}")
    }
}

impl Layout {
    /// The rows of the logits that were read from `path`.
    pub(crate) fn of(path: &Path, shape: &[usize], axis: isize) -> Result<Self, Failure> {
        let dims = shape.len() as isize;
        if dims == 0 {
            return Err(refused(
                path,
                "logits are one number without an axis (0-d), but need a class axis: reshape them to [classes] or [rows, classes]",
            ));
        }
        let rows = Rows::of_shape(shape, axis).and_then(|rows| rows.elements().map(|_| rows));
        let rows = rows.map_err(|error| match error {
            EncodeError::AxisOutOfRange { .. } => refused(
                path,
                &format!(
                    "there is no axis {axis} in logits of shape {shape:?}: --axis is from {} to {}",
                    -dims,
                    dims - 1
                ),
            ),
            EncodeError::NoClasses => refused(
                path,
                &format!("logits of shape {shape:?} with class axis {axis} have 0 classes; at least 1 is needed"),
            ),
            error => error.into(),
        })?;
        let shape = shape.to_vec();
        Ok(Self { axis, shape, rows })
    }

    pub(crate) fn count(&self) -> usize {
        self.rows.count()
    }

    pub(crate) fn classes(&self) -> usize {
        self.rows.classes()
    }

    /// The logits' shape.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The class axis, counted from the first.
    pub(crate) fn axis(&self) -> usize {
        self.axis.rem_euclid(self.shape.len() as isize) as usize
    }

    pub(crate) fn class_axis_is_last(&self) -> bool {
        self.axis() + 1 == self.shape.len()
    }

    /// The logits' shape without an axis.
    pub(crate) fn without(&self, axis: usize) -> Vec<usize> {
        [&self.shape[..axis], &self.shape[axis + 1..]].concat()
    }

    /// The logits' shape without the class axis.
    pub(crate) fn row_shape(&self) -> Vec<usize> {
        self.without(self.axis())
    }

    /// The logits' shape with the class axis kept as 1.
    pub(crate) fn kept_row_shape(&self) -> Vec<usize> {
        let mut shape = self.shape.clone();
        shape[self.axis()] = 1;
        shape
    }

    /// Whether an array of this shape has a number for each row, in the rows' order: it has the rows' shape, with the class axis
    /// or without, or all its numbers lie along one axis. Another shape of as many numbers, such as the transpose, may be
    /// another order.
    pub(crate) fn fits_rows(&self, shape: &[usize]) -> bool {
        let mut long = shape.iter().filter(|&&length| length != 1);
        let line = long.next().unwrap_or(&1);
        let is_line = long.next().is_none() && *line == self.count();
        is_line || shape == self.row_shape() || shape == self.kept_row_shape()
    }

    /// The end of a message about what does not fit: the other class axes with which it would, if there are any.
    pub(crate) fn other_axes(&self, fits: impl Fn(&Self) -> bool) -> String {
        let others = (0..self.shape.len()).filter(|&axis| axis != self.axis());
        let flag = |axis: usize| {
            let rows = Rows::of_shape(&self.shape, axis as isize).ok()?;
            let (axis, shape) = (axis as isize, self.shape.clone());
            let other = Self { axis, shape, rows };
            fits(&other).then(|| flag_of_axis(other.axis(), other.shape.len()))
        };
        match &others.filter_map(flag).collect::<Vec<_>>()[..] {
            [] => String::new(),
            flags => format!("; {} would fit", flags.join(" or ")),
        }
    }

    /// How many rows there are, in words.
    pub(crate) fn count_in_words(&self) -> String {
        match self.count() {
            1 => "1 row".into(),
            count => format!("{count} rows"),
        }
    }

    /// Where the rows lie in the logits' array.
    pub(crate) fn rows_in_place(&self) -> Rows {
        self.rows
    }

    /// The rows when they follow one another, as the library samples them.
    pub(crate) fn rows(&self) -> Rows {
        Rows::new(self.count(), self.classes())
    }

    /// The elements of the logits' array, row after row.
    pub(crate) fn to_rows(&self, values: Vec<f32>) -> Vec<f32> {
        match self.rows.inner() {
            1 => values,
            inner => swapped(&values, self.classes(), inner),
        }
    }

    /// The elements of rows that follow one another, in the order of the logits' array.
    pub(crate) fn to_array(&self, values: Vec<f32>) -> Vec<f32> {
        match self.rows.inner() {
            1 => values,
            inner => swapped(&values, inner, self.classes()),
        }
    }

    /// A row as an index of an array of the rows.
    pub(crate) fn index(&self, row: usize) -> Vec<usize> {
        Self::index_in(&self.row_shape(), row)
    }

    /// An element's index in an array of this shape.
    pub(crate) fn index_in(shape: &[usize], element: usize) -> Vec<usize> {
        let (mut rest, mut index) = (element, shape.to_vec());
        for place in index.iter_mut().rev() {
            let length = (*place).max(1);
            *place = rest % length;
            rest /= length;
        }
        index
    }

    /// A row's name in a message: its index, or its number where rows have one axis.
    pub(crate) fn name(&self, row: usize) -> String {
        match &self.index(row)[..] {
            [] => "the row".into(),
            [row] => format!("row {row}"),
            index => format!("row {index:?}"),
        }
    }

    /// The logits, for a message about something that does not fit them.
    pub(crate) fn describe(&self) -> String {
        format!("logits of shape {:?} with class axis {}", self.shape, self.axis)
    }

    /// Whether an array has a list of each row, and how long the lists are: its shape is that of the rows, or their number,
    /// and then the length.
    pub(crate) fn list_length(&self, shape: &[usize]) -> Option<usize> {
        let (length, before) = shape.split_last()?;
        (before == self.row_shape() || before == [self.count()]).then_some(*length)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn elements_go_to_rows_and_back() {
        let layout = Layout::of(Path::new("x.npy"), &[2, 3, 2], 1).unwrap();
        assert_eq!((layout.index(3), layout.row_shape()), (vec![1, 1], vec![2, 2]));
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let rows = swapped(&values, 3, 2);
        assert_eq!(rows[..6], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(swapped(&rows, 2, 3), values);
    }

    #[test]
    fn shapes_of_a_number_for_each_row() {
        let fits = |logits: &[usize], axis, shape: &[usize]| {
            let layout = Layout::of(Path::new("x.npy"), logits, axis).unwrap();
            layout.fits_rows(shape)
        };
        for shape in [&[2, 3][..], &[2, 1, 3], &[6], &[1, 6], &[6, 1, 1]] {
            assert!(fits(&[2, 4, 3], 1, shape), "{shape:?}");
        }
        for shape in [&[3, 2][..], &[2, 3, 1], &[1, 2, 3], &[5], &[4], &[1], &[]] {
            assert!(!fits(&[2, 4, 3], 1, shape), "{shape:?}");
        }
        assert!(fits(&[4], 0, &[]) && fits(&[4], 0, &[1]) && fits(&[4], 0, &[1, 1]));
        assert!(fits(&[0, 3], 1, &[0]) && !fits(&[0, 3], 1, &[]) && fits(&[2, 0, 3], 2, &[2, 0]));
    }
}
