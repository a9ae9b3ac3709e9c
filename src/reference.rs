//! The same operations in f64 on the CPU, one plain function each: what the kernels are tested against, and anyone's
//! tests may use. The largest logit is taken off first here too, and sums are taken from left to right.
//!
//! ```
//! use wgpu_softmax::{reference, Rows, Softmax};
//! let y = reference::softmax(&[0.0, 3f64.ln()], Rows::new(1, 2), &Softmax::default())?;
//! assert!((y[0] - 0.25).abs() < 1e-15 && (y[1] - 0.75).abs() < 1e-15);
//! # Ok::<(), wgpu_softmax::EncodeError>(())
//! ```

use crate::cross_entropy::{CrossEntropy, EmptyMean, Reduction, Upstream};
use crate::error::EncodeError;
use crate::host::TargetIndex;
use crate::rows::Rows;
use crate::softmax::{FullyMasked, Softmax};

/// What a row is, and its `m` and `d`.
enum Row {
    /// Has a NaN or +∞.
    Odd,
    /// Has −∞ alone.
    Masked,
    Ordinary {
        largest: f64,
        sum: f64,
    },
}

fn row_of(x: &[f64]) -> Row {
    if x.iter().any(|v| v.is_nan() || *v == f64::INFINITY) {
        return Row::Odd;
    }
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return Row::Masked;
    }
    Row::Ordinary {
        largest,
        sum: x.iter().map(|v| (v - largest).exp()).sum(),
    }
}

/// Places of a row's elements in the batch.
fn places(rows: &Rows, row: usize) -> impl Iterator<Item = usize> + use<> {
    let (outer, inner) = (row / rows.inner(), row % rows.inner());
    let (start, step) = (outer * rows.outer_stride() + inner, rows.inner());
    (0..rows.classes()).map(move |c| start + c * step)
}

fn checked<T>(logits: &[T], rows: &Rows) -> Result<(), EncodeError> {
    let expected = rows.elements()?;
    if logits.len() != expected {
        return Err(EncodeError::WrongLength {
            what: "logits",
            expected,
            got: logits.len(),
        });
    }
    Ok(())
}

/// Softmax, and with [`Softmax::log`] log-softmax: the formulas and special values are those of [`Softmax`].
///
/// # Errors
/// A shape that is none or does not fit the slice.
pub fn softmax<T: Copy + Into<f64>>(logits: &[T], rows: Rows, options: &Softmax) -> Result<Vec<f64>, EncodeError> {
    checked(logits, &rows)?;
    let mut result = vec![0.0; logits.len()];
    for row in 0..rows.count() {
        let x: Vec<f64> = places(&rows, row).map(|i| logits[i].into()).collect();
        let kind = row_of(&x);
        for (i, v) in places(&rows, row).zip(x) {
            let masked = match options.fully_masked {
                FullyMasked::Nan => f64::NAN,
                FullyMasked::Zeros => 0.0,
                FullyMasked::Uniform => 1.0 / rows.classes() as f64,
            };
            result[i] = match kind {
                Row::Odd => f64::NAN,
                Row::Masked if options.log => masked.ln(),
                Row::Masked => masked,
                Row::Ordinary { largest, sum } if options.log => (v - largest) - sum.ln(),
                Row::Ordinary { largest, sum } => (v - largest).exp() / sum,
            };
        }
    }
    Ok(result)
}

/// What [`cross_entropy`] gives.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropyReference {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f64,
    /// The loss of each row.
    pub row_losses: Vec<f64>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Vec<f64>,
    /// `m + ln d` of each row.
    pub lse: Vec<f64>,
    /// The first largest class of each row, or its first NaN.
    pub argmax: Vec<usize>,
    /// Rows whose argmax is their target.
    pub correct: usize,
    /// Rows whose target is a class and not ignored.
    pub counted: usize,
}

fn first_largest(x: &[f64]) -> usize {
    let nan = x.iter().position(|v| v.is_nan());
    let better = |best: usize, i: usize| if x[i] > x[best] { i } else { best };
    nan.unwrap_or_else(|| (0..x.len()).fold(0, better))
}

/// Cross-entropy and its gradient: the formulas and special values are those of [`CrossEntropy`]. Everything is computed,
/// whatever the options ask for.
///
/// # Errors
/// A shape that is none or does not fit the slices.
pub fn cross_entropy<T: Copy + Into<f64>, I: TargetIndex>(
    logits: &[T],
    targets: &[I],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    checked(logits, &rows)?;
    if targets.len() != rows.count() {
        return Err(EncodeError::WrongLength {
            what: "targets",
            expected: rows.count(),
            got: targets.len(),
        });
    }
    let class_of = |target: I| usize::try_from(target.value()).ok().filter(|&t| t < rows.classes());
    let is_ignored = |target: I| target.value() == i128::from(options.ignore_index);
    let counted = targets
        .iter()
        .filter(|&&t| !is_ignored(t) && class_of(t).is_some())
        .count();
    let denominator = if options.reduction == Reduction::Mean {
        counted as f64
    } else {
        1.0
    };
    let classes = rows.classes() as f64;
    let mut out = CrossEntropyReference {
        gradient: vec![0.0; logits.len()],
        counted,
        ..CrossEntropyReference::default()
    };
    for (row, &target) in targets.iter().enumerate() {
        let x: Vec<f64> = places(&rows, row).map(|i| logits[i].into()).collect();
        let kind = row_of(&x);
        // (loss, gradient unless it is y - t, probability of a class)
        let (lse, fixed) = match kind {
            Row::Odd => (f64::NAN, Some(f64::NAN)),
            Row::Ordinary { largest, sum } => (largest + sum.ln(), None),
            Row::Masked => match options.fully_masked {
                FullyMasked::Nan => (f64::NAN, Some(f64::NAN)),
                FullyMasked::Zeros => (f64::NEG_INFINITY, Some(0.0)),
                FullyMasked::Uniform => (-classes.ln(), None),
            },
        };
        let goal = class_of(target);
        let fixed = match goal {
            _ if is_ignored(target) => Some(0.0),
            None => Some(f64::NAN),
            Some(_) => fixed,
        };
        let loss = match (fixed, &kind, goal) {
            (Some(fixed), _, _) => fixed,
            (None, Row::Ordinary { largest, sum }, Some(t)) => sum.ln() - (x[t] - largest),
            _ => classes.ln(),
        };
        let upstream = match &options.upstream {
            Upstream::Number(number) => f64::from(*number),
            Upstream::PerRow(values) => values.get(row).map_or(f64::NAN, |&v| v.into()),
            Upstream::Buffer => 1.0,
        };
        for (c, i) in places(&rows, row).enumerate() {
            let y = match kind {
                Row::Ordinary { largest, sum } => (x[c] - largest).exp() / sum,
                _ => 1.0 / classes,
            };
            let t = f64::from(u8::from(goal == Some(c)));
            out.gradient[i] = fixed.unwrap_or((y - t) * upstream / denominator);
        }
        let argmax = first_largest(&x);
        out.correct += usize::from(goal == Some(argmax) && !is_ignored(target));
        out.row_losses.push(loss);
        out.lse.push(lse);
        out.argmax.push(argmax);
    }
    let sum: f64 = out.row_losses.iter().sum();
    out.loss = match options.reduction {
        Reduction::None => 0.0,
        Reduction::Sum => sum,
        Reduction::Mean if counted == 0 && options.empty_mean == EmptyMean::Zero && !sum.is_nan() => 0.0,
        Reduction::Mean => sum / denominator,
    };
    Ok(out)
}
