//! logsumexp and its backward pass.

mod buffers;

pub use buffers::{LogSumExpBuffers, LogSumExpGradBuffers};

use super::adjust::{Adjust, AdjustBuffers, Adjusted};
use super::row_op::{FullyMasked, check_in_place, matrix_operands};
use super::shard::{ShardStatistics, StatisticsBuffer};
use crate::dispatch::{Bound, Extent, HostBatch, HostMatrix, NewlyBound, Operand, Recorded, RowKernel, require_iff};
use crate::dtype::{Element, Storage};
use crate::error::{EncodeError, RunError, check_length};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot, Slots};
use wgpu::BufferUsages as Usage;

/// Options of logsumexp and its backward pass.
///
/// `lse = m + ln d`, with `m = max a` and `d = Σ exp(a_c − m)`, where a is what [`Adjust`] makes of the logits; it is
/// one f32 for each row. Its gradient, for an upstream gradient g of each row, is `dx_c = g y_c · da/dx` with
/// `y_c = exp(a_c − lse)`.
///
/// A row with a NaN or +∞ gives NaN. Classes with −∞ count as absent, and their gradient is 0. A row of −∞ alone gives
/// NaN, or −∞ with gradient 0, or −ln C with `y = 1/C`, as [`FullyMasked`] says. The lse is `m + ln d` rounded, with a
/// `ln d` that is within 4 ULP of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogSumExp {
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// How logits and gradient are stored. The calls that take host slices use the slices' type instead.
    pub storage: Storage,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// The gradient replaces the logits, in [`LogSumExpGradKernel::encode`]. The calls that take host slices ignore it.
    pub in_place: bool,
    /// Native exp and log, sums and products that the driver may fuse, no second number for what rounding loses: fewer
    /// instructions where arithmetic is what a GPU is short of. The order of summation stays, so that a row's bits are
    /// still the same in every batch, plan and run on one adapter, but not on another. Errors are what the driver's
    /// functions make of them: [`Gpu::verify`](crate::Gpu::verify) measures them.
    pub fast: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

/// logsumexp over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct LogSumExpKernel {
    kernel: RowKernel,
    adjusted: Adjusted,
    params: Params,
}

/// The backward pass of logsumexp over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct LogSumExpGradKernel(LogSumExpKernel);

impl LogSumExp {
    fn spec(&self, adjusted: &Adjusted) -> RowSpec {
        RowSpec {
            op: RowOp::Softmax {
                log: false,
                lse_grad: false,
            },
            storage: self.storage,
            fast: self.fast,
            equal_rows: self.fully_masked == FullyMasked::Uniform,
            place: ResultPlace::None,
            stats: RowStatsNeed::Sums,
            adjust: adjusted.spec,
            sample: SampleSpec::default(),
            slots: [Slot::Logits, Slot::Lse].into_iter().chain(adjusted.slots()).collect(),
        }
    }

    fn grad_spec(&self, adjusted: &Adjusted) -> RowSpec {
        let from_lse = self.fully_masked != FullyMasked::Uniform;
        let own = [
            (Slot::Result, true),
            (Slot::GradScale, true),
            (Slot::Logits, !self.in_place),
            (Slot::SavedLse, from_lse),
        ];
        let own: Slots = own.into_iter().collect();
        RowSpec {
            op: RowOp::Softmax {
                log: false,
                lse_grad: true,
            },
            place: if self.in_place {
                ResultPlace::InPlace
            } else {
                ResultPlace::Apart
            },
            stats: if from_lse {
                RowStatsNeed::SavedLse
            } else {
                RowStatsNeed::Sums
            },
            slots: own.with(adjusted.slots()),
            ..self.spec(adjusted)
        }
    }

    fn params(&self, adjusted: &Adjusted) -> Params {
        Params {
            fully_masked: self.fully_masked as u32,
            grad_scale_stride: 1,
            ..adjusted.params
        }
    }

