//! The entropy of rows, and its gradient.

mod host;
mod output;

pub use output::EntropyOutput;

use super::adjust::{Adjust, AdjustBuffers, Adjusted};
use super::loss::Gradient;
use super::row_op::{FullyMasked, check_in_place, matrix_operands};
use super::values::{OptionBuffer, Values, check_finite, option_operand};
use crate::dispatch::{Bound, Extent, NewlyBound, Operand, Recorded, RowKernel, Slice, require_iff};
use crate::dtype::Storage;
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ragged::RowLayout;
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot, Slots};

/// Options of the entropy of rows, and of its gradient: what an entropy bonus of a policy, or a penalty on confident rows, needs.
///
/// `H = −Σ y ln y` of the softmax y of each row of what [`Adjust`] makes of the logits, one f32 for each; and on request
/// `dx_c = −g y_c (ln y_c + H) · da/dx` with an upstream gradient g for each row.
///
/// A row with a NaN or +∞ gives NaN. Classes with −∞ count as absent, and their gradient is 0. A row of −∞ alone gives NaN, or 0, or
/// ln C with gradient 0, as [`FullyMasked`] says. The entropy is within 4 ULP of itself, the gradient within 8 ULP of `g y_c` times the
/// larger of `|ln y_c|` and H.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Entropy {
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// How logits and gradient are stored. The calls that take host slices use the slices' type instead.
    pub storage: Storage,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// Whether, and where, the gradient is computed.
    pub gradient: Gradient,
    /// g of each row: finite, or an error where they are on the host. `None` is 1.
    pub upstream: Option<Values>,
    /// Native exp and log, sums and products that the driver may fuse, no second number for what rounding loses: fewer
    /// instructions where arithmetic is what a GPU is short of. The order of summation stays, so that a row's bits are
    /// still the same in every batch, plan and run on one adapter, but not on another.
    pub fast: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

/// The buffers of [`EntropyKernel::encode`].
#[derive(Debug, Clone, Copy)]
pub struct EntropyBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// An f32 for each row.
    pub entropy: Slice<'a>,
    /// The gradient, laid out as the logits are; with [`Gradient::Apart`].
    pub gradient: Option<Slice<'a>>,
    /// An f32 for each row; with [`Entropy::upstream`] of [`Values::Buffer`].
    pub upstream: Option<Slice<'a>>,
    /// The buffers that [`Entropy::adjust`] asks for.
    pub adjust: AdjustBuffers<'a>,
}

impl<'a> EntropyBuffers<'a> {
    /// The buffers that are needed whatever the options.
    pub fn new(logits: Slice<'a>, entropy: Slice<'a>) -> Self {
        Self {
            logits,
            entropy,
            gradient: None,
            upstream: None,
            adjust: AdjustBuffers::default(),
        }
    }
}

/// The entropy of rows over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct EntropyKernel {
    kernel: RowKernel,
    adjusted: Adjusted,
    upstream: Option<OptionBuffer>,
    params: Params,
}

impl Entropy {
    fn spec(&self, adjusted: &Adjusted) -> RowSpec {
        let has_gradient = self.gradient != Gradient::None;
        let own = [
            (Slot::Logits, self.gradient != Gradient::InPlace),
            (Slot::Result, has_gradient),
            (Slot::Entropy, true),
            (Slot::GradScale, has_gradient && self.upstream.is_some()),
        ];
        let own: Slots = own.into_iter().collect();
        RowSpec {
            op: RowOp::Entropy,
            storage: self.storage,
            fast: self.fast,
            equal_rows: false,
            place: self.gradient.place(),
            stats: RowStatsNeed::Sums,
            adjust: adjusted.spec,
            sample: SampleSpec::default(),
            slots: own.with(adjusted.slots()),
        }
    }

    fn params(&self, adjusted: &Adjusted) -> Params {
        Params {
            fully_masked: self.fully_masked as u32,
            ..adjusted.params
        }
    }

    fn upstream_buffer(&self, gpu: &Gpu, rows: usize) -> Result<Option<OptionBuffer>, EncodeError> {
        check_finite("upstream", self.upstream.as_ref())?;
        let values = (self.upstream.as_ref()).filter(|_| self.gradient != Gradient::None);
        let buffer = |values| OptionBuffer::new(gpu, Slot::GradScale, "upstream", Extent::Row, rows, values);
        values.map(buffer).transpose()
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<EntropyKernel, EncodeError> {
        check_in_place(self.gradient == Gradient::InPlace, self.storage)?;
        let layout = rows.into();
        let adjusted = Adjusted::new(gpu, layout.rows, &self.adjust)?;
        Ok(EntropyKernel {
            upstream: self.upstream_buffer(gpu, layout.rows.count())?,
            kernel: RowKernel::new(gpu, layout, self.spec(&adjusted), self.schedule)?,
            params: self.params(&adjusted),
            adjusted,
        })
    }
}

impl EntropyKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind(&self, buffers: &EntropyBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &EntropyBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &EntropyBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let spec = &self.kernel.spec;
        let is_apart = spec.place == ResultPlace::Apart;
        let gradient = require_iff(is_apart, "gradient", "gradient: Apart", buffers.gradient)?;
        let mut operands = matrix_operands(spec, buffers.logits, gradient)?;
        operands.push(Operand::written(Slot::Entropy, "entropy", buffers.entropy, Extent::Row));
        operands.extend(option_operand(&self.upstream, "upstream", buffers.upstream)?);
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        self.kernel.bind(&operands, self.params)
    }
}
