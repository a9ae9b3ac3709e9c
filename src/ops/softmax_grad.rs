//! The backward pass of softmax and log-softmax, from their saved result.

mod host;

use super::adjust::{Adjust, AdjustBuffers, Adjusted, Mask};
use super::row_op::{direction_operand, matrix_operands};
use super::sink::{Sink, SinkOption, sink_gradient};
use crate::dispatch::{Bound, Extent, NewlyBound, Operand, Recorded, RowKernel, Slice, require_iff};
use crate::dtype::Storage;
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ragged::RowLayout;
use crate::schedule::Schedule;
use crate::shader::{AdjustSpec, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot};

/// Options of the backward pass of softmax, and with `log` of log-softmax.
///
/// With the saved result y and the upstream gradient g, both laid out as the logits are:
/// `dx_c = y_c (g_c − Σ g y) · da/dx`, and with `log` `dx_c = (g_c − e^(y_c) Σ g) · da/dx`.
///
/// A class of probability 0 has gradient 0, whatever its g, and takes no part in the sums. A row with a NaN or +∞ in y,
/// or whose sum is NaN, gives NaN. The gradient is off the reference's by at most 1e-6 times the row's largest |g|.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SoftmaxGrad {
    /// Whether the saved result is that of log-softmax.
    pub log: bool,
    /// What the forward pass did to the logits; masks change nothing here, but a softcap needs the logits again.
    pub adjust: Adjust,
    /// The forward pass's sink, for its gradient: `dσ = −e^(σ − lse) Σ g y` for each row, and with `log` `−e^(σ − lse) Σ g`. The gradient
    /// of the logits does not need it, because y has it in it. The lse is taken as it was rounded, so that dσ is off by up to
    /// `6e-8 |lse|` of itself.
    pub sink: Option<Sink>,
    /// The product of a Hessian and a direction v takes the gradient's place: of `Σ g y` with a constant g,
    /// `y_c ((v_c − t)(g_c − s) − u)` with `t = Σ y v`, `s = Σ y g` and `u = Σ y v g − t s`; with `log` of `Σ g ln y`,
    /// `−e^(y_c) (v_c − t) Σ g`; times da/dx twice. It is what a second backward pass adds to the gradient of the logits; that of g is
    /// the gradient itself, of v in the place of g. Without a softcap and a sink. Off by at most 2e-6 times the largest |g| and the
    /// largest |v| of a row, with `log` times Σ |g| instead, from a y in f32: one of 16 bits does not add up to 1.
    pub hessian_vector: bool,
    /// `logits`: the saved result's, the upstream gradient's and the logits' type; `result`: the gradient's.
    pub storage: Storage,
    /// Native exp and log, sums and products that the driver may fuse, no second number for what rounding loses: fewer
    /// instructions where arithmetic is what a GPU is short of. The order of summation stays, so that a row's bits are
    /// still the same in every batch, plan and run on one adapter, but not on another. Errors are what the driver's
    /// functions make of them: [`Gpu::verify`](crate::Gpu::verify) measures them.
    pub fast: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

/// The buffers of [`SoftmaxGradKernel::encode`].
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxGradBuffers<'a> {
    /// The forward pass's result y.
    pub saved: Slice<'a>,
    /// The upstream gradient g.
    pub upstream: Slice<'a>,
    /// The gradient dx.
    pub gradient: Slice<'a>,
    /// The logits; with [`Adjust::softcap`].
    pub logits: Option<Slice<'a>>,
    /// The direction v, laid out as the logits are; with [`SoftmaxGrad::hessian_vector`].
    pub direction: Option<Slice<'a>>,
    /// Scale and bias, where [`SoftmaxGrad::adjust`] asks for them.
    pub adjust: AdjustBuffers<'a>,
    /// An f32 for each row; with [`Sink::PerRow`] of [`Values::Buffer`](crate::Values::Buffer).
    pub sink: Option<Slice<'a>>,
    /// The lse that the forward pass left ([`Softmax::lse`](crate::Softmax::lse)), an f32 for each row; with [`SoftmaxGrad::sink`].
    pub lse: Option<Slice<'a>>,
    /// dσ, an f32 for each row; with [`SoftmaxGrad::sink`].
    pub sink_gradient: Option<Slice<'a>>,
}

impl<'a> SoftmaxGradBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub fn new(saved: Slice<'a>, upstream: Slice<'a>, gradient: Slice<'a>) -> Self {
        Self {
            saved,
            upstream,
            gradient,
            logits: None,
            direction: None,
            adjust: AdjustBuffers::default(),
            sink: None,
            lse: None,
            sink_gradient: None,
        }
    }
}

