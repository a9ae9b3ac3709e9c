//! Reads targets, and says of those that do not fit what would.

use crate::arrays::{self, Array, Class, Elements};
use crate::console;
use crate::failure::Failure;
use crate::layout::Layout;
use std::path::Path;
use wgpu_softmax::{RunError, TargetIndex};

pub(super) enum Targets {
    /// A class for each row.
    Classes(Vec<Class>),
    /// A probability for each class of each row.
    Probabilities(Vec<f32>),
    /// A teacher's logit for each class of each row.
    Teacher(Vec<f32>),
}

/// Reads the targets, and checks their shape. `axis_was_given` says whether the caller chose the class axis, `is_teacher` whether
/// they are a teacher's logits.
pub(super) fn read(path: &Path, layout: &Layout, axis_was_given: bool, is_teacher: bool) -> Result<Targets, Failure> {
    let (shape, row_shape) = (layout.shape(), layout.row_shape());
    match arrays::elements(path, "targets")? {
        Elements::Floats(Array { shape: got, values }) if is_teacher && got == shape => Ok(Targets::Teacher(values)),
        _ if is_teacher => {
            let what = format!("with --distill, targets are a teacher's logits: floats of the logits' shape {shape:?}");
            Err(arrays::refused(path, &what))
        }
        Elements::Integers(Array { shape: got, values }) if got == row_shape => {
            if !axis_was_given {
                note_other_axes(layout, &got);
            }
            Ok(Targets::Classes(values))
        }
        Elements::Floats(Array { shape: got, values }) if got == shape => Ok(Targets::Probabilities(values)),
        other => Err(arrays::refused(path, &misfit(&other, layout))),
    }
}

/// The axes that would be the class axis of targets of this shape.
fn fitting_axes(layout: &Layout, got: &[usize]) -> Vec<usize> {
    let axes = 0..layout.shape().len();
    axes.filter(|&axis| layout.without(axis) == got).collect()
}

fn note_other_axes(layout: &Layout, got: &[usize]) {
    let axes = fitting_axes(layout, got);
    if axes.len() > 1 {
        let axes: Vec<String> = axes.iter().map(usize::to_string).collect();
        console::note(&format!(
            "note: targets of shape {got:?} fit logits of shape {:?} with class axis {}; axis {} was taken, --axis chooses",
            layout.shape(),
            axes.join(" or "),
            layout.axis()
        ));
    }
}

/// What is wrong with targets that cannot be taken.
fn misfit(targets: &Elements, layout: &Layout) -> String {
    let (shape, rows) = (layout.shape(), layout.row_shape());
    let needs = |got: &[usize], need: &[usize], what: &str| {
        let logits = layout.describe();
        format!("targets have shape {got:?}, but {logits} need {need:?} of {what}")
    };
    match targets {
        Elements::Integers(Array { shape: got, values }) => {
            let base = needs(got, &rows, "classes (integers)");
            let other_axes = layout.other_axes(|other| other.row_shape() == *got);
            if got == shape {
                let is_one_hot = values.iter().all(|v| matches!(v.value(), 0 | 1));
                let what = if is_one_hot { "one-hot integers" } else { "integers" };
                format!("{base}; these are {what}: as probabilities they must be floats, .astype('float32')")
            } else if !other_axes.is_empty() {
                base + &other_axes
            } else if values.len() == layout.count() {
                format!("{base}; .reshape({rows:?}) would fit, if they are in the order of the rows")
            } else {
                base
            }
        }
        Elements::Floats(Array { shape: got, values }) => {
            let is_whole = values.iter().all(|v| v.fract() == 0.0);
            if is_whole && !fitting_axes(layout, got).is_empty() {
                return format!(
                    "targets of shape {got:?} are floats, but class numbers must be integers: .astype('int64'); floats are \
                     probabilities, of the logits' shape {shape:?}"
                );
            }
            needs(got, shape, "probabilities (floats)")
        }
        Elements::Booleans(Array { shape: got, .. }) => {
            let instead = if got == shape {
                ".astype('float32') makes them one-hot probabilities"
            } else {
                ".astype('int64') makes them classes 0 and 1"
            };
            format!("targets must be integers or floats, not booleans: {instead}")
        }
    }
}

/// Checks before the adapter is opened that each target is a class, of the rows that take part: another row's may be anything.
pub(super) fn check(
    path: &Path,
    classes: &[Class],
    layout: &Layout,
    ignore_index: i64,
    takes_part: impl Fn(usize) -> bool,
) -> Result<(), Failure> {
    let is_class = |target: i128| usize::try_from(target).is_ok_and(|class| class < layout.classes());
    let is_bad = |target: i128| !is_class(target) && target != i128::from(ignore_index);
    let mut bad = (classes.iter().enumerate()).filter(|(row, target)| is_bad(target.value()) && takes_part(*row));
    let Some((first, target)) = bad.next() else {
        return Ok(());
    };
    let error = RunError::TargetOutOfRange {
        row: first,
        target: target.value(),
        classes: layout.classes(),
        count: 1 + bad.count(),
    };
    // The library numbers the rows; here they are named by their index.
    let error = error.to_string();
    let rest = error.strip_prefix(&format!("row {first}")).unwrap_or(&error);
    Err(arrays::refused(path, &format!("{}{rest}", layout.name(first))))
}
