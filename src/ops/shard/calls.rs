//! The calls on host slices that find and take the statistics of shards.

use super::statistics::{ShardStatistics, StatisticsBuffer};
use crate::dispatch::{HostBatch, HostMatrix};
use crate::dtype::Element;
use crate::error::RunError;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::logsumexp::LogSumExp;
use crate::ops::softmax::Softmax;
use crate::rows::Rows;
use crate::shader::Slot;

impl Gpu {
    /// The statistics of a shard ([`Rows::shard`]) for softmax, log-softmax and logsumexp, which need the same; for
    /// logsumexp give a [`Softmax`] with the same `adjust` and `fast`.
    ///
    /// # Errors
    /// Rows that are no shard, an invalid one, slices that do not fit, and whatever the device reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax_statistics<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
    ) -> Result<ShardStatistics, RunError> {
        block_on(self.run_softmax_statistics(logits, rows, options, Wait::Blocking))
    }

    /// [`Gpu::softmax_statistics`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_statistics`].
    pub async fn softmax_statistics_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
    ) -> Result<ShardStatistics, RunError> {
        self.run_softmax_statistics(logits, rows, options, Wait::OnThread).await
    }

    /// A shard's part of [`Gpu::softmax`], from the statistics of all shards, [joined](ShardStatistics::join).
    ///
    /// # Errors
    /// As [`Gpu::softmax_statistics`], and statistics that are not of all the row or of other options.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax_shard<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        all: &ShardStatistics,
        options: &Softmax,
    ) -> Result<Vec<T>, RunError> {
        block_on(self.run_softmax(logits, rows.into(), Some(all), options, Wait::Blocking))
    }

    /// [`Gpu::softmax_shard`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_shard`].
    pub async fn softmax_shard_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        all: &ShardStatistics,
        options: &Softmax,
    ) -> Result<Vec<T>, RunError> {
        self.run_softmax(logits, rows.into(), Some(all), options, Wait::OnThread)
            .await
    }

    /// [`Gpu::logsumexp`] of whole rows, on every shard, from the statistics of all shards. `logits` are the shard's.
    ///
    /// # Errors
    /// As [`Gpu::softmax_shard`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn logsumexp_shard<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        all: &ShardStatistics,
        options: &LogSumExp,
    ) -> Result<Vec<f32>, RunError> {
        block_on(self.run_logsumexp(logits, rows.into(), Some(all), options, Wait::Blocking))
    }

    /// [`Gpu::logsumexp_shard`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_shard`].
    pub async fn logsumexp_shard_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        all: &ShardStatistics,
        options: &LogSumExp,
    ) -> Result<Vec<f32>, RunError> {
        self.run_logsumexp(logits, rows.into(), Some(all), options, Wait::OnThread)
            .await
    }

    async fn run_softmax_statistics<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
        wait: Wait,
    ) -> Result<ShardStatistics, RunError> {
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let options = options.on_host::<T>();
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let spec = options.spec(&adjusted);
        let statistics = StatisticsBuffer::new(gpu, &rows, &spec, None)?;
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.push(statistics.operand());
        let batch = HostBatch {
            rows: rows.into(),
            spec,
            schedule: options.schedule,
            params: options.params(&adjusted),
            others,
            is_statistics: true,
            wait,
        };
        gpu.stream::<T>(matrices.into_iter().chain(mask).collect(), &batch)
            .await?;
        statistics.read(gpu, rows, wait).await
    }
}
