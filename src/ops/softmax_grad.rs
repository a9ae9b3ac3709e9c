//! The backward pass of softmax and log-softmax, from their saved result.

use super::adjust::{Adjust, AdjustBuffers, Adjusted, Mask};
use super::row_op::matrix_operands;
use crate::dispatch::{
    Bound, Extent, HostBatch, HostMatrix, NewlyBound, Operand, Recorded, RowKernel, Slice, require_iff,
};
use crate::dtype::{Element, Storage};
use crate::error::{EncodeError, RunError};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
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
    /// Scale and bias, where [`SoftmaxGrad::adjust`] asks for them.
    pub adjust: AdjustBuffers<'a>,
}

/// The backward pass over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct SoftmaxGradKernel {
    kernel: RowKernel,
    adjusted: Adjusted,
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

    fn spec(&self, adjusted: &Adjusted, place: ResultPlace) -> RowSpec {
        let logits_again = self.adjust.softcap.is_some().then_some(Slot::SoftcapLogits);
        let own = [Slot::Result, Slot::UpstreamMatrix].into_iter().chain(logits_again);
        let logits = (place == ResultPlace::Apart).then_some(Slot::Logits);
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
            slots: own.chain(logits).chain(adjusted.slots()).collect(),
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<SoftmaxGradKernel, EncodeError> {
        let layout = rows.into();
        let adjusted = Adjusted::new(gpu, layout.rows, &self.derivative())?;
        Ok(SoftmaxGradKernel {
            kernel: RowKernel::new(gpu, layout, self.spec(&adjusted, ResultPlace::Apart), self.schedule)?,
            adjusted,
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
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        self.kernel.bind(&operands, self.adjusted.params)
    }
}

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
        block_on(self.run_softmax_grad(
            [Some(saved), Some(upstream), logits],
            rows.into(),
            options,
            Wait::Blocking,
        ))
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
        self.run_softmax_grad(
            [Some(saved), Some(upstream), logits],
            rows.into(),
            options,
            Wait::OnThread,
        )
        .await
    }

    async fn run_softmax_grad<T: Element>(
        &self,
        slices: [Option<&[T]>; 3],
        layout: RowLayout,
        options: &SoftmaxGrad,
        wait: Wait,
    ) -> Result<Vec<T>, RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        require_logits(slices[2], options.adjust.softcap.is_some())?;
        let options = SoftmaxGrad {
            storage: Storage::all(T::DTYPE),
            ..options.clone()
        };
        let derivative = options.derivative();
        let (adjusted, _) = Adjusted::on_host(gpu, rows, &derivative)?;
        let names = [
            (Slot::Logits, "saved"),
            (Slot::UpstreamMatrix, "upstream"),
            (Slot::SoftcapLogits, "logits"),
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
            params: adjusted.params,
            others: adjusted.operands(&AdjustBuffers::default())?,
            is_statistics: false,
            wait,
        };
        gpu.stream(matrices.collect::<Result<_, _>>()?, &batch).await
    }
}
