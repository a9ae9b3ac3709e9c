//! Softmax and log-softmax.

use super::adjust::{Adjust, AdjustBuffers, Adjusted};
use super::row_op::{FullyMasked, check_in_place, logits_operand, matrix_operands};
use super::shard::{ShardStatistics, StatisticsBuffer};
use super::sink::{Sink, SinkOption};
use crate::dispatch::{
    Bound, Dispatch, Extent, HostBatch, HostMatrix, NewlyBound, Operand, Recorded, RowKernel, Slice, require_iff,
};
use crate::dtype::{Element, Storage};
use crate::error::{EncodeError, RunError};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ragged::RowLayout;
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot, Slots};

/// Options of softmax and log-softmax.
///
/// `y_c = exp(a_c − m) / d`, and with `log` `y_c = (a_c − m) − ln d`, where `m = max a`, `d = Σ exp(a_c − m)`, and a is
/// what [`Adjust`] makes of the logits. Its backward pass is [`SoftmaxGrad`](crate::SoftmaxGrad).
///
/// A row with a NaN or +∞ in it gives NaN throughout; a class with −∞ gives 0 (−∞ with `log`), and the others give what
/// they would if it were absent. Probabilities below 2⁻¹²⁶ may be 0. Others are within 4 ULP, and of logits of 16 bits
/// within the rounding of `a_c − m` to f32 besides; log-probabilities are within 4 ULP of themselves, however small.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Softmax {
    /// Whether the result is the logarithm of the probabilities.
    pub log: bool,
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// One more logit in the denominator.
    pub sink: Option<Sink>,
    /// Whether the lse of each row is left as well, in [`SoftmaxBuffers::lse`]. The calls that take host slices ignore it:
    /// [`Gpu::logsumexp`] gives it.
    pub lse: bool,
    /// How logits and result are stored. The calls that take host slices use the slices' type instead.
    pub storage: Storage,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// The result replaces the logits, in [`SoftmaxKernel::encode`]. The calls that take host slices ignore it.
    pub in_place: bool,
    /// Native exp and log, sums and products that the driver may fuse, no second number for what rounding loses: fewer
    /// instructions where arithmetic is what a GPU is short of. The order of summation stays, so that a row's bits are
    /// still the same in every batch, plan and run on one adapter, but not on another. Errors are what the driver's
    /// functions make of them: [`Gpu::verify`](crate::Gpu::verify) measures them.
    pub fast: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

/// The buffers of [`SoftmaxKernel::encode`].
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// The result, laid out as the logits are; `None` with [`Softmax::in_place`].
    pub result: Option<Slice<'a>>,
    /// The buffers that [`Softmax::adjust`] asks for.
    pub adjust: AdjustBuffers<'a>,
    /// An f32 for each row; with [`Sink::PerRow`] of [`Values::Buffer`](crate::Values::Buffer).
    pub sink: Option<Slice<'a>>,
    /// An f32 for each row; with [`Softmax::lse`].
    pub lse: Option<Slice<'a>>,
    /// For rows that are a shard: what `bind_statistics` leaves of this shard, or, for `bind`, that of all shards in the order
    /// of their classes, one after the other. How many bytes: `statistics_bytes`.
    pub statistics: Option<Slice<'a>>,
}

impl<'a> SoftmaxBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub const fn new(logits: Slice<'a>, result: Option<Slice<'a>>) -> Self {
        Self {
            logits,
            result,
            adjust: AdjustBuffers {
                scale: None,
                bias: None,
                mask: None,
            },
            sink: None,
            lse: None,
            statistics: None,
        }
    }
}

/// Softmax over one shape, ready to be recorded any number of times.
///
/// ```
/// use wgpu_softmax::{Gpu, Rows, Softmax, SoftmaxBuffers};
/// let gpu = Gpu::new()?;
/// let kernel = Softmax::default().prepare(&gpu, Rows::new(2, 4))?;
/// let buffer = || gpu.device().create_buffer(&wgpu::BufferDescriptor {
///     label: None, size: 32, usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false,
/// });
/// let (logits, probs) = (buffer(), buffer());
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// kernel.encode(&mut encoder, &SoftmaxBuffers::new(logits.slice(..), Some(probs.slice(..))))?;
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftmaxKernel {
    kernel: RowKernel,
    adjusted: Adjusted,
    sink: SinkOption,
    params: Params,
}

impl Softmax {
    /// Log-softmax.
    #[doc(alias = "log_softmax")]
    pub fn log() -> Self {
        Self {
            log: true,
            ..Self::default()
        }
    }

    pub(super) fn spec(&self, adjusted: &Adjusted) -> RowSpec {
        let place = if self.in_place {
            ResultPlace::InPlace
        } else {
            ResultPlace::Apart
        };
        let own = [
            (Slot::Logits, !self.in_place),
            (Slot::Result, true),
            (Slot::Sink, self.sink.is_some()),
            (Slot::Lse, self.lse),
        ];
        let own: Slots = own.into_iter().collect();
        RowSpec {
            op: RowOp::Softmax {
                log: self.log,
                lse_grad: false,
            },
            storage: self.storage,
            fast: self.fast,
            equal_rows: false,
            place,
            stats: RowStatsNeed::Sums,
            adjust: adjusted.spec,
            sample: SampleSpec::default(),
            slots: own.with(adjusted.slots()),
        }
    }

