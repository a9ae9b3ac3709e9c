//! Products of the Hessian and a direction.

use super::{CrossEntropyReference, with_indices, with_probabilities};
use crate::error::EncodeError;
use crate::ops::cross_entropy::{CrossEntropy, TargetIndex};
use crate::ragged::RowLayout;

/// As [`cross_entropy`](crate::reference::cross_entropy), with the product of the Hessian and a direction in the
/// gradient's place: the formula is that of [`CrossEntropy::hessian_vector`].
///
/// # Errors
/// As [`cross_entropy`](crate::reference::cross_entropy).
pub fn cross_entropy_hvp<T: Copy + Into<f64>, I: TargetIndex>(
    logits: &[T],
    targets: &[I],
    direction: &[T],
    rows: impl Into<RowLayout>,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let direction: Vec<f64> = direction.iter().map(|&v| v.into()).collect();
    with_indices(logits, targets, &rows.into(), options, Some(&direction))
}

/// As [`cross_entropy_soft`](crate::reference::cross_entropy_soft), likewise.
///
/// # Errors
/// As [`cross_entropy`](crate::reference::cross_entropy).
pub fn cross_entropy_soft_hvp<T: Copy + Into<f64>>(
    logits: &[T],
    probabilities: &[T],
    direction: &[T],
    rows: impl Into<RowLayout>,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let direction: Vec<f64> = direction.iter().map(|&v| v.into()).collect();
    with_probabilities(logits, probabilities, &rows.into(), options, Some(&direction))
}
