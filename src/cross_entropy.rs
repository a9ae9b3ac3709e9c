//! Cross-entropy of logits and class indices, and its gradient, from one kernel.

use crate::batch::{Batch, BatchBuffers};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::kernel::{RowKernel, Slice, check, check_apart, record};
use crate::plan::Schedule;
use crate::rows::Rows;
use crate::shader::{Place, RowOp};
use crate::softmax::FullyMasked;

/// How the rows' losses become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// They don't: one loss a row, 0 for ignored rows.
    None,
    /// Their mean over the rows that are not ignored.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// The mean of a batch of which every row is ignored, or that has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum EmptyMean {
    /// NaN, as in PyTorch.
    #[default]
    Nan,
    /// 0.
    Zero,
}

/// Whether a gradient is computed, and where [`CrossEntropyKernel::encode`] puts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Gradient {
    /// The forward pass alone.
    #[default]
    None,
    /// Into a buffer of its own.
    Apart,
    /// Over the logits, which are lost. The calls that take host slices leave the caller's slice as it is.
    InPlace,
}

/// The gradient of whatever follows, with respect to the loss.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Upstream {
    /// One number.
    Number(f32),
    /// One for each row; with [`Reduction::None`].
    PerRow(Vec<f32>),
    /// In the caller's [`CrossEntropyBuffers::upstream`]: one f32, or with [`Reduction::None`] one for each row.
    Buffer,
}

impl Default for Upstream {
    fn default() -> Self {
        Self::Number(1.0)
    }
}

/// Options of cross-entropy with class indices as targets.
///
/// `ℓ = ln d − (x_t − m)` and `∂ℓ/∂x_c = y_c − [c = t]`, where `m = max x`, `d = Σ exp(x_c − m)`,
/// `y_c = exp(x_c − m) / d`; the gradient is that of the reduced loss, times [`CrossEntropy::upstream`].
///
/// | row | loss | gradient |
/// |---|---|---|
/// | has a NaN or +∞ | NaN | NaN |
/// | some −∞, not the target | as if those classes were absent | 0 there |
/// | −∞ at the target | +∞ | y − 1 there |
/// | −∞ alone | [`FullyMasked`] | [`FullyMasked`] |
/// | target is `ignore_index` | 0, whatever the logits | 0 |
/// | target is no class | NaN, and counted in [`CrossEntropySummary`] | NaN |
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    /// How the rows' losses become one.
    pub reduction: Reduction,
    /// Rows with this target take no part. It need not be a possible class.
    pub ignore_index: i64,
    /// The mean over no rows.
    pub empty_mean: EmptyMean,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// Whether, and where, the gradient is computed.
    pub gradient: Gradient,
    /// What the gradient is multiplied by.
    pub upstream: Upstream,
    /// The loss of each row; with [`Reduction::None`] it is there anyway.
    pub row_losses: bool,
    /// `m + ln d` of each row.
    pub lse: bool,
    /// The first largest class of each row, or its first NaN.
    pub argmax: bool,
    /// How many rows have their target as argmax.
    pub correct: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self {
            reduction: Reduction::default(),
            ignore_index: -100,
            empty_mean: EmptyMean::default(),
            fully_masked: FullyMasked::default(),
            gradient: Gradient::default(),
            upstream: Upstream::default(),
            row_losses: false,
            lse: false,
            argmax: false,
            correct: false,
            schedule: None,
        }
    }
}

/// The buffers of [`CrossEntropyKernel::encode`]. Those that the options do not ask for must be `None`.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropyBuffers<'a> {
    /// The batch, f32.
    pub logits: Slice<'a>,
    /// A class for each row, i32 or u32.
    pub targets: Slice<'a>,
    /// What became of the batch: [`CrossEntropySummary::BYTES`] bytes that [`CrossEntropySummary::from_bytes`] reads;
    /// the first 4 are the reduced loss, an f32.
    pub summary: Slice<'a>,
    /// f32, laid out as the logits are; with [`Gradient::Apart`].
    pub gradient: Option<Slice<'a>>,
    /// f32; with [`Upstream::Buffer`].
    pub upstream: Option<Slice<'a>>,
    /// An f32 for each row; with `row_losses` or [`Reduction::None`].
    pub row_losses: Option<Slice<'a>>,
    /// An f32 for each row; with `lse`.
    pub lse: Option<Slice<'a>>,
    /// A u32 for each row; with `argmax`.
    pub argmax: Option<Slice<'a>>,
}

