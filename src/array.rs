//! Calls on host arrays of the crate `ndarray`. They take shapes and axes in place of [`Rows`], and use the calls that
//! take slices.

use crate::dtype::Element;
use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyOutput, TargetIndex};
use crate::ops::logsumexp::LogSumExp;
#[cfg(doc)]
use crate::ops::loss::Reduction;
use crate::ops::softmax::Softmax;
use crate::ops::softmax_grad::SoftmaxGrad;
use crate::rows::Rows;
use ndarray::{Array, ArrayRef, Axis, Dimension, RemoveAxis};
use std::borrow::Cow;

/// The result of [`Gpu::cross_entropy_array`]: [`CrossEntropyOutput`] in arrays. An output with one value for each row
/// has the logits' shape without the class axis.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropyArrays<T, D: RemoveAxis> {
    /// The reduced loss, unless the reduction is [`Reduction::None`].
    pub loss: Option<f32>,
    /// Σ λ lse² over the rows, if the loss is reduced and has a z-loss.
    pub z_loss: Option<f32>,
    /// The loss of each row.
    pub row_losses: Option<Array<f32, D::Smaller>>,
    /// The part λ lse² of each row's loss.
    pub row_z_losses: Option<Array<f32, D::Smaller>>,
    /// The gradient, of the logits' shape.
    pub gradient: Option<Array<T, D>>,
    /// `m + ln d` of each row.
    pub lse: Option<Array<f32, D::Smaller>>,
    /// `ln y_t` of each row.
    pub log_prob: Option<Array<f32, D::Smaller>>,
    /// `−Σ y ln y` of each row.
    pub entropy: Option<Array<f32, D::Smaller>>,
    /// The first largest class of each row.
    pub argmax: Option<Array<u32, D::Smaller>>,
    /// Rows whose argmax is their target.
    pub correct: Option<usize>,
    /// Rows that were not ignored.
    pub counted: usize,
}

/// Checks the shape of an array.
fn check_shape(what: &'static str, expected: &[usize], got: &[usize]) -> Result<(), RunError> {
    if got == expected {
        return Ok(());
    }
    Err(RunError::WrongShape {
        what,
        expected: expected.to_vec(),
        got: got.to_vec(),
    })
}

/// The rows of an array whose `axis` holds the classes.
fn rows_along<T, D: Dimension>(array: &ArrayRef<T, D>, axis: Axis) -> Result<Rows, EncodeError> {
    Rows::of_shape(array.shape(), isize::try_from(axis.index()).unwrap_or(isize::MAX))
}

/// The elements in C order, copied only if they are stored in another order.
fn dense<T: Copy, D: Dimension>(array: &ArrayRef<T, D>) -> Cow<'_, [T]> {
    array
        .as_slice()
        .map_or_else(|| array.iter().copied().collect(), Cow::Borrowed)
}

fn shaped<T, D: Dimension>(shape: D, elements: Vec<T>) -> Result<Array<T, D>, EncodeError> {
    let (what, expected, got) = ("the result", shape.size(), elements.len());
    Array::from_shape_vec(shape, elements).map_err(|_| EncodeError::WrongLength { what, expected, got })
}

fn in_arrays<T, D: RemoveAxis>(
    out: CrossEntropyOutput<T>,
    shape: D,
    axis: Axis,
) -> Result<CrossEntropyArrays<T, D>, EncodeError> {
    let of_rows = shape.remove_axis(axis);
    let rows = |values: Option<Vec<f32>>| values.map(|v| shaped(of_rows.clone(), v)).transpose();
    Ok(CrossEntropyArrays {
        loss: out.loss,
        z_loss: out.z_loss,
        row_losses: rows(out.row_losses)?,
        row_z_losses: rows(out.row_z_losses)?,
        gradient: out.gradient.map(|v| shaped(shape, v)).transpose()?,
        lse: rows(out.lse)?,
        log_prob: rows(out.log_prob)?,
        entropy: rows(out.entropy)?,
        argmax: out.argmax.map(|v| shaped(of_rows.clone(), v)).transpose()?,
        correct: out.correct,
        counted: out.counted,
    })
}

