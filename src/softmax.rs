//! Softmax and log-softmax.

use crate::adjust::{Adjust, AdjustBuffers, Adjusted};
use crate::dtype::{Element, Storage};
use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::kernel::{HostBatch, Recorded, RowKernel, Slice};
use crate::operand::{Extent, Operand, Slot, asked};
use crate::plan::Schedule;
use crate::rows::Rows;
use crate::shader::{Needs, Params, Place, RowOp, RowSpec};
use crate::transfer::{Matrix, Wait};

/// What a row of −∞ alone gives; the mathematics leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum FullyMasked {
    /// NaN, as in PyTorch: softmax, log-softmax, lse, loss and gradient.
    #[default]
    Nan,
    /// softmax 0; log-softmax and lse −∞; loss and gradient 0.
    Zeros,
    /// As if all logits were equal: softmax 1/C; log-softmax and lse −ln C; loss ln C and gradient y − t.
    Uniform,
}

impl FullyMasked {
    pub(crate) fn word(self) -> u32 {
        match self {
            Self::Nan => 0,
            Self::Zeros => 1,
            Self::Uniform => 2,
        }
    }
}

/// Options of softmax and log-softmax.
///
/// `y_c = exp(a_c − m) / d`, and with `log` `y_c = (a_c − m) − ln d`, where `m = max a`, `d = Σ exp(a_c − m)`, and a is what
/// [`Adjust`] makes of the logits. Its backward is [`SoftmaxGrad`](crate::SoftmaxGrad).
///
/// A row with a NaN or +∞ in it gives NaN throughout; a class with −∞ gives 0 (−∞ with `log`), the rest as if it were
/// absent. Probabilities under 2⁻¹²⁶ may be 0.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Softmax {
    /// The logarithm of the probabilities.
    pub log: bool,
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// How logits and result are stored. The calls that take host slices go by the slices' type.
    pub storage: Storage,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// The result replaces the logits, in [`SoftmaxKernel::encode`]. The calls that take host slices ignore it.
    pub in_place: bool,
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
    /// Those that [`Softmax::adjust`] asks for.
    pub adjust: AdjustBuffers<'a>,
}

impl<'a> SoftmaxBuffers<'a> {
    /// The buffers that every option needs.
    pub const fn new(logits: Slice<'a>, result: Option<Slice<'a>>) -> Self {
        Self {
            logits,
            result,
            adjust: AdjustBuffers {
                scale: None,
                bias: None,
                mask: None,
            },
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

    fn spec(&self, adjusted: &Adjusted) -> RowSpec {
        let place = if self.in_place { Place::InPlace } else { Place::Apart };
        let own = [Slot::Logits, Slot::Result]
            .into_iter()
            .skip(usize::from(self.in_place));
        RowSpec {
            op: RowOp::Softmax {
                log: self.log,
                gradient: false,
            },
            storage: self.storage,
            place,
            needs: Needs::Sums,
            shaping: adjusted.shaping,
            slots: own.chain(adjusted.slots()).collect(),
        }
    }

    fn params(&self, adjusted: &Adjusted) -> Params {
        Params {
            policy: self.fully_masked.word(),
            ..adjusted.params
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// A shape, schedule or option that is none, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<SoftmaxKernel, EncodeError> {
        check_in_place(self.in_place, self.storage)?;
        let adjusted = Adjusted::new(gpu, rows, &self.adjust)?;
        Ok(SoftmaxKernel {
            kernel: RowKernel::new(gpu, rows, self.spec(&adjusted), self.schedule)?,
            params: self.params(&adjusted),
            adjusted,
        })
    }
}

/// What replaces the logits has their type.
pub(crate) fn check_in_place(in_place: bool, storage: Storage) -> Result<(), EncodeError> {
    if in_place && storage.logits != storage.result {
        return Err(EncodeError::Conflict {
            a: "a result in place",
            b: "storage of two types",
            why: "what replaces the logits has their type",
        });
    }
    Ok(())
}

/// The logits and the result of a kernel, apart or in place.
pub(crate) fn matrix_operands<'a>(
    spec: &RowSpec,
    logits: Slice<'a>,
    result: Option<Slice<'a>>,
) -> Result<Vec<Operand<'a>>, EncodeError> {
    let result = asked("result", "a result apart", result, spec.place == Place::Apart)?;
    let (read, written) = (spec.storage.logits.bytes(), spec.storage.result.bytes());
    if spec.place == Place::InPlace {
        return Ok(vec![Operand::written(
            Slot::Result,
            "logits",
            logits,
            Extent::Matrix(read),
        )]);
    }
    let mut all = vec![Operand::read(Slot::Logits, "logits", logits, Extent::Matrix(read))];
    all.extend(result.map(|slice| Operand::written(Slot::Result, "result", slice, Extent::Matrix(written))));
    Ok(all)
}

impl SoftmaxKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// Buffers that are missing, unused, too small, misplaced, overlapping, or lack `STORAGE` usage; nothing was recorded
    /// then.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &SoftmaxBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        let mut operands = matrix_operands(&self.kernel.spec, buffers.logits, buffers.result)?;
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        self.kernel.encode(encoder, &operands, self.params)
    }
}

impl Gpu {
    /// Softmax of a batch on the host: see [`Softmax`] for the formula and special values.
    ///
    /// `logits` and the result are laid out as `rows` says; padding is 0 in the result. Batches larger than the device's
    /// limits go through it in parts.
    ///
    /// # Errors
    /// A shape that is none or does not fit the slice, and whatever the device reports.
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, Rows, Softmax};
    /// # let gpu = Gpu::new()?;
    /// let y = gpu.softmax(&[1f32, 2.0, f32::NEG_INFINITY], Rows::new(1, 3), &Softmax::default())?;
    /// assert!((y[1] / y[0] - 1f32.exp()).abs() < 1e-6 && y[2] == 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn softmax<T: Element>(&self, logits: &[T], rows: Rows, options: &Softmax) -> Result<Vec<T>, RunError> {
        pollster::block_on(self.run_softmax(logits, rows, options, Wait::Here))
    }

    /// [`Gpu::softmax`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax`].
    pub async fn softmax_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
    ) -> Result<Vec<T>, RunError> {
        self.run_softmax(logits, rows, options, Wait::Elsewhere).await
    }

    async fn run_softmax<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
        wait: Wait,
    ) -> Result<Vec<T>, RunError> {
        let gpu = &self.lending();
        let _turn = gpu.turn().await;
        let options = Softmax {
            in_place: true,
            storage: Storage::all(T::DTYPE),
            ..options.clone()
        };
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let batch = HostBatch {
            rows,
            spec: options.spec(&adjusted),
            schedule: options.schedule,
            params: options.params(&adjusted),
            others: adjusted.operands(&AdjustBuffers::default())?,
            wait,
        };
        let matrices = [Matrix::new(Slot::Logits, "logits", logits, &rows)?];
        gpu.stream(matrices.into_iter().chain(mask).collect(), &batch).await
    }
}
