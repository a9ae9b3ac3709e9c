//! Cross-entropy of a batch on the host.

use super::host_call::HostCall;
use super::host_targets::{HostTargets, TargetIndex, target_words};
use super::options::{CrossEntropy, Targets};
use super::output::CrossEntropyOutput;
use crate::dtype::Element;
use crate::error::RunError;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::shard::ShardStatistics;
use crate::ragged::RowLayout;

/// The rows of a call; for a shard the statistics of all shards; and what a Hessian is multiplied by.
pub(super) struct HostShape<'a, T> {
    pub(super) layout: RowLayout,
    pub(super) all: Option<&'a ShardStatistics>,
    direction: Option<&'a [T]>,
}

impl<'a, T> HostShape<'a, T> {
    fn whole(rows: impl Into<RowLayout>) -> Self {
        Self {
            layout: rows.into(),
            all: None,
            direction: None,
        }
    }

    pub(super) fn shard(rows: impl Into<RowLayout>, all: &'a ShardStatistics) -> Self {
        Self {
            all: Some(all),
            ..Self::whole(rows)
        }
    }

    pub(super) fn toward(rows: impl Into<RowLayout>, direction: &'a [T]) -> Self {
        Self {
            direction: Some(direction),
            ..Self::whole(rows)
        }
    }
}

impl Gpu {
    /// Cross-entropy of a batch on the host with class indices as targets, and with [`CrossEntropy::gradient`] its
    /// gradient: see [`CrossEntropy`] for the formulas and special values.
    ///
    /// `logits` are laid out as `rows` says; `targets` has one class for each row. Batches larger than the device's
    /// limits go through it in parts; each row's results have the same bits whatever the parts.
    ///
    /// # Errors
    /// [`RunError::TargetOutOfRange`], a shape that is invalid or does not fit the slices, options that contradict each
    /// other, and whatever the device reports.
    ///
    /// ```
    /// use wgpu_softmax::{CrossEntropy, Gpu, Gradient, Rows};
    /// let gpu = Gpu::new()?;
    /// let options = CrossEntropy { gradient: Gradient::Apart, ..CrossEntropy::default() };
    /// let out = gpu.cross_entropy(&[0f32, 0.0], &[1u8], Rows::new(1, 2), &options)?;
    /// assert!((out.loss.unwrap() - 2f32.ln()).abs() < 1e-6);
    /// assert_eq!(out.gradient.unwrap(), [0.5, -0.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        block_on(self.with_indices(logits, targets, HostShape::whole(rows), options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_async<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        self.with_indices(logits, targets, HostShape::whole(rows), options, Wait::OnThread)
            .await
    }

    /// As [`Gpu::cross_entropy`] with soft targets: `probabilities` are laid out as the logits are.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_soft<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        block_on(self.with_probabilities(
            logits,
            (probabilities, Targets::Probabilities),
            HostShape::whole(rows),
            options,
            Wait::Blocking,
        ))
    }

    /// [`Gpu::cross_entropy_soft`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_soft_async<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        self.with_probabilities(
            logits,
            (probabilities, Targets::Probabilities),
            HostShape::whole(rows),
            options,
            Wait::OnThread,
        )
        .await
    }

    /// Distillation: the divergence of `softmax(logits / T)` from that of a teacher's logits, with T =
    /// [`CrossEntropy::temperature`], and its gradient with respect to `logits`: see [`Targets::TeacherLogits`]. `teacher` is laid out as
    /// the logits are. A row of the teacher's with a NaN, with +∞, or of −∞ alone makes that row NaN; a class that is −∞ in the logits
    /// and not in the teacher's makes its loss +∞.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    ///
    /// ```
    /// # use wgpu_softmax::{CrossEntropy, Gpu, Gradient, Rows};
    /// # let gpu = Gpu::new()?;
    /// let (student, teacher) = ([0f32, 0.0], [3f32.ln(), 0.0]);
    /// let options = CrossEntropy { gradient: Gradient::Apart, ..CrossEntropy::default() };
    /// let out = gpu.distillation(&student, &teacher, Rows::new(1, 2), &options)?;
    /// let expected = 0.75 * 1.5f32.ln() + 0.25 * 0.5f32.ln();
    /// assert!((out.loss.unwrap() - expected).abs() < 1e-6 && (out.gradient.unwrap()[0] + 0.25).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "kl_div")]
    #[cfg(not(target_arch = "wasm32"))]
    pub fn distillation<T: Element>(
        &self,
        logits: &[T],
        teacher: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let teacher = (teacher, Targets::TeacherLogits);
        block_on(self.with_probabilities(logits, teacher, HostShape::whole(rows), options, Wait::Blocking))
    }

    /// [`Gpu::distillation`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn distillation_async<T: Element>(
        &self,
        logits: &[T],
        teacher: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let teacher = (teacher, Targets::TeacherLogits);
        self.with_probabilities(logits, teacher, HostShape::whole(rows), options, Wait::OnThread)
            .await
    }

    pub(super) async fn with_probabilities<T: Element>(
        &self,
        logits: &[T],
        (probabilities, kind): (&[T], Targets),
        HostShape { layout, all, direction }: HostShape<'_, T>,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let targets = HostTargets::Probabilities(probabilities);
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let options = options.with_targets(kind).on_host::<T>()?;
        let call = HostCall::new(gpu, logits, &targets, layout, &options)?.with_direction(direction)?;
        call.run(gpu, &targets, all, wait).await
    }

    pub(super) async fn with_indices<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        HostShape { layout, all, direction }: HostShape<'_, T>,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let value = |row: usize| targets.get(row).map_or(0, |t| t.value());
        let targets = HostTargets::Indices(target_words(targets, &layout, options), &value);
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let options = options.with_targets(Targets::Indices).on_host::<T>()?;
        let call = HostCall::new(gpu, logits, &targets, layout, &options)?.with_direction(direction)?;
        call.run(gpu, &targets, all, wait).await
    }
}
