//! logsumexp and its backward pass.

mod buffers;
mod host;

pub use buffers::{LogSumExpBuffers, LogSumExpGradBuffers};

use super::adjust::{Adjust, Adjusted};
use super::row_op::{FullyMasked, check_in_place, matrix_operands};
use super::sink::{Sink, SinkOption, sink_gradient};
use crate::dispatch::{Bound, Extent, NewlyBound, Operand, Recorded, RowKernel, require_iff};
use crate::dtype::{Element, Storage};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ragged::RowLayout;
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot, Slots};

/// Options of logsumexp and its backward pass.
///
/// `lse = m + ln d`, with `m = max a` and `d = Σ exp(a_c − m)`, where a is what [`Adjust`] makes of the logits; it is
/// one f32 for each row. Its gradient, for an upstream gradient g of each row, is `dx_c = g y_c · da/dx` with
/// `y_c = exp(a_c − lse)`.
///
/// A row with a NaN or +∞ gives NaN. Classes with −∞ count as absent, and their gradient is 0. A row of −∞ alone gives
/// NaN, or −∞ with gradient 0, or −ln C with `y = 1/C`, as [`FullyMasked`] says. The lse is `m + ln d` rounded, with a
/// `ln d` that is within 4 ULP of itself. The backward pass takes it as it was rounded, so that its gradients are off by up to
/// `6e-8 |lse|` of themselves besides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogSumExp {
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// One more logit in the denominator. The lse has it in it, so that the gradient of the logits does not need it; the backward pass
    /// gives its own gradient besides, `dσ = g e^(σ − lse)` for each row.
    pub sink: Option<Sink>,
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
    sink: SinkOption,
    params: Params,
}

/// The backward pass of logsumexp over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct LogSumExpGradKernel(LogSumExpKernel);

impl LogSumExp {
    fn spec(&self, adjusted: &Adjusted) -> RowSpec {
        let own = [
            (Slot::Logits, true),
            (Slot::Lse, true),
            (Slot::Sink, self.sink.is_some()),
        ];
        let own: Slots = own.into_iter().collect();
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
            slots: own.with(adjusted.slots()),
        }
    }

    fn grad_spec(&self, adjusted: &Adjusted) -> RowSpec {
        let from_lse = self.fully_masked != FullyMasked::Uniform;
        let own = [
            (Slot::Result, true),
            (Slot::GradScale, true),
            (Slot::Logits, !self.in_place),
            (Slot::SavedLse, from_lse),
            (Slot::Sink, self.sink.is_some()),
            (Slot::SinkGrad, self.sink.is_some()),
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
        layout: RowLayout,
        spec: impl Fn(&Self, &Adjusted) -> RowSpec,
    ) -> Result<LogSumExpKernel, EncodeError> {
        let adjusted = Adjusted::new(gpu, layout.rows, &self.adjust)?;
        let sink = SinkOption::new(gpu, layout.rows, self.sink.as_ref())?;
        Ok(LogSumExpKernel {
            kernel: RowKernel::new(gpu, layout, spec(self, &adjusted), self.schedule)?,
            params: sink.params(self.params(&adjusted)),
            adjusted,
            sink,
        })
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<LogSumExpKernel, EncodeError> {
        self.kernel(gpu, rows.into(), Self::spec)
    }

    /// As [`LogSumExp::prepare`], for the backward pass.
    ///
    /// # Errors
    /// As [`LogSumExp::prepare`].
    pub fn prepare_grad(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<LogSumExpGradKernel, EncodeError> {
        check_in_place(self.in_place, self.storage)?;
        self.kernel(gpu, rows.into(), Self::grad_spec).map(LogSumExpGradKernel)
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

    /// For rows that are a shard ([`Rows::shard`](crate::Rows::shard)): binds what leaves their statistics in
    /// [`LogSumExpBuffers::statistics`], as
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
        operands.extend(self.sink.operand(buffers.sink)?);
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
        operands.extend(self.0.sink.operand(buffers.sink)?);
        let of_sink = require_iff(self.0.sink.is_there(), "sink_gradient", "sink", buffers.sink_gradient)?;
        operands.extend(of_sink.map(sink_gradient));
        kernel.bind(&operands, self.0.params)
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
