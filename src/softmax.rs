//! Softmax and log-softmax.

use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::kernel::{RowKernel, Slice, check, check_apart, record};
use crate::plan::Schedule;
use crate::rows::Rows;
use crate::shader::{Params, Place, RowOp};
use crate::transfer::{Stream, Wait};

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
/// `y_c = exp(x_c − m) / d`, and with `log` `y_c = (x_c − m) − ln d`, where `m = max x` and `d = Σ exp(x_c − m)`.
///
/// A row with a NaN or +∞ in it gives NaN throughout; a class with −∞ gives 0 (−∞ with `log`), the rest as if it were
/// absent. Probabilities under 2⁻¹²⁶ may be 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Softmax {
    /// The logarithm of the probabilities.
    pub log: bool,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// The result replaces the logits, in [`SoftmaxKernel::encode`]. The calls that take host slices ignore it.
    pub in_place: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

/// The buffers of [`SoftmaxKernel::encode`], all f32.
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// The result, laid out as the logits are; `None` with [`Softmax::in_place`].
    pub result: Option<Slice<'a>>,
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
/// kernel.encode(&mut encoder, &SoftmaxBuffers { logits: logits.slice(..), result: Some(probs.slice(..)) })?;
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SoftmaxKernel {
    kernel: RowKernel,
    options: Softmax,
}

impl Softmax {
    /// Log-softmax.
    pub fn log() -> Self {
        Self {
            log: true,
            ..Self::default()
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// A shape or schedule that is none, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<SoftmaxKernel, EncodeError> {
        let place = if self.in_place { Place::InPlace } else { Place::Apart };
        let kernel = RowKernel::new(gpu, rows, RowOp::Softmax { log: self.log }, place, self.schedule)?;
        Ok(SoftmaxKernel { kernel, options: *self })
    }
}

impl SoftmaxKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// Buffers that are too small, misplaced, overlapping, or lack `STORAGE` usage; nothing was recorded then.
    pub fn encode(&self, encoder: &mut wgpu::CommandEncoder, buffers: &SoftmaxBuffers<'_>) -> Result<(), EncodeError> {
        let elements = self.kernel.rows.elements()?;
        check("logits", buffers.logits, elements)?;
        match buffers.result {
            Some(_) if self.options.in_place => {
                return Err(EncodeError::UnusedBuffer {
                    buffer: "result",
                    option: "in_place",
                });
            }
            None if !self.options.in_place => {
                return Err(EncodeError::MissingBuffer {
                    buffer: "result",
                    option: "in_place = false",
                });
            }
            _ => {}
        }
        if let Some(result) = buffers.result {
            check("result", result, elements)?;
            check_apart(self.kernel.gpu(), &[("result", result)], &[("logits", buffers.logits)])?;
        }
        let params = Params {
            policy: self.options.fully_masked.word(),
            ..Params::default()
        };
        let mut steps = Vec::new();
        for part in self.kernel.parts() {
            steps.extend(
                self.kernel
                    .steps(part, buffers.logits, buffers.result, Vec::new(), params)?,
            );
        }
        record(self.kernel.gpu(), encoder, &steps)
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
    /// let y = gpu.softmax(&[1.0, 2.0, f32::NEG_INFINITY], Rows::new(1, 3), &Softmax::default())?;
    /// assert!((y[1] / y[0] - 1f32.exp()).abs() < 1e-6 && y[2] == 0.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn softmax(&self, logits: &[f32], rows: Rows, options: &Softmax) -> Result<Vec<f32>, RunError> {
        pollster::block_on(self.run_softmax(logits, rows, options, Wait::Here))
    }

    /// [`Gpu::softmax`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax`].
    pub async fn softmax_async(&self, logits: &[f32], rows: Rows, options: &Softmax) -> Result<Vec<f32>, RunError> {
        self.run_softmax(logits, rows, options, Wait::Elsewhere).await
    }

    async fn run_softmax(
        &self,
        logits: &[f32],
        rows: Rows,
        options: &Softmax,
        wait: Wait,
    ) -> Result<Vec<f32>, RunError> {
        let options = Softmax {
            in_place: true,
            ..*options
        };
        let mut stream = Stream::new(self, rows, logits, true, wait)?;
        let mut kernel: Option<SoftmaxKernel> = None;
        stream
            .run(|part, encoder, buffer| {
                let kernel = match &kernel {
                    Some(same) if same.kernel.rows == part.rows => same,
                    _ => kernel.insert(options.prepare(self, part.rows)?),
                };
                let buffers = SoftmaxBuffers {
                    logits: buffer,
                    result: None,
                };
                kernel.encode(encoder, &buffers)
            })
            .await
    }
}
