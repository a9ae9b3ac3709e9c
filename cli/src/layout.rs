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
}
