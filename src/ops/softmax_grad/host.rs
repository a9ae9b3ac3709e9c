//! The backward pass of softmax for batches on the host.

use super::{SoftmaxGrad, require_logits};
use crate::dispatch::{Extent, HostBatch, HostMatrix, Operand, require_iff};
use crate::dtype::{Element, Storage};
use crate::error::{RunError, check_length};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::sink::HostSink;
use crate::ragged::RowLayout;
use crate::shader::{ResultPlace, Slot};
use wgpu::BufferUsages as Usage;

impl Gpu {
    /// The backward pass of [`Gpu::softmax`] from its result: see [`SoftmaxGrad`]. `logits` are needed with a softcap
    /// only.
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slices, logits that are missing or unused, and whatever the device
    /// reports.
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, Rows, SoftmaxGrad};
    /// # let gpu = Gpu::new()?;
    /// let dx = gpu.softmax_grad(&[0.5f32, 0.5], &[1.0, 0.0], None, Rows::new(1, 2), &SoftmaxGrad::default())?;
    /// assert_eq!(dx, [0.25, -0.25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax_grad<T: Element>(
        &self,
        saved: &[T],
        upstream: &[T],
        logits: Option<&[T]>,
        rows: impl Into<RowLayout>,
        options: &SoftmaxGrad,
    ) -> Result<Vec<T>, RunError> {
        let slices = [Some(saved), Some(upstream), logits, None];
        block_on(self.run_softmax_grad(slices, None, rows.into(), options, Wait::Blocking)).map(|(dx, _)| dx)
    }

    /// [`Gpu::softmax_grad`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_grad`].
    pub async fn softmax_grad_async<T: Element>(
        &self,
        saved: &[T],
        upstream: &[T],
        logits: Option<&[T]>,
        rows: impl Into<RowLayout>,
        options: &SoftmaxGrad,
    ) -> Result<Vec<T>, RunError> {
        let slices = [Some(saved), Some(upstream), logits, None];
        let both = self
            .run_softmax_grad(slices, None, rows.into(), options, Wait::OnThread)
            .await;
        both.map(|(dx, _)| dx)
    }

    /// [`Gpu::softmax_grad`] of a softmax with a [sink](SoftmaxGrad::sink): the gradients of the logits, and of the sink for each row.
    /// `lse` is what [`Gpu::logsumexp`] with the same sink gives of the logits.
    ///
    /// # Errors
    /// As [`Gpu::softmax_grad`].
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, LogSumExp, Rows, Sink, Softmax, SoftmaxGrad};
    /// # let (gpu, rows, x) = (Gpu::new()?, Rows::new(1, 2), [0f32, 0.0]);
    /// let sink = Some(Sink::Number(0.0));
    /// let y = gpu.softmax(&x, rows, &Softmax { sink: sink.clone(), ..Softmax::default() })?;
    /// let lse = gpu.logsumexp(&x, rows, &LogSumExp { sink: sink.clone(), ..LogSumExp::default() })?;
    /// let options = SoftmaxGrad { sink, ..SoftmaxGrad::default() };
    /// let (dx, of_sink) = gpu.softmax_grad_with_sink(&y, &[9.0, 0.0], None, &lse, rows, &options)?;
    /// assert!((dx[0] - 2.0).abs() < 1e-5 && (dx[1] + 1.0).abs() < 1e-5 && (of_sink[0] + 1.0).abs() < 1e-5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax_grad_with_sink<T: Element>(
        &self,
        saved: &[T],
        upstream: &[T],
        logits: Option<&[T]>,
        lse: &[f32],
        rows: impl Into<RowLayout>,
        options: &SoftmaxGrad,
    ) -> Result<(Vec<T>, Vec<f32>), RunError> {
        let slices = [Some(saved), Some(upstream), logits, None];
        block_on(self.run_softmax_grad(slices, Some(lse), rows.into(), options, Wait::Blocking))
    }

    /// [`Gpu::softmax_grad_with_sink`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_grad`].
    pub async fn softmax_grad_with_sink_async<T: Element>(
        &self,
        saved: &[T],
        upstream: &[T],
        logits: Option<&[T]>,
        lse: &[f32],
        rows: impl Into<RowLayout>,
        options: &SoftmaxGrad,
    ) -> Result<(Vec<T>, Vec<f32>), RunError> {
        let slices = [Some(saved), Some(upstream), logits, None];
        self.run_softmax_grad(slices, Some(lse), rows.into(), options, Wait::OnThread)
            .await
    }

    /// The product of the Hessian of `Σ g softmax(x)` (with `log` of `Σ g log_softmax(x)`) with respect to the logits x and a direction,
    /// from the saved result: see [`SoftmaxGrad::hessian_vector`], which is on whatever `options` say. `upstream` is g.
    ///
    /// # Errors
    /// As [`Gpu::softmax_grad`].
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, Rows, SoftmaxGrad};
    /// # let gpu = Gpu::new()?;
    /// let (y, g, v) = ([0.25f32, 0.75], [1.0, 0.0], [1.0, 0.0]);
    /// let hv = gpu.softmax_hvp(&y, &g, &v, Rows::new(1, 2), &SoftmaxGrad::default())?;
    /// assert_eq!(hv, [0.09375, -0.09375]); // y (1 − y) (1 − 2y)
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "hessian")]
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax_hvp<T: Element>(
        &self,
        saved: &[T],
        upstream: &[T],
        direction: &[T],
        rows: impl Into<RowLayout>,
        options: &SoftmaxGrad,
    ) -> Result<Vec<T>, RunError> {
        let slices = [Some(saved), Some(upstream), None, Some(direction)];
        block_on(self.run_softmax_grad(slices, None, rows.into(), &options.of_hessian(), Wait::Blocking))
            .map(|(hv, _)| hv)
    }

    /// [`Gpu::softmax_hvp`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_grad`].
    pub async fn softmax_hvp_async<T: Element>(
        &self,
        saved: &[T],
        upstream: &[T],
        direction: &[T],
        rows: impl Into<RowLayout>,
        options: &SoftmaxGrad,
    ) -> Result<Vec<T>, RunError> {
        let slices = [Some(saved), Some(upstream), None, Some(direction)];
        let options = options.of_hessian();
        let both = self.run_softmax_grad(slices, None, rows.into(), &options, Wait::OnThread);
        both.await.map(|(hv, _)| hv)
    }

    async fn run_softmax_grad<T: Element>(
        &self,
        slices: [Option<&[T]>; 4],
        lse: Option<&[f32]>,
        layout: RowLayout,
        options: &SoftmaxGrad,
        wait: Wait,
    ) -> Result<(Vec<T>, Vec<f32>), RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        require_logits(slices[2], options.adjust.softcap.is_some())?;
        require_iff(options.hessian_vector, "direction", "hessian_vector", slices[3])?;
        options.validate()?;
        let options = SoftmaxGrad {
            storage: Storage::all(T::DTYPE),
            ..options.clone()
        };
        let derivative = options.derivative();
        let (adjusted, _) = Adjusted::on_host(gpu, rows, &derivative)?;
        let of_sink = HostSink::new(gpu, rows, options.sink.as_ref(), lse.is_some())?;
        let lse = lse.map(|lse| {
            check_length("lse", rows.count(), lse.len())?;
            gpu.buffer_of("lse", bytemuck::cast_slice(lse), Usage::STORAGE)
        });
        let lse = lse.transpose()?;
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.extend(of_sink.operands()?);
        others.extend(
            lse.as_ref()
                .map(|lse| Operand::read(Slot::SavedLse, "lse", lse.slice(..), Extent::Row)),
        );
        let names = [
            (Slot::Logits, "saved"),
            (Slot::UpstreamMatrix, "upstream"),
            (Slot::SoftcapLogits, "logits"),
            (Slot::Direction, "direction"),
        ];
        let given = names
            .into_iter()
            .zip(slices)
            .filter_map(|(name, slice)| Some((name, slice?)));
        let matrices = given.map(|((slot, name), slice)| HostMatrix::new(slot, name, slice, &rows));
        let batch = HostBatch {
            rows: layout,
            spec: options.spec(&adjusted, ResultPlace::InPlace),
            schedule: options.schedule,
            params: of_sink.sink.params(adjusted.params),
            others,
            is_statistics: false,
            wait,
        };
        let dx = gpu.stream(matrices.collect::<Result<_, _>>()?, &batch).await?;
        Ok((dx, of_sink.read(gpu, rows, wait).await?))
    }
}

impl SoftmaxGrad {
    fn of_hessian(&self) -> Self {
        Self {
            hessian_vector: true,
            ..self.clone()
        }
    }
}
