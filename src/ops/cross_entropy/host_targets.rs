//! Targets of cross-entropy on the host.

use super::options::CrossEntropy;
use crate::error::RunError;
use crate::ops::loss::CrossEntropySummary;
use crate::ragged::RowLayout;

/// A class index on the host: any integer type.
pub trait TargetIndex: Copy + Send + Sync {
    /// Its value.
    fn value(self) -> i128;
}

macro_rules! target_index {
    ($($integer:ty)*) => {$(
        impl TargetIndex for $integer {
            fn value(self) -> i128 {
                self as i128
            }
        }
    )*};
}

target_index!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

/// The words that the device gets for ignored and for bad targets, whose values may not fit 32 bits.
pub(super) const IGNORED: u32 = 0x8000_0000;
const BAD: u32 = u32::MAX;

/// Targets on the host.
pub(super) enum HostTargets<'a, T> {
    /// The words for the device, and a function that gives a row's target as the caller wrote it.
    Indices(Vec<u32>, &'a (dyn Fn(usize) -> i128 + Sync)),
    Probabilities(&'a [T]),
}

impl<T> HostTargets<'_, T> {
    /// Returns an error that names the first target that is no class, if the kernels have found one.
    pub(super) fn check(&self, summary: &CrossEntropySummary, layout: &RowLayout) -> Result<(), RunError> {
        if let (Some((row, _)), HostTargets::Indices(_, value)) = (summary.first_bad, self) {
            return Err(RunError::TargetOutOfRange {
                row: row as usize,
                target: value(row as usize),
                classes: layout.classes_of(row as usize),
                count: summary.bad_targets as usize,
            });
        }
        Ok(())
    }
}

/// The words of the targets for the device.
pub(super) fn target_words<I: TargetIndex>(targets: &[I], layout: &RowLayout, options: &CrossEntropy) -> Vec<u32> {
    let word = |(row, target): (usize, &I)| {
        let target = target.value();
        let class = usize::try_from(target).ok().filter(|&t| t < layout.classes_of(row));
        match class.and_then(|t| u32::try_from(t).ok()) {
            _ if target == i128::from(options.ignore_index) => IGNORED,
            Some(class) => class,
            None => BAD,
        }
    };
    targets.iter().enumerate().map(word).collect()
}
