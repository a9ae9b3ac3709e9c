//! [`Gpu::verify`] checks on one adapter what the crate promises.

mod accuracy;
mod bits;
mod check;
mod confident;
mod fast;
mod layouts;
mod shards;
mod special;
mod tally;

pub use check::Check;

use crate::error::RunError;
use crate::gpu::Gpu;
use half::{bf16, f16};
use tally::Tally;

/// How far [`Gpu::verify`] goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// Cases of more logits than this are skipped, and counted as skipped: for slow adapters.
    pub most_elements: usize,
    /// Only checks whose name contains this; all of them if it is empty.
    pub only: String,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            most_elements: 1 << 21,
            only: String::new(),
        }
    }
}

type Checker = fn(&mut Tally<'_>) -> Result<(), RunError>;

/// All checks, in the order in which they run.
const CHECKS: &[(&str, Checker)] = &[
    ("softmax/f32", accuracy::softmax::<f32>),
    ("softmax/f16", accuracy::softmax::<f16>),
    ("softmax/bf16", accuracy::softmax::<bf16>),
    ("log_softmax/f32", accuracy::log_softmax::<f32>),
    ("log_softmax/f16", accuracy::log_softmax::<f16>),
    ("log_softmax/bf16", accuracy::log_softmax::<bf16>),
    ("softmax_grad/f32", accuracy::softmax_grad::<f32>),
    ("softmax_grad/f16", accuracy::softmax_grad::<f16>),
    ("softmax_grad/bf16", accuracy::softmax_grad::<bf16>),
    ("softmax_jacobian/f32", accuracy::softmax_jacobian::<f32>),
    ("softmax_jacobian/f16", accuracy::softmax_jacobian::<f16>),
    ("softmax_jacobian/bf16", accuracy::softmax_jacobian::<bf16>),
    ("logsumexp/f32", accuracy::logsumexp::<f32>),
    ("logsumexp/f16", accuracy::logsumexp::<f16>),
    ("logsumexp/bf16", accuracy::logsumexp::<bf16>),
    ("cross_entropy/f32", accuracy::cross_entropy::<f32>),
    ("cross_entropy/f16", accuracy::cross_entropy::<f16>),
    ("cross_entropy/bf16", accuracy::cross_entropy::<bf16>),
    ("cross_entropy_soft/f32", accuracy::cross_entropy_soft::<f32>),
    ("cross_entropy_soft/f16", accuracy::cross_entropy_soft::<f16>),
    ("cross_entropy_soft/bf16", accuracy::cross_entropy_soft::<bf16>),
    ("nll_loss/f32", accuracy::nll_loss::<f32>),
    ("nll_loss/f16", accuracy::nll_loss::<f16>),
    ("nll_loss/bf16", accuracy::nll_loss::<bf16>),
    ("binary_cross_entropy/f32", accuracy::binary_cross_entropy::<f32>),
    ("binary_cross_entropy/f16", accuracy::binary_cross_entropy::<f16>),
    ("binary_cross_entropy/bf16", accuracy::binary_cross_entropy::<bf16>),
    ("confident_rows/f32", confident::rows::<f32>),
    ("confident_rows/f16", confident::rows::<f16>),
    ("confident_rows/bf16", confident::rows::<bf16>),
    ("fast/softmax/f32", fast::softmax::<f32>),
    ("fast/softmax/f16", fast::softmax::<f16>),
    ("fast/softmax/bf16", fast::softmax::<bf16>),
    ("fast/cross_entropy/f32", fast::cross_entropy::<f32>),
    ("fast/cross_entropy/f16", fast::cross_entropy::<f16>),
    ("fast/cross_entropy/bf16", fast::cross_entropy::<bf16>),
    ("common_offset", special::common_offset),
    ("odd_rows", special::special_rows),
    ("bad_targets", special::bad_targets),
    ("strides_and_axes", layouts::strides_and_axes),
    ("many_rows", layouts::many_rows),
    ("long_rows", layouts::long_rows),
    ("twin/softmax", bits::softmax_twin),
    ("twin/cross_entropy", bits::cross_entropy_twin),
    ("twin/sample", bits::sample_twin),
    ("twin/draft", bits::draft_twin),
    ("schedules", bits::schedules),
    ("determinism", bits::determinism),
    ("batch_invariance", bits::batch_invariance),
    ("parts", bits::parts),
    ("shards", shards::shards),
];

impl Gpu {
    /// Checks on this adapter what the crate promises: every operation and type against the f64 reference; rows that
    /// are all but certain, rows with NaN and infinities, common offsets, bad targets; strides, axes, many and long
    /// rows; and that the bits are the same in every run, under every schedule, alone and in a batch, and the same as
    /// those of plain f32 Rust that takes the same steps. It also measures `fast: true`.
    ///
    /// `report` is called with each check as it ends. The checks together are a certificate for this adapter, driver
    /// and version of the crate: all is well if every [`Check::failed`] is 0. It takes some minutes on a software
    /// adapter.
    ///
    /// # Errors
    /// Any [`RunError`] but [`RunError::TargetOutOfRange`]: what kept a check from running.
    ///
    /// ```no_run
    /// use wgpu_softmax::{Gpu, Verify};
    /// let gpu = Gpu::new()?;
    /// let checks = gpu.verify(&Verify::default(), |check| println!("{}: {} of {}", check.name, check.failed, check.cases))?;
    /// assert!(checks.iter().all(|check| check.failed == 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self, options: &Verify, mut report: impl FnMut(&Check)) -> Result<Vec<Check>, RunError> {
        let mut checks = Vec::new();
        for (name, checker) in options.checks() {
            let mut tally = Tally::new(self, name, options.most_elements);
            checker(&mut tally)?;
            let check = tally.finish();
            report(&check);
            checks.push(check);
        }
        Ok(checks)
    }
}

impl Verify {
    fn checks(&self) -> impl Iterator<Item = &'static (&'static str, Checker)> {
        CHECKS.iter().filter(|(name, _)| name.contains(&self.only))
    }

    /// How many checks [`Gpu::verify`] makes.
    pub fn count(&self) -> usize {
        self.checks().count()
    }
}