impl<'a> CrossEntropyBuffers<'a> {
    /// The buffers that every option needs.
    pub const fn new(logits: Slice<'a>, targets: Slice<'a>, summary: Slice<'a>) -> Self {
        Self {
            logits,
            targets,
            summary,
            gradient: None,
            upstream: None,
            row_losses: None,
            lse: None,
            argmax: None,
        }
    }
}

/// What became of a batch, as the kernels leave it in [`CrossEntropyBuffers::summary`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropySummary {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f32,
    /// Rows whose target is a class and not `ignore_index`.
    pub counted: u32,
    /// Those of them whose argmax is the target, with [`CrossEntropy::correct`]; else 0.
    pub correct: u32,
    /// Rows whose target is neither a class nor `ignore_index`.
    pub bad_targets: u32,
    /// The first of those rows, and its target's bits.
    pub first_bad: Option<(u32, u32)>,
}

impl CrossEntropySummary {
    /// Size of the buffer.
    pub const BYTES: u64 = 32;

    /// Reads the buffer's bytes; `None` if there are fewer than [`Self::BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words: [u32; 8] = bytemuck::pod_read_unaligned(bytes.get(..Self::BYTES as usize)?);
        Some(Self {
            loss: f32::from_bits(words[0]),
            counted: words[1],
            correct: words[2],
            bad_targets: words[3],
            // The kernels keep complements, so that the first row is a maximum.
            first_bad: (words[3] > 0).then_some((!words[4], words[5])),
        })
    }
}

impl CrossEntropy {
    pub(crate) fn wants_row_losses(&self) -> bool {
        self.row_losses || self.reduction == Reduction::None
    }

    fn place(&self) -> Place {
        match self.gradient {
            Gradient::None => Place::None,
            Gradient::Apart => Place::Apart,
            Gradient::InPlace => Place::InPlace,
        }
    }

    /// The kernel for rows that share the buffers of `Batch`.
    pub(crate) fn row_kernel(&self, gpu: &Gpu, rows: Rows) -> Result<RowKernel, EncodeError> {
        let op = RowOp::CrossEntropy {
            gradient: self.gradient != Gradient::None,
            loss: self.wants_row_losses() || self.reduction != Reduction::None,
            lse: self.lse,
            argmax: self.argmax || self.correct,
        };
        RowKernel::new(gpu, rows, op, self.place(), self.schedule)
    }

    /// Chooses a plan for batches of this shape, compiles its kernels, and allocates what they keep beside the caller's
    /// buffers: at most 8 bytes a row, and for few long rows 16 bytes for each 1,024 classes.
    ///
    /// # Errors
    /// A shape, schedule or combination of options that is none, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<CrossEntropyKernel, EncodeError> {
        rows.elements()?;
        let word = i32::try_from(self.ignore_index)
            .map(|i| i as u32)
            .or(u32::try_from(self.ignore_index));
        let ignore_word = word.map_err(|_| EncodeError::IgnoreIndex {
            ignore_index: self.ignore_index,
        })?;
        Ok(CrossEntropyKernel {
            batch: Batch::new(gpu, rows, self, ignore_word)?,
            kernel: self.row_kernel(gpu, rows)?,
        })
    }
}

/// Cross-entropy over one shape, ready to be recorded any number of times: a few small dispatches over the targets, one
/// kernel over the logits (two for few long rows), and one or two over the rows' losses.
///
/// ```
/// use wgpu_softmax::{CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gpu, Gradient, Rows};
/// let gpu = Gpu::new()?;
/// let options = CrossEntropy { gradient: Gradient::InPlace, ..CrossEntropy::default() };
/// let kernel = options.prepare(&gpu, Rows::new(2, 4))?;
/// let buffer = |size| gpu.device().create_buffer(&wgpu::BufferDescriptor {
///     label: None, size, usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST, mapped_at_creation: false,
/// });
/// let (logits, targets, summary) = (buffer(32), buffer(8), buffer(CrossEntropySummary::BYTES));
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// let buffers = CrossEntropyBuffers::new(logits.slice(..), targets.slice(..), summary.slice(..));
/// kernel.encode(&mut encoder, &buffers)?;
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct CrossEntropyKernel {
    batch: Batch,
    kernel: RowKernel,
}