/// Calls on arrays, with the feature `ndarray`. They take arrays and views of any layout by reference, and return
/// arrays in C order. An argument in C order (standard layout) is read where it is; transposed, Fortran-ordered and
/// broadcast arrays, and slices with gaps, are copied once on the host. A mask of the logits' shape, which an option
/// holds as a slice, is in C order of that shape.
impl Gpu {
    /// [`Gpu::softmax`] along `axis`: `y_c = exp(a_c − m) / d`, or its logarithm, as [`Softmax`] says. The result has
    /// the logits' shape.
    ///
    /// # Errors
    /// [`EncodeError::AxisOutOfRange`], and those of [`Gpu::softmax`].
    ///
    /// ```
    /// use ndarray::{Axis, array};
    /// use wgpu_softmax::{Gpu, Softmax};
    /// let gpu = Gpu::new()?;
    /// let logits = array![[0f32, 1.0, 2.0], [0.0, 1.0, 2.0]];
    /// let down = gpu.softmax_array(&logits, Axis(0), &Softmax::default())?;
    /// assert_eq!(down, array![[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]);
    /// let same = gpu.softmax_array(&logits.t(), Axis(1), &Softmax::default())?;
    /// assert_eq!(same, down.t());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn softmax_array<T: Element, D: Dimension>(
        &self,
        logits: &ArrayRef<T, D>,
        axis: Axis,
        options: &Softmax,
    ) -> Result<Array<T, D>, RunError> {
        let result = self.softmax(&dense(logits), rows_along(logits, axis)?, options)?;
        Ok(shaped(logits.raw_dim(), result)?)
    }

    /// [`Gpu::softmax_grad`] along `axis`, as [`SoftmaxGrad`] says: `saved`, `upstream`, the `logits` that a softcap
    /// needs, and the result have one shape.
    ///
    /// # Errors
    /// [`EncodeError::AxisOutOfRange`], [`RunError::WrongShape`], and those of [`Gpu::softmax_grad`].
    ///
    /// ```
    /// use ndarray::{Axis, array};
    /// use wgpu_softmax::{Gpu, SoftmaxGrad};
    /// let (y, g) = (array![0.5f32, 0.5], array![1.0, 0.0]);
    /// let dx = Gpu::new()?.softmax_grad_array(&y, &g, None, Axis(0), &SoftmaxGrad::default())?;
    /// assert_eq!(dx, array![0.25, -0.25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn softmax_grad_array<T: Element, D: Dimension>(
        &self,
        saved: &ArrayRef<T, D>,
        upstream: &ArrayRef<T, D>,
        logits: Option<&ArrayRef<T, D>>,
        axis: Axis,
        options: &SoftmaxGrad,
    ) -> Result<Array<T, D>, RunError> {
        let rows = rows_along(saved, axis)?;
        check_shape("upstream", saved.shape(), upstream.shape())?;
        if let Some(logits) = logits {
            check_shape("logits", saved.shape(), logits.shape())?;
        }
        let logits = logits.map(dense);
        let result = self.softmax_grad(&dense(saved), &dense(upstream), logits.as_deref(), rows, options)?;
        Ok(shaped(saved.raw_dim(), result)?)
    }

    /// [`Gpu::logsumexp`] along `axis`: `m + ln d`, as [`LogSumExp`] says. The result has the logits' shape without
    /// `axis`.
    ///
    /// # Errors
    /// [`EncodeError::AxisOutOfRange`], and those of [`Gpu::logsumexp`].
    ///
    /// ```
    /// use ndarray::{Array3, Axis};
    /// use wgpu_softmax::{Gpu, LogSumExp};
    /// let lse = Gpu::new()?.logsumexp_array(&Array3::<f32>::zeros((2, 5, 3)), Axis(1), &LogSumExp::default())?;
    /// assert_eq!(lse.shape(), [2, 3]);
    /// assert!((lse[[1, 2]] - 5f32.ln()).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn logsumexp_array<T: Element, D: RemoveAxis>(
        &self,
        logits: &ArrayRef<T, D>,
        axis: Axis,
        options: &LogSumExp,
    ) -> Result<Array<f32, D::Smaller>, RunError> {
        let lse = self.logsumexp(&dense(logits), rows_along(logits, axis)?, options)?;
        Ok(shaped(logits.raw_dim().remove_axis(axis), lse)?)
    }

    /// [`Gpu::cross_entropy`] along `axis`: `ξ = ln d − (z_t − m)` for each row, and with [`CrossEntropy::gradient`]
    /// its gradient, as [`CrossEntropy`] says. `targets` have the logits' shape without `axis`: a class for each row.
    ///
    /// # Errors
    /// [`EncodeError::AxisOutOfRange`], [`RunError::WrongShape`] for the targets, and those of [`Gpu::cross_entropy`],
    /// in which a row is numbered by the position of its target in C order.
    ///
    /// ```
    /// use ndarray::{Array3, Axis, array};
    /// use wgpu_softmax::{CrossEntropy, Gpu, Gradient, Reduction};
    /// let logits = Array3::<f32>::zeros((2, 4, 3)); // 4 classes for each of 2 × 3 rows
    /// let targets = array![[0u8, 1, 2], [3, 2, 1]];
    /// let options = CrossEntropy { gradient: Gradient::Apart, reduction: Reduction::None, ..CrossEntropy::default() };
    /// let out = Gpu::new()?.cross_entropy_array(&logits, &targets, Axis(1), &options)?;
    /// assert!(out.row_losses.unwrap().iter().all(|loss| (loss - 4f32.ln()).abs() < 1e-6));
    /// assert_eq!(out.gradient.unwrap()[[1, 3, 0]], 0.25 - 1.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cross_entropy_array<T: Element, I: TargetIndex, D: RemoveAxis>(
        &self,
        logits: &ArrayRef<T, D>,
        targets: &ArrayRef<I, D::Smaller>,
        axis: Axis,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyArrays<T, D>, RunError> {
        let rows = rows_along(logits, axis)?;
        let shape = logits.raw_dim();
        check_shape("targets", shape.remove_axis(axis).slice(), targets.shape())?;
        let out = self.cross_entropy(&dense(logits), &dense(targets), rows, options)?;
        Ok(in_arrays(out, shape, axis)?)
    }

    /// [`Gpu::cross_entropy_array`] with soft targets: `probabilities` have the logits' shape.
    ///
    /// # Errors
    /// [`EncodeError::AxisOutOfRange`], [`RunError::WrongShape`] for the probabilities, and those of
    /// [`Gpu::cross_entropy_soft`].
    ///
    /// ```
    /// use ndarray::{Axis, array};
    /// use wgpu_softmax::{CrossEntropy, Gpu};
    /// let (logits, q) = (array![[0f32, 0.0]], array![[0.25f32, 0.75]]);
    /// let out = Gpu::new()?.cross_entropy_soft_array(&logits, &q, Axis(1), &CrossEntropy::default())?;
    /// assert!((out.loss.unwrap() - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cross_entropy_soft_array<T: Element, D: RemoveAxis>(
        &self,
        logits: &ArrayRef<T, D>,
        probabilities: &ArrayRef<T, D>,
        axis: Axis,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyArrays<T, D>, RunError> {
        let rows = rows_along(logits, axis)?;
        check_shape("probabilities", logits.shape(), probabilities.shape())?;
        let out = self.cross_entropy_soft(&dense(logits), &dense(probabilities), rows, options)?;
        Ok(in_arrays(out, logits.raw_dim(), axis)?)
    }
}
