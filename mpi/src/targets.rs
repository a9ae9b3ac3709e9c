//! Targets that are class indices, before they go to the device.

use crate::record::hash;
use wgpu_softmax::{CrossEntropy, Rows, RunError, TargetIndex, Values};

/// What a rank's targets are, seen from all ranks.
pub(crate) struct Checked {
    /// A hash.
    pub(crate) print: u64,
    /// Rows that are not ignored.
    pub(crate) counted: u64,
}

/// Checks the targets as the device would at the end, so that all ranks know before anything travels.
pub(crate) fn checked<I: TargetIndex>(targets: &[I], rows: &Rows, options: &CrossEntropy) -> Result<Checked, RunError> {
    if targets.len() != rows.count() {
        return Err(RunError::WrongLength {
            what: "targets",
            expected: rows.count(),
            got: targets.len(),
        });
    }
    let classes = rows.whole_classes();
    let (mut counted, mut bad) = (0, Vec::new());
    for (row, target) in targets.iter().map(|t| t.value()).enumerate() {
        match class_of(target, classes) {
            _ if target == i128::from(options.ignore_index) => {}
            Some(_) => counted += 1,
            None => bad.push((row, target)),
        }
    }
    match bad.first() {
        Some(&(row, target)) => Err(RunError::TargetOutOfRange {
            row,
            target,
            classes,
            count: bad.len(),
        }),
        None => Ok(Checked {
            print: hash(targets.iter().flat_map(|t| (t.value() as u64).to_le_bytes())),
            counted,
        }),
    }
}

fn class_of(target: i128, classes: usize) -> Option<usize> {
    usize::try_from(target).ok().filter(|&class| class < classes)
}

/// The weight of each row's target, 0 for ignored rows and where a weight is missing.
pub(crate) fn weights<I: TargetIndex>(targets: &[I], rows: &Rows, options: &CrossEntropy) -> Vec<f32> {
    let values: &[f32] = match &options.weights {
        Some(Values::Host(values)) => values,
        _ => &[],
    };
    let weight = |target: i128| match class_of(target, rows.whole_classes()) {
        Some(class) if target != i128::from(options.ignore_index) => values.get(class).copied().unwrap_or(0.0),
        _ => 0.0,
    };
    targets.iter().map(|target| weight(target.value())).collect()
}