impl CrossEntropyKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Records the operation; nothing is submitted, polled or waited for. Whether a target was out of range is in the
    /// summary, which the caller may read when it likes.
    ///
    /// # Errors
    /// Buffers that are missing, unused, too small, misplaced, overlapping, or lack a usage: `STORAGE`, for the summary
    /// `COPY_DST` too. Nothing was recorded then.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &CrossEntropyBuffers<'_>,
    ) -> Result<(), EncodeError> {
        self.check(buffers)?;
        let batch = BatchBuffers {
            targets: buffers.targets,
            summary: buffers.summary,
            upstream: buffers.upstream,
            row_losses: buffers.row_losses,
            lse: buffers.lse,
            argmax: buffers.argmax,
        };
        let mut steps = self.batch.before(&batch)?;
        for part in self.kernel.parts() {
            let (extra, params) = self.batch.bindings(&batch, part.first_row, part.rows);
            steps.extend(
                self.kernel
                    .steps(part, buffers.logits, buffers.gradient, extra, params)?,
            );
        }
        steps.extend(self.batch.after(&batch)?);
        self.batch.reset(encoder, &batch);
        record(self.kernel.gpu(), encoder, &steps)
    }

    fn check(&self, buffers: &CrossEntropyBuffers<'_>) -> Result<(), EncodeError> {
        let options = self.batch.options();
        let (rows, elements) = (self.kernel.rows.count(), self.kernel.rows.elements()?);
        let upstream_len = if options.reduction == Reduction::None { rows } else { 1 };
        let mut read = vec![("targets", buffers.targets)];
        let mut written = Vec::new();
        let in_place = options.gradient == Gradient::InPlace;
        if in_place { &mut written } else { &mut read }.push(("logits", buffers.logits));
        check("logits", buffers.logits, elements)?;
        check("targets", buffers.targets, rows)?;
        check("summary", buffers.summary, CrossEntropySummary::BYTES as usize / 4)?;
        let alignment = u64::from(self.kernel.gpu().limits().min_storage_buffer_offset_alignment);
        if !buffers.summary.offset().is_multiple_of(alignment) {
            return Err(EncodeError::MisalignedOffset {
                buffer: "summary",
                offset: buffers.summary.offset(),
                alignment,
            });
        }
        if !buffers.summary.buffer().usage().contains(wgpu::BufferUsages::COPY_DST) {
            return Err(EncodeError::MissingUsage {
                buffer: "summary",
                usage: "COPY_DST",
            });
        }
        let from_buffer = options.upstream == Upstream::Buffer;
        let apart = options.gradient == Gradient::Apart;
        for (buffer, option, slice, asked, elements) in [
            ("gradient", "gradient: Apart", buffers.gradient, apart, elements),
            (
                "upstream",
                "upstream: Buffer",
                buffers.upstream,
                from_buffer,
                upstream_len,
            ),
            (
                "row_losses",
                "row_losses",
                buffers.row_losses,
                options.wants_row_losses(),
                rows,
            ),
            ("lse", "lse", buffers.lse, options.lse, rows),
            ("argmax", "argmax", buffers.argmax, options.argmax, rows),
        ] {
            match (slice, asked) {
                (Some(slice), true) => {
                    check(buffer, slice, elements)?;
                    let list = if buffer == "upstream" { &mut read } else { &mut written };
                    list.push((buffer, slice));
                }
                (None, true) => return Err(EncodeError::MissingBuffer { buffer, option }),
                (Some(_), false) => return Err(EncodeError::UnusedBuffer { buffer, option }),
                (None, false) => {}
            }
        }
        // The summary is written by some dispatches, and read by the one that writes the results.
        let summary = ("summary", buffers.summary);
        check_apart(self.kernel.gpu(), &[summary], &read)?;
        read.push(summary);
        check_apart(self.kernel.gpu(), &written, &read)
    }
}
