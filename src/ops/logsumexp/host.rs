//! logsumexp of a batch on the host, and its backward pass.

use super::LogSumExp;
use crate::dispatch::{Extent, HostBatch, HostMatrix, Operand};
use crate::dtype::Element;
use crate::error::{RunError, check_length};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::shard::{ShardStatistics, StatisticsBuffer};
use crate::ragged::RowLayout;
use crate::shader::{RowStatsNeed, Slot};
use wgpu::BufferUsages as Usage;

impl Gpu {
    /// logsumexp of each row of a batch on the host: see [`LogSumExp`].
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slice, and whatever the device reports.
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, LogSumExp, Rows};
    /// # let gpu = Gpu::new()?;
    /// let lse = gpu.logsumexp(&[0f32, 0.0], Rows::new(1, 2), &LogSumExp::default())?;
    /// assert!((lse[0] - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn logsumexp<T: Element>(
        &self,
        logits: &[T],
        rows: impl Into<RowLayout>,
        options: &LogSumExp,
    ) -> Result<Vec<f32>, RunError> {
        block_on(self.run_logsumexp(logits, rows.into(), None, options, Wait::Blocking))
    }

    /// [`Gpu::logsumexp`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::logsumexp`].
    pub async fn logsumexp_async<T: Element>(
        &self,
        logits: &[T],
        rows: impl Into<RowLayout>,
        options: &LogSumExp,
    ) -> Result<Vec<f32>, RunError> {
        self.run_logsumexp(logits, rows.into(), None, options, Wait::OnThread)
            .await
    }

    /// The backward pass of [`Gpu::logsumexp`], from its result and an upstream gradient for each row.
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slices, and whatever the device reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn logsumexp_grad<T: Element>(
        &self,
        logits: &[T],
        lse: &[f32],
        upstream: &[f32],
        rows: impl Into<RowLayout>,
        options: &LogSumExp,
    ) -> Result<Vec<T>, RunError> {
        block_on(self.run_logsumexp_grad(logits, [lse, upstream], rows.into(), options, Wait::Blocking))
    }

    /// [`Gpu::logsumexp_grad`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::logsumexp_grad`].
    pub async fn logsumexp_grad_async<T: Element>(
        &self,
        logits: &[T],
        lse: &[f32],
        upstream: &[f32],
        rows: impl Into<RowLayout>,
        options: &LogSumExp,
    ) -> Result<Vec<T>, RunError> {
        self.run_logsumexp_grad(logits, [lse, upstream], rows.into(), options, Wait::OnThread)
            .await
    }

    pub(in crate::ops) async fn run_logsumexp<T: Element>(
        &self,
        logits: &[T],
        layout: RowLayout,
        all: Option<&ShardStatistics>,
        options: &LogSumExp,
        wait: Wait,
    ) -> Result<Vec<f32>, RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        let options = options.on_host::<T>();
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let lse = gpu.buffer("lse", rows.count() as u64 * 4, Usage::STORAGE | Usage::COPY_SRC)?;
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.push(Operand::written(Slot::Lse, "lse", lse.slice(..), Extent::Row));
        let spec = options.spec(&adjusted);
        let statistics = StatisticsBuffer::of_all(gpu, &rows, &spec, all)?;
        others.extend(statistics.as_ref().map(StatisticsBuffer::operand));
        let batch = HostBatch {
            rows: layout,
            spec,
            schedule: options.schedule,
            params: options.params(&adjusted),
            others,
            is_statistics: false,
            wait,
        };
        gpu.stream::<T>(matrices.into_iter().chain(mask).collect(), &batch)
            .await?;
        gpu.elements(&lse, rows.count(), wait).await
    }

    async fn run_logsumexp_grad<T: Element>(
        &self,
        logits: &[T],
        by_row: [&[f32]; 2],
        layout: RowLayout,
        options: &LogSumExp,
        wait: Wait,
    ) -> Result<Vec<T>, RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        let options = options.on_host::<T>();
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let mut uploads = Vec::new();
        for (what, values) in ["lse", "upstream"].into_iter().zip(by_row) {
            check_length(what, rows.count(), values.len())?;
            uploads.push(gpu.buffer_of(what, bytemuck::cast_slice(values), Usage::STORAGE)?);
        }
        let spec = options.grad_spec(&adjusted);
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        if spec.stats == RowStatsNeed::SavedLse {
            others.push(Operand::read(Slot::SavedLse, "lse", uploads[0].slice(..), Extent::Row));
        }
        others.push(Operand::read(
            Slot::GradScale,
            "upstream",
            uploads[1].slice(..),
            Extent::Row,
        ));
        let batch = HostBatch {
            rows: layout,
            spec,
            schedule: options.schedule,
            params: options.params(&adjusted),
            others,
            is_statistics: false,
            wait,
        };
        gpu.stream(matrices.into_iter().chain(mask).collect(), &batch).await
    }
}
