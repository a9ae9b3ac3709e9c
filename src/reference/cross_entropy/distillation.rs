//! The divergence from a teacher.

use super::{CrossEntropyReference, Matrices, Target, check_options, reference_loss};
use crate::error::{EncodeError, check_length};
use crate::ops::adjust::Adjust;
use crate::ops::cross_entropy::{CrossEntropy, Targets};
use crate::ops::softmax::Softmax;
use crate::ragged::RowLayout;
use crate::reference::softmax::softmax;

/// Distillation, [`cross_entropy_soft`](crate::reference::cross_entropy_soft) with
/// [`Targets::TeacherLogits`](crate::Targets::TeacherLogits): `teacher` is laid out as the logits are.
///
/// # Errors
/// As [`cross_entropy`](crate::reference::cross_entropy).
pub fn distillation<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    teacher: &[U],
    rows: impl Into<RowLayout>,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    check_length("probabilities", logits.len(), teacher.len())?;
    check_options(options, Targets::TeacherLogits, None)?;
    let layout = rows.into();
    let scale = options.temperature.recip();
    let adjust = Adjust::scaled(scale);
    let of = |log| {
        let options = Softmax {
            log,
            adjust: adjust.clone(),
            ..Softmax::default()
        };
        softmax(teacher, layout.clone(), &options)
    };
    let (q, ln_q) = (of(false)?, of(true)?);
    let options = CrossEntropy {
        adjust: match options.temperature {
            1.0 => options.adjust.clone(),
            _ => Adjust {
                scale: adjust.scale.clone(),
                ..options.adjust.clone()
            },
        },
        ..options.clone()
    };
    let targets = vec![Target::Probabilities; layout.rows.count()];
    let matrices = Matrices {
        soft_targets: &q,
        ln_teacher: Some(&ln_q),
        direction: None,
    };
    reference_loss(logits, &targets, matrices, &layout, &options)
}