    pub(super) fn params(&self, adjusted: &Adjusted) -> Params {
        Params {
            fully_masked: self.fully_masked as u32,
            ..adjusted.params
        }
    }

    pub(super) fn on_host<T: Element>(&self) -> Self {
        Self {
            in_place: true,
            lse: false,
            storage: Storage::all(T::DTYPE),
            ..self.clone()
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<SoftmaxKernel, EncodeError> {
        check_in_place(self.in_place, self.storage)?;
        let layout = rows.into();
        let adjusted = Adjusted::new(gpu, layout.rows, &self.adjust)?;
        let sink = SinkOption::new(gpu, layout.rows, self.sink.as_ref())?;
        Ok(SoftmaxKernel {
            kernel: RowKernel::new(gpu, layout, self.spec(&adjusted), self.schedule)?,
            params: sink.params(self.params(&adjusted)),
            adjusted,
            sink,
        })
    }
}

impl SoftmaxKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Checks the buffers and binds the operation to them, to be recorded any number of times.
    ///
    /// # Errors
    /// Buffers that are missing, unused, too small, misplaced, overlapping, or lack `STORAGE` usage.
    pub fn bind(&self, buffers: &SoftmaxBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    /// Whoever records it more than once on the same buffers saves time by [`SoftmaxKernel::bind`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`]; in that case nothing was recorded.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &SoftmaxBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &SoftmaxBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        self.kernel.bind(&self.operands(buffers)?, self.params)
    }

    /// For rows that are a shard ([`Rows::shard`](crate::Rows::shard)): binds what leaves their statistics in
    /// [`SoftmaxBuffers::statistics`], before those of all shards are brought together; of the others it needs the logits and
    /// the adjustment's alone.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`].
    pub fn bind_statistics(&self, buffers: &SoftmaxBuffers<'_>) -> Result<Bound, EncodeError> {
        let mut operands = logits_operand(&self.kernel.spec, buffers.logits);
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        operands.extend(self.kernel.statistics_operand(buffers.statistics, true)?);
        let new = self.kernel.bind_statistics(&operands, self.params)?;
        Ok(new.bound)
    }

    /// The bytes of a shard's statistics, and of those of all shards: 12 for each span of a row.
    pub fn statistics_bytes(&self) -> [u64; 2] {
        self.kernel.statistics_bytes()
    }

    /// Checks the buffers, and gives the dispatches for them.
    pub(super) fn dispatches<'a>(&'a self, buffers: &SoftmaxBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let operands = self.operands(buffers)?;
        self.kernel.check(&operands)?;
        self.kernel.dispatches(&operands, 0, self.params)
    }

    fn operands<'a>(&'a self, buffers: &SoftmaxBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let mut operands = matrix_operands(&self.kernel.spec, buffers.logits, buffers.result)?;
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        operands.extend(self.sink.operand(buffers.sink)?);
        let wants_lse = self.kernel.spec.slots.has(Slot::Lse);
        let lse = require_iff(wants_lse, "lse", "lse", buffers.lse)?;
        operands.extend(lse.map(|lse| Operand::written(Slot::Lse, "lse", lse, Extent::Row)));
        operands.extend(self.kernel.statistics_operand(buffers.statistics, false)?);
        Ok(operands)
    }
}

impl Gpu {
    /// Softmax of a batch on the host: see [`Softmax`] for the formula and special values.
    ///
    /// `logits` and the result are laid out as `rows` says; padding is 0 in the result. Batches larger than the
    /// device's limits go through it in parts.
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slice, and whatever the device reports.
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, Rows, Softmax};
    /// # let gpu = Gpu::new()?;
    /// let y = gpu.softmax(&[1f32, 2.0, f32::NEG_INFINITY], Rows::new(1, 3), &Softmax::default())?;
    /// assert!((y[1] / y[0] - 1f32.exp()).abs() < 1e-6 && y[2] == 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax<T: Element>(
        &self,
        logits: &[T],
        rows: impl Into<RowLayout>,
        options: &Softmax,
    ) -> Result<Vec<T>, RunError> {
        block_on(self.run_softmax(logits, rows.into(), None, options, Wait::Blocking))
    }

    /// [`Gpu::softmax`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax`].
    pub async fn softmax_async<T: Element>(
        &self,
        logits: &[T],
        rows: impl Into<RowLayout>,
        options: &Softmax,
    ) -> Result<Vec<T>, RunError> {
        self.run_softmax(logits, rows.into(), None, options, Wait::OnThread)
            .await
    }

    pub(super) async fn run_softmax<T: Element>(
        &self,
        logits: &[T],
        layout: RowLayout,
        all: Option<&ShardStatistics>,
        options: &Softmax,
        wait: Wait,
    ) -> Result<Vec<T>, RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        let options = options.on_host::<T>();
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let sink = SinkOption::on_host(gpu, rows, options.sink.as_ref())?;
        let spec = options.spec(&adjusted);
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.extend(sink.operand(None)?);
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
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        gpu.stream(matrices.into_iter().chain(mask).collect(), &batch).await
    }
}
