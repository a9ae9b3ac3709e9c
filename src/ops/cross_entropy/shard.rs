//! Cross-entropy of a shard on the host.

use super::host::HostShape;
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
use crate::rows::Rows;

impl Gpu {
    /// The statistics of a shard ([`Rows::shard`]) for cross-entropy; targets are numbered in the whole row, and each shard gets
    /// all of them. Weights, biases and masks for each class are those of the whole row too. A target that is no class of it
    /// is an error of [`Gpu::cross_entropy_shard`], on every shard.
    ///
    /// # Errors
    /// As [`Gpu::softmax_statistics`], and options that contradict each other.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_statistics<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<ShardStatistics, RunError> {
        block_on(self.run_statistics(logits, targets, rows, options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy_statistics`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy_statistics`].
    pub async fn cross_entropy_statistics_async<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<ShardStatistics, RunError> {
        self.run_statistics(logits, targets, rows, options, Wait::OnThread)
            .await
    }

    /// A shard's part of [`Gpu::cross_entropy`], from the statistics of all shards, [joined](ShardStatistics::join): its gradient,
    /// and all the losses and other outputs of rows.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`], and statistics that are not of all the row or of other options.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_shard<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        all: &ShardStatistics,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        block_on(self.with_indices(logits, targets, HostShape::shard(rows, all), options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy_shard`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy_shard`].
    pub async fn cross_entropy_shard_async<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        all: &ShardStatistics,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        self.with_indices(logits, targets, HostShape::shard(rows, all), options, Wait::OnThread)
            .await
    }

    /// As [`Gpu::cross_entropy_statistics`] with soft targets: `probabilities` are the shard's, laid out as its logits are.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy_statistics`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_soft_statistics<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<ShardStatistics, RunError> {
        block_on(self.run_soft_statistics(logits, probabilities, rows, options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy_soft_statistics`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy_soft_statistics`].
    pub async fn cross_entropy_soft_statistics_async<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<ShardStatistics, RunError> {
        self.run_soft_statistics(logits, probabilities, rows, options, Wait::OnThread)
            .await
    }

    /// As [`Gpu::cross_entropy_shard`] with soft targets: `probabilities` are the shard's, laid out as its logits are.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy_shard`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_soft_shard<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        all: &ShardStatistics,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        block_on(self.with_probabilities(
            logits,
            (probabilities, Targets::Probabilities),
            HostShape::shard(rows, all),
            options,
            Wait::Blocking,
        ))
    }

    /// [`Gpu::cross_entropy_soft_shard`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy_soft_shard`].
    pub async fn cross_entropy_soft_shard_async<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        all: &ShardStatistics,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        self.with_probabilities(
            logits,
            (probabilities, Targets::Probabilities),
            HostShape::shard(rows, all),
            options,
            Wait::OnThread,
        )
        .await
    }

    async fn run_statistics<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<ShardStatistics, RunError> {
        let words = target_words(targets, &rows.into(), options);
        let options = options.with_targets(Targets::Indices);
        let targets = HostTargets::Indices(words, &|_| 0);
        self.statistics_of(logits, targets, rows, options, wait).await
    }

    async fn run_soft_statistics<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<ShardStatistics, RunError> {
        let options = options.with_targets(Targets::Probabilities);
        let targets = HostTargets::Probabilities(probabilities);
        self.statistics_of(logits, targets, rows, options, wait).await
    }

    async fn statistics_of<T: Element>(
        &self,
        logits: &[T],
        targets: HostTargets<'_, T>,
        rows: Rows,
        options: CrossEntropy,
        wait: Wait,
    ) -> Result<ShardStatistics, RunError> {
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let options = options.on_host::<T>()?;
        let call = HostCall::new(gpu, logits, &targets, rows.into(), &options)?;
        call.statistics::<T>(gpu, wait).await
    }
}