    fn kernel(
        &self,
        gpu: &Gpu,
        rows: Rows,
        spec: impl Fn(&Self, &Adjusted) -> RowSpec,
    ) -> Result<LogSumExpKernel, EncodeError> {
        let adjusted = Adjusted::new(gpu, rows, &self.adjust)?;
        Ok(LogSumExpKernel {
            kernel: RowKernel::new(gpu, rows, spec(self, &adjusted), self.schedule)?,
            params: self.params(&adjusted),
            adjusted,
        })
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<LogSumExpKernel, EncodeError> {
        self.kernel(gpu, rows, Self::spec)
    }

    /// As [`LogSumExp::prepare`], for the backward pass.
    ///
    /// # Errors
    /// As [`LogSumExp::prepare`].
    pub fn prepare_grad(&self, gpu: &Gpu, rows: Rows) -> Result<LogSumExpGradKernel, EncodeError> {
        check_in_place(self.in_place, self.storage)?;
        self.kernel(gpu, rows, Self::grad_spec).map(LogSumExpGradKernel)
    }
}

impl LogSumExpKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind(&self, buffers: &LogSumExpBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &LogSumExpBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    /// For rows that are a shard ([`Rows::shard`]): binds what leaves their statistics in [`LogSumExpBuffers::statistics`], as
    /// [`SoftmaxKernel::bind_statistics`](crate::SoftmaxKernel::bind_statistics) does.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind_statistics(&self, buffers: &LogSumExpBuffers<'_>) -> Result<Bound, EncodeError> {
        let mut operands = matrix_operands(&self.kernel.spec, buffers.logits, None)?;
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        operands.extend(self.kernel.statistics_operand(buffers.statistics, true)?);
        let new = self.kernel.bind_statistics(&operands, self.params)?;
        Ok(new.bound)
    }

    /// The bytes of a shard's statistics, and of those of all shards: 12 for each span of a row.
    pub fn statistics_bytes(&self) -> [u64; 2] {
        self.kernel.statistics_bytes()
    }

    fn newly_bound(&self, buffers: &LogSumExpBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let mut operands = matrix_operands(&self.kernel.spec, buffers.logits, None)?;
        operands.push(Operand::written(Slot::Lse, "lse", buffers.lse, Extent::Row));
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        operands.extend(self.kernel.statistics_operand(buffers.statistics, false)?);
        self.kernel.bind(&operands, self.params)
    }
}

impl LogSumExpGradKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.0.schedule()
    }

    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind(&self, buffers: &LogSumExpGradBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &LogSumExpGradBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &LogSumExpGradBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let (kernel, adjusted) = (&self.0.kernel, &self.0.adjusted);
        let gradient = require_iff(
            kernel.spec.place == ResultPlace::Apart,
            "gradient",
            "in_place = false",
            buffers.gradient,
        )?;
        let mut operands = matrix_operands(&kernel.spec, buffers.logits, gradient)?;
        let saved = Operand::read(Slot::SavedLse, "lse", buffers.lse, Extent::Row);
        saved.check(kernel.rows.count(), 0)?;
        operands.extend((kernel.spec.stats == RowStatsNeed::SavedLse).then_some(saved));
        operands.push(Operand::read(
            Slot::GradScale,
            "upstream",
            buffers.upstream,
            Extent::Row,
        ));
        operands.extend(adjusted.operands(&buffers.adjust)?);
        kernel.bind(&operands, self.0.params)
    }
}

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
    pub fn logsumexp<T: Element>(&self, logits: &[T], rows: Rows, options: &LogSumExp) -> Result<Vec<f32>, RunError> {
        block_on(self.run_logsumexp(logits, rows, None, options, Wait::Blocking))
    }

    /// [`Gpu::logsumexp`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::logsumexp`].
    pub async fn logsumexp_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &LogSumExp,
    ) -> Result<Vec<f32>, RunError> {
        self.run_logsumexp(logits, rows, None, options, Wait::OnThread).await
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
        rows: Rows,
        options: &LogSumExp,
    ) -> Result<Vec<T>, RunError> {
        block_on(self.run_logsumexp_grad(logits, [lse, upstream], rows, options, Wait::Blocking))
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
        rows: Rows,
        options: &LogSumExp,
    ) -> Result<Vec<T>, RunError> {
        self.run_logsumexp_grad(logits, [lse, upstream], rows, options, Wait::OnThread)
            .await
    }

    pub(super) async fn run_logsumexp<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        all: Option<&ShardStatistics>,
        options: &LogSumExp,
        wait: Wait,
    ) -> Result<Vec<f32>, RunError> {
        let gpu = &self.leasing();
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
            rows,
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
        rows: Rows,
        options: &LogSumExp,
        wait: Wait,
    ) -> Result<Vec<T>, RunError> {
        let gpu = &self.leasing();
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
            rows,
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

impl LogSumExp {
    fn on_host<T: Element>(&self) -> Self {
        Self {
            in_place: true,
            storage: Storage::all(T::DTYPE),
            ..self.clone()
        }
    }
}
