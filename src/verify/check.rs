//! [`Check`]: what was found.

/// What one check of [`Gpu::verify`](crate::Gpu::verify) found.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Check {
    /// What was checked, for example `softmax/f32` or `odd_rows`.
    pub name: String,
    /// How many results were compared, each a whole array.
    pub cases: usize,
    /// How many of them were not as promised.
    pub failed: usize,
    /// How many cases were too large for [`Verify::most_elements`](crate::Verify::most_elements).
    pub skipped: usize,
    /// Where accuracy was measured, the largest error, in units in the last place of the exact result as it is stored,
    /// however small that is; where a gradient's terms cancel, of the largest of them. In `odd_rows`, and for the
    /// probabilities in checks of layouts, it is a unit in the last place of 1 where the exact result is smaller than 1.
    pub max_ulp: Option<f64>,
    /// The mean of those errors, in the same unit.
    pub mean_ulp: Option<f64>,
    /// Where bits were compared with those of plain f32 Rust, a hash of the bits: the same on every adapter.
    pub hash: Option<u64>,
    /// The first case that failed: operation, type, layout, options, row and class, the value there, the value expected
    /// and the bound.
    pub first_failure: Option<String>,
}
