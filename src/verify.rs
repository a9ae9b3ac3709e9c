//! [`Gpu::verify`] checks on one adapter what the crate promises.

mod accuracy;
mod bits;
mod check;
mod confident;
mod fast;
mod layouts;
mod ragged;
mod shards;
mod special;
mod tally;

pub use check::Check;

use crate::error::RunError;
use crate::gpu::Gpu;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use half::{bf16, f16};
use std::pin::Pin;
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

type Checked<'a> = Pin<Box<dyn Future<Output = Result<(), RunError>> + 'a>>;
type Checker = for<'a> fn(&'a mut Tally<'_>) -> Checked<'a>;

macro_rules! check {
    ($name:literal, $checker:expr) => {
        ($name, |tally| Box::pin($checker(tally)))
    };
}

/// All checks, in the order in which they run.
const CHECKS: &[(&str, Checker)] = &[
    check!("softmax/f32", accuracy::softmax::<f32>),
    check!("softmax/f16", accuracy::softmax::<f16>),
    check!("softmax/bf16", accuracy::softmax::<bf16>),
    check!("log_softmax/f32", accuracy::log_softmax::<f32>),
    check!("log_softmax/f16", accuracy::log_softmax::<f16>),
    check!("log_softmax/bf16", accuracy::log_softmax::<bf16>),
    check!("softmax_grad/f32", accuracy::softmax_grad::<f32>),
    check!("softmax_grad/f16", accuracy::softmax_grad::<f16>),
    check!("softmax_grad/bf16", accuracy::softmax_grad::<bf16>),
    check!("softmax_jacobian/f32", accuracy::softmax_jacobian::<f32>),
    check!("softmax_jacobian/f16", accuracy::softmax_jacobian::<f16>),
    check!("softmax_jacobian/bf16", accuracy::softmax_jacobian::<bf16>),
    check!("logsumexp/f32", accuracy::logsumexp::<f32>),
    check!("logsumexp/f16", accuracy::logsumexp::<f16>),
    check!("logsumexp/bf16", accuracy::logsumexp::<bf16>),
    check!("cross_entropy/f32", accuracy::cross_entropy::<f32>),
    check!("cross_entropy/f16", accuracy::cross_entropy::<f16>),
    check!("cross_entropy/bf16", accuracy::cross_entropy::<bf16>),
    check!("cross_entropy_soft/f32", accuracy::cross_entropy_soft::<f32>),
    check!("cross_entropy_soft/f16", accuracy::cross_entropy_soft::<f16>),
    check!("cross_entropy_soft/bf16", accuracy::cross_entropy_soft::<bf16>),
    check!("nll_loss/f32", accuracy::nll_loss::<f32>),
    check!("nll_loss/f16", accuracy::nll_loss::<f16>),
    check!("nll_loss/bf16", accuracy::nll_loss::<bf16>),
    check!("binary_cross_entropy/f32", accuracy::binary_cross_entropy::<f32>),
    check!("binary_cross_entropy/f16", accuracy::binary_cross_entropy::<f16>),
    check!("binary_cross_entropy/bf16", accuracy::binary_cross_entropy::<bf16>),
    check!("confident_rows/f32", confident::rows::<f32>),
    check!("confident_rows/f16", confident::rows::<f16>),
    check!("confident_rows/bf16", confident::rows::<bf16>),
    check!("fast/softmax/f32", fast::softmax::<f32>),
    check!("fast/softmax/f16", fast::softmax::<f16>),
    check!("fast/softmax/bf16", fast::softmax::<bf16>),
    check!("fast/cross_entropy/f32", fast::cross_entropy::<f32>),
    check!("fast/cross_entropy/f16", fast::cross_entropy::<f16>),
    check!("fast/cross_entropy/bf16", fast::cross_entropy::<bf16>),
    check!("common_offset", special::common_offset),
    check!("odd_rows", special::special_rows),
    check!("bad_targets", special::bad_targets),
    check!("strides_and_axes", layouts::strides_and_axes),
    check!("many_rows", layouts::many_rows),
    check!("long_rows", layouts::long_rows),
    check!("unequal_rows", ragged::rows),
    check!("twin/softmax", bits::softmax_twin),
    check!("twin/cross_entropy", bits::cross_entropy_twin),
    check!("twin/sample", bits::sample_twin),
    check!("twin/draft", bits::draft_twin),
    check!("schedules", bits::schedules),
    check!("determinism", bits::determinism),
    check!("batch_invariance", bits::batch_invariance),
    check!("parts", bits::parts),
    check!("shards", shards::shards),
    check!("shards/sample", shards::sampled),
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
    #[cfg(not(target_arch = "wasm32"))]
    pub fn verify(&self, options: &Verify, report: impl FnMut(&Check)) -> Result<Vec<Check>, RunError> {
        block_on(self.verify_async(options, report))
    }

    /// [`Gpu::verify`] for callers with a runtime, and for browsers.
    ///
    /// # Errors
    /// As [`Gpu::verify`].
    pub async fn verify_async(&self, options: &Verify, mut report: impl FnMut(&Check)) -> Result<Vec<Check>, RunError> {
        let mut checks = Vec::new();
        for (name, checker) in options.checks() {
            let mut tally = Tally::new(self, name, options.most_elements);
            checker(&mut tally).await?;
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
