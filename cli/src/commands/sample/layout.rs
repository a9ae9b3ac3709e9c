//! Where the rows of the logits lie, and their names in messages.

use wgpu_softmax::Rows;

/// The shape of the logits, whose class axis may be any. The library samples along the last.
pub(super) struct Layout {
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
    /// That the axis is within the shape has been checked before.
    pub(super) fn new(shape: Vec<usize>, axis: isize, rows: Rows) -> Self {
        Self { axis, shape, rows }
    }

    pub(super) fn count(&self) -> usize {
        self.rows.count()
    }

    pub(super) fn classes(&self) -> usize {
        self.rows.classes()
    }

    /// The logits' shape.
    pub(super) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The logits' shape without the class axis.
    pub(super) fn row_shape(&self) -> Vec<usize> {
        let axis = self.axis.rem_euclid(self.shape.len() as isize) as usize;
        [&self.shape[..axis], &self.shape[axis + 1..]].concat()
    }

    /// The rows as the library is given them, one after another.
    pub(super) fn rows(&self) -> Rows {
        Rows::new(self.count(), self.classes())
    }

    /// The elements of the logits' array, row after row.
    pub(super) fn to_rows(&self, values: Vec<f32>) -> Vec<f32> {
        match self.rows.inner() {
            1 => values,
            inner => swapped(&values, self.classes(), inner),
        }
    }

    /// The elements of rows that follow one another, in the order of the logits' array.
    pub(super) fn to_array(&self, values: Vec<f32>) -> Vec<f32> {
        match self.rows.inner() {
            1 => values,
            inner => swapped(&values, inner, self.classes()),
        }
    }

    /// A row as an index of an array of the rows.
    pub(super) fn index(&self, row: usize) -> Vec<usize> {
        let (mut rest, mut index) = (row, self.row_shape());
        for place in index.iter_mut().rev() {
            let length = (*place).max(1);
            *place = rest % length;
            rest /= length;
        }
        index
    }

    /// The logits, for a message about something that does not fit them.
    pub(super) fn describe(&self) -> String {
        format!("logits of shape {:?} with class axis {}", self.shape, self.axis)
    }

    /// Whether an array has a list of each row, and how long the lists are: its shape is that of the rows, or their number,
    /// and then the length.
    pub(super) fn list_length(&self, shape: &[usize]) -> Option<usize> {
        let (length, before) = shape.split_last()?;
        (before == self.row_shape() || before == [self.count()]).then_some(*length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_go_to_rows_and_back() {
        let layout = Layout::new(vec![2, 3, 2], 1, Rows::new(4, 3));
        assert_eq!((layout.index(3), layout.row_shape()), (vec![1, 1], vec![2, 2]));
        let values: Vec<f32> = (0..12).map(|i| i as f32).collect();
        let rows = swapped(&values, 3, 2);
        assert_eq!(rows[..6], [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
        assert_eq!(swapped(&rows, 2, 3), values);
    }
}
