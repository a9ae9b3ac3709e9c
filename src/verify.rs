//! [`Gpu::verify`] checks on one adapter what the crate promises.

mod accuracy;
mod adjusted;
mod asked;
mod binary;
mod bits;
mod check;
mod confident;
mod corners;
mod entropies;
mod fast;
mod layouts;
mod limits;
mod losses;
mod ragged;
mod recorded;
mod recorded_sampling;
mod reports;
mod shards;
mod special;
mod tally;
mod teachers;

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
    check!("unequal_rows/targets", ragged::bad_targets),
    check!("twin/softmax", bits::softmax_twin),
    check!("twin/cross_entropy", bits::cross_entropy_twin),
    check!("twin/sample", bits::sample_twin),
    check!("twin/draft", bits::draft_twin),
    check!("row_weights", asked::row_weights),
    check!("row_weights/many", asked::many_row_weights),
    check!("sinks/f32", asked::sinks::<f32>),
    check!("sinks/f16", asked::sinks::<f16>),
    check!("sinks/bf16", asked::sinks::<bf16>),
    check!("twin/sinks", asked::sink_twin),
    check!("divergences/f32", asked::divergences::<f32>),
    check!("divergences/f16", asked::divergences::<f16>),
    check!("divergences/bf16", asked::divergences::<bf16>),
    check!("teachers", teachers::teachers),
    check!("teachers/hessian", teachers::hessian),
    check!("hessians", asked::hessians),
    check!("entropies/f32", entropies::entropies::<f32>),
    check!("entropies/f16", entropies::entropies::<f16>),
    check!("entropies/bf16", entropies::entropies::<bf16>),
    check!("schedules", bits::schedules),
    check!("determinism", bits::determinism),
    check!("batch_invariance", bits::batch_invariance),
    check!("parts", bits::parts),
    check!("shards", shards::shards),
    check!("shards/sample", shards::sampled),
    check!("options/losses/f32", losses::losses::<f32>),
    check!("options/losses/f16", losses::losses::<f16>),
    check!("options/losses/bf16", losses::losses::<bf16>),
    check!("options/few_and_saved", losses::few_and_saved),
    check!("options/adjust/f32", adjusted::all::<f32>),
    check!("options/adjust/f16", adjusted::all::<f16>),
    check!("options/adjust/bf16", adjusted::all::<bf16>),
    check!("options/binary/f32", binary::options::<f32>),
    check!("options/binary/f16", binary::options::<f16>),
    check!("options/binary/bf16", binary::options::<bf16>),
    check!("options/parts", corners::parts),
    check!("shards/parts", corners::shards_in_parts),
    check!("options/jacobian", corners::scaled_jacobian),
    check!("ties", corners::ties),
    check!("many_groups", corners::groups),
    check!("zeros", corners::zeros),
    check!("soft_targets", corners::soft_targets),
    check!("narrowed/f16", corners::narrowed::<f16>),
    check!("narrowed/bf16", corners::narrowed::<bf16>),
    check!("flushed/f32", limits::flushed::<f32>),
    check!("flushed/bf16", limits::flushed::<bf16>),
    check!("saturated", limits::saturated),
    check!("recorded/padding/f32", recorded::padding::<f32>),
    check!("recorded/padding/f16", recorded::padding::<f16>),
    check!("recorded/padding/bf16", recorded::padding::<bf16>),
    check!("recorded/bad_targets", recorded::bad_targets),
    check!("recorded/buffers", recorded::buffers),
    check!("recorded/scales", recorded::scales),
    check!("recorded/sample", recorded_sampling::sample),
    check!("recorded/draft", recorded_sampling::draft),
    check!("sample/reports", reports::reports),
    check!("sample/shared", reports::shared),
    check!("sample/edges", corners::edges),
    check!("sample/long_rows", reports::long),
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
            #[cfg(not(feature = "shaders-from-folder"))]
            checker(&mut tally).await?;
            #[cfg(feature = "shaders-from-folder")]
            until_failed(checker, &mut tally).await?;
            let check = tally.finish();
            report(&check);
            checks.push(check);
        }
        Ok(checks)
    }
}

/// Runs a check to its first failed case, which is all that `cargo xtask mutate` asks of it.
#[cfg(feature = "shaders-from-folder")]
async fn until_failed(checker: &Checker, tally: &mut Tally<'_>) -> Result<(), RunError> {
    let has_failed = std::rc::Rc::clone(&tally.has_failed);
    let mut check = checker(tally);
    std::future::poll_fn(|context| match check.as_mut().poll(context) {
        std::task::Poll::Pending if has_failed.get() => std::task::Poll::Ready(Ok(())),
        polled => polled,
    })
    .await
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
