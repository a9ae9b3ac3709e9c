//! logsumexp and its backward pass for batches on the host.

use super::LogSumExp;
use crate::dispatch::{Extent, HostBatch, HostMatrix, Operand};
use crate::dtype::Element;
use crate::error::{RunError, check_length};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::shard::{ShardStatistics, StatisticsBuffer};
use crate::ops::sink::{HostSink, SinkOption};
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
        let call = self.run_logsumexp_grad(logits, [lse, upstream], false, rows.into(), options, Wait::Blocking);
        block_on(call).map(|(dx, _)| dx)
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
        let call = self.run_logsumexp_grad(logits, [lse, upstream], false, rows.into(), options, Wait::OnThread);
        call.await.map(|(dx, _)| dx)
    }

    /// [`Gpu::logsumexp_grad`] with a [sink](LogSumExp::sink): the gradients of the logits, and of the sink for each row.
    ///
    /// # Errors
    /// As [`Gpu::logsumexp_grad`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn logsumexp_grad_with_sink<T: Element>(
        &self,
        logits: &[T],
        lse: &[f32],
        upstream: &[f32],
        rows: impl Into<RowLayout>,
        options: &LogSumExp,
    ) -> Result<(Vec<T>, Vec<f32>), RunError> {
        block_on(self.run_logsumexp_grad(logits, [lse, upstream], true, rows.into(), options, Wait::Blocking))
    }

    /// [`Gpu::logsumexp_grad_with_sink`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::logsumexp_grad`].
    pub async fn logsumexp_grad_with_sink_async<T: Element>(
        &self,
        logits: &[T],
        lse: &[f32],
        upstream: &[f32],
        rows: impl Into<RowLayout>,
        options: &LogSumExp,
    ) -> Result<(Vec<T>, Vec<f32>), RunError> {
        self.run_logsumexp_grad(logits, [lse, upstream], true, rows.into(), options, Wait::OnThread)
            .await
    }

    pub(crate) async fn run_logsumexp<T: Element>(
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
        let sink = SinkOption::on_host(gpu, rows, options.sink.as_ref())?;
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.extend(sink.operand(None)?);
        others.push(Operand::written(Slot::Lse, "lse", lse.slice(..), Extent::Row));
        let spec = options.spec(&adjusted);
        let statistics = StatisticsBuffer::of_all(gpu, &rows, &spec, all)?;
        others.extend(statistics.as_ref().map(StatisticsBuffer::operand));
        let batch = HostBatch {
            rows: layout,
            spec,
            schedule: options.schedule,
            params: sink.params(options.params(&adjusted)),
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
        with_sink: bool,
        layout: RowLayout,
        options: &LogSumExp,
        wait: Wait,
    ) -> Result<(Vec<T>, Vec<f32>), RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        let options = options.on_host::<T>();
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let [lse, upstream] = by_row;
        check_length("lse", rows.count(), lse.len())?;
        check_length("upstream", rows.count(), upstream.len())?;
        let upload = |name, values: &[f32]| gpu.buffer_of(name, bytemuck::cast_slice(values), Usage::STORAGE);
        let (lse_buffer, upstream) = (upload("lse", lse)?, upload("upstream", upstream)?);
        let of_sink = HostSink::new(gpu, rows, options.sink.as_ref(), with_sink)?;
        let spec = options.grad_spec(&adjusted);
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.extend(of_sink.operands()?);
        if spec.stats == RowStatsNeed::SavedLse {
            others.push(Operand::read(Slot::SavedLse, "lse", lse_buffer.slice(..), Extent::Row));
        }
        others.push(Operand::read(
            Slot::GradScale,
            "upstream",
            upstream.slice(..),
            Extent::Row,
        ));
        let batch = HostBatch {
            rows: layout,
            spec,
            schedule: options.schedule,
            params: of_sink.sink.params(options.params(&adjusted)),
            others,
            is_statistics: false,
            wait,
        };
        let dx = gpu.stream(matrices.into_iter().chain(mask).collect(), &batch).await?;
        Ok((dx, of_sink.read(gpu, rows, wait).await?))
    }
}