/// The backward pass over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct SoftmaxGradKernel {
    kernel: RowKernel,
    adjusted: Adjusted,
    sink: SinkOption,
    softcap: bool,
}

impl SoftmaxGrad {
    /// The part of `adjust` that da/dx depends on: the scale and, where there is a softcap, the bias.
    fn derivative(&self) -> Adjust {
        Adjust {
            mask: Mask::None,
            bias: self.adjust.bias.clone().filter(|_| self.adjust.softcap.is_some()),
            ..self.adjust.clone()
        }
    }

    fn validate(&self) -> Result<(), EncodeError> {
        let others = [
            (
                self.adjust.softcap.is_some(),
                "softcap",
                "a softcap has a second derivative of its own",
            ),
            (self.sink.is_some(), "sink", "its gradient is that of a backward pass"),
        ];
        match others.into_iter().find(|(is_on, ..)| self.hessian_vector && *is_on) {
            Some((_, b, why)) => Err(EncodeError::Conflict {
                a: "hessian_vector",
                b,
                why,
            }),
            None => Ok(()),
        }
    }

    fn spec(&self, adjusted: &Adjusted, place: ResultPlace) -> RowSpec {
        let logits_again = self.adjust.softcap.is_some().then_some(Slot::SoftcapLogits);
        let own = [Slot::Result, Slot::UpstreamMatrix].into_iter().chain(logits_again);
        let logits = (place == ResultPlace::Apart).then_some(Slot::Logits);
        let of_sink = [Slot::Sink, Slot::SavedLse, Slot::SinkGrad];
        let of_sink = of_sink.into_iter().filter(|_| self.sink.is_some());
        let direction = self.hessian_vector.then_some(Slot::Direction);
        RowSpec {
            op: RowOp::SoftmaxGrad { log: self.log },
            storage: self.storage,
            fast: self.fast,
            equal_rows: false,
            place,
            stats: RowStatsNeed::Sums,
            adjust: AdjustSpec {
                grad_only: true,
                ..adjusted.spec
            },
            sample: SampleSpec::default(),
            slots: own
                .chain(logits)
                .chain(of_sink)
                .chain(direction)
                .chain(adjusted.slots())
                .collect(),
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<SoftmaxGradKernel, EncodeError> {
        self.validate()?;
        let layout = rows.into();
        let adjusted = Adjusted::new(gpu, layout.rows, &self.derivative())?;
        let sink = SinkOption::new(gpu, layout.rows, self.sink.as_ref())?;
        Ok(SoftmaxGradKernel {
            kernel: RowKernel::new(gpu, layout, self.spec(&adjusted, ResultPlace::Apart), self.schedule)?,
            adjusted,
            sink,
            softcap: self.adjust.softcap.is_some(),
        })
    }
}

fn require_logits<S>(logits: Option<S>, softcap: bool) -> Result<Option<S>, EncodeError> {
    let option = if softcap {
        "softcap"
    } else {
        "a backward without softcap"
    };
    require_iff(softcap, "logits", option, logits)
}

impl SoftmaxGradKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind(&self, buffers: &SoftmaxGradBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &SoftmaxGradBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &SoftmaxGradBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let spec = &self.kernel.spec;
        let matrix = Extent::Matrix(spec.storage.logits.bytes());
        let mut operands = matrix_operands(spec, buffers.saved, Some(buffers.gradient))?;
        operands.push(Operand::read(
            Slot::UpstreamMatrix,
            "upstream",
            buffers.upstream,
            matrix,
        ));
        let logits = require_logits(buffers.logits, self.softcap)?;
        operands.extend(logits.map(|slice| Operand::read(Slot::SoftcapLogits, "logits", slice, matrix)));
        operands.extend(direction_operand(spec, buffers.direction)?);
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        operands.extend(self.sink.operand(buffers.sink)?);
        let has_sink = self.sink.is_there();
        let lse = require_iff(has_sink, "lse", "sink", buffers.lse)?;
        operands.extend(lse.map(|lse| Operand::read(Slot::SavedLse, "lse", lse, Extent::Row)));
        let of_sink = require_iff(has_sink, "sink_gradient", "sink", buffers.sink_gradient)?;
        operands.extend(of_sink.map(sink_gradient));
        self.kernel.bind(&operands, self.sink.params(self.adjusted.params))
    }
}
