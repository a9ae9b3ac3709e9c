//! Cross-entropy of logits and targets, and its gradient, from one kernel.

use crate::adjust::{Adjust, AdjustBuffers, Adjusted};
use crate::batch::{Batch, BatchBuffers};
use crate::dtype::Storage;
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::kernel::{Recorded, RowKernel, Slice};
use crate::operand::{Extent, Operand, Slot, Slots, asked};
use crate::plan::Schedule;
use crate::rows::Rows;
use crate::shader::{CrossEntropyOp, Needs, Place, RowOp, RowSpec};
use crate::softmax::{FullyMasked, check_in_place, matrix_operands};
use crate::values::{Values, check_number};

/// How the rows' losses become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Reduction {
    /// They don't: one loss a row, 0 for ignored rows.
    None,
    /// Σ ℓ / Σ w_t over the rows that are not ignored (w is 1 without weights), plus the z-losses' Σ over their number;
    /// with soft targets Σ ℓ over the number of rows.
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

impl Gradient {
    pub(crate) fn place(self) -> Place {
        match self {
            Self::None => Place::None,
            Self::Apart => Place::Apart,
            Self::InPlace => Place::InPlace,
        }
    }
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

/// What the logits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Input {
    /// Logits, of which the loss takes the log-softmax.
    #[default]
    Logits,
    /// Log-probabilities already, which is PyTorch's `nll_loss`: `ℓ = −w_t x_t`, gradient `−w_t [c = t]`.
    #[doc(alias = "nll_loss")]
    LogProbs,
}

/// What the targets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Targets {
    /// A class index for each row.
    #[default]
    Indices,
    /// A share for each class, laid out and stored as the logits are: "soft targets".
    Probabilities,
}

/// The denominator of [`Reduction::Mean`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[non_exhaustive]
pub enum Normalizer {
    /// As [`Reduction::Mean`] says.
    #[default]
    Rows,
    /// This number: for gradients that are accumulated over parts of a batch.
    Number(f32),
    /// In the caller's [`CrossEntropyBuffers::normalizer`], one f32.
    Buffer,
}

/// Options of cross-entropy.
///
/// With `m = max a`, `d = Σ exp(a_c − m)`, `lse = m + ln d`, `y_c = exp(a_c − m) / d`, weights w, label smoothing ε and
/// z-loss λ, where a is what [`Adjust`] makes of the logits:
///
/// - index targets: `ℓ = (1−ε) w_t (lse − a_t) + (ε/C) Σ_c w_c (lse − a_c) + λ lse²`,
///   gradient `((1−ε) w_t (y_c − [c = t]) + (ε/C)(y_c Σ w − w_c) + 2λ lse y_c) · da/dx`;
/// - soft targets: `ℓ = Σ_c w_c q'_c (lse − a_c) + λ lse²`, `q' = (1−ε) q + ε/C`,
///   gradient `(y_c Σ_k w_k q'_k − w_c q'_c + 2λ lse y_c) · da/dx`.
///
/// `lse − a_t` is taken as `ln d − (a_t − m)`, which no common offset swallows. The gradient is that of the reduced loss,
/// times [`CrossEntropy::upstream`].
///
/// | row | loss | gradient |
/// |---|---|---|
/// | has a NaN or +∞ | NaN | NaN |
/// | some −∞, not the target | as if those classes were absent | 0 there |
/// | −∞ at the target, or at a class that smoothing or a soft target gives weight | +∞ | y − 1 there, or as y = 0 gives |
/// | −∞ alone | [`FullyMasked`] | [`FullyMasked`] |
/// | target is `ignore_index` | 0, whatever the logits | 0 |
/// | target is no class | NaN, and counted in [`CrossEntropySummary`] | NaN |
/// | soft target with a NaN | NaN | NaN |
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// How logits and gradient are stored. The calls that take host slices go by the slices' type.
    pub storage: Storage,
    /// Logits or log-probabilities.
    pub input: Input,
    /// Class indices or probabilities. The calls that take host slices go by their name.
    pub targets: Targets,
    /// A weight for each class.
    pub weights: Option<Values>,
    /// ε: the share of the target that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
    /// λ: what lse² is multiplied by, where it is added to the loss; also called lse_square_scale.
    pub z_loss: f32,
    /// How the rows' losses become one.
    pub reduction: Reduction,
    /// The mean's denominator.
    pub normalizer: Normalizer,
    /// Rows with this target take no part. It need not be a possible class.
    pub ignore_index: i64,
    /// The mean over nothing: no rows, or a denominator of 0.
    pub empty_mean: EmptyMean,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// Whether, and where, the gradient is computed.
    pub gradient: Gradient,
    /// What the gradient is multiplied by.
    pub upstream: Upstream,
    /// The lse of each row that an earlier call left, for a backward pass alone: the gradient, and nothing else. Nothing is
    /// reduced again, except where soft targets, weights with label smoothing or [`FullyMasked::Uniform`] need it. The
    /// rounding of the lse becomes an error of the gradient.
    pub from_lse: Option<Values>,
    /// The loss of each row; with [`Reduction::None`] it is there anyway.
    pub row_losses: bool,
    /// The part `λ lse²` of each row's loss.
    pub row_z_losses: bool,
    /// `m + ln d` of each row.
    pub lse: bool,
    /// `ln y_t` of each row: 0 for ignored rows.
    pub log_prob: bool,
    /// `−Σ y ln y` of each row.
    pub entropy: bool,
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
            adjust: Adjust::default(),
            storage: Storage::default(),
            input: Input::default(),
            targets: Targets::default(),
            weights: None,
            label_smoothing: 0.0,
            z_loss: 0.0,
            reduction: Reduction::default(),
            normalizer: Normalizer::default(),
            ignore_index: -100,
            empty_mean: EmptyMean::default(),
            fully_masked: FullyMasked::default(),
            gradient: Gradient::default(),
            upstream: Upstream::default(),
            from_lse: None,
            row_losses: false,
            row_z_losses: false,
            lse: false,
            log_prob: false,
            entropy: false,
            argmax: false,
            correct: false,
            schedule: None,
        }
    }
}

/// The buffers of [`CrossEntropyKernel::encode`]. Those that the options do not ask for must be `None`.
#[derive(Debug, Clone, Copy)]
pub struct CrossEntropyBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// A class for each row, i32 or u32; with [`Targets::Probabilities`] a matrix of the logits' layout and type.
    pub targets: Slice<'a>,
    /// What became of the batch: [`CrossEntropySummary::BYTES`] bytes that [`CrossEntropySummary::from_bytes`] reads;
    /// the first 4 are the reduced loss, an f32.
    pub summary: Slice<'a>,
    /// Laid out as the logits are; with [`Gradient::Apart`].
    pub gradient: Option<Slice<'a>>,
    /// f32; with [`Upstream::Buffer`].
    pub upstream: Option<Slice<'a>>,
    /// One f32; with [`Normalizer::Buffer`].
    pub normalizer: Option<Slice<'a>>,
    /// An f32 for each class; with [`CrossEntropy::weights`].
    pub weights: Option<Slice<'a>>,
    /// An f32 for each row; with [`CrossEntropy::from_lse`].
    pub from_lse: Option<Slice<'a>>,
    /// Those that [`CrossEntropy::adjust`] asks for.
    pub adjust: AdjustBuffers<'a>,
    /// An f32 for each row; with `row_losses` or [`Reduction::None`].
    pub row_losses: Option<Slice<'a>>,
    /// An f32 for each row; with `row_z_losses`.
    pub row_z_losses: Option<Slice<'a>>,
    /// An f32 for each row; with `lse`.
    pub lse: Option<Slice<'a>>,
    /// An f32 for each row; with `log_prob`.
    pub log_prob: Option<Slice<'a>>,
    /// An f32 for each row; with `entropy`.
    pub entropy: Option<Slice<'a>>,
    /// A u32 for each row; with `argmax`.
    pub argmax: Option<Slice<'a>>,
}

impl<'a> CrossEntropyBuffers<'a> {
    /// The buffers that every option needs.
    pub fn new(logits: Slice<'a>, targets: Slice<'a>, summary: Slice<'a>) -> Self {
        Self {
            logits,
            targets,
            summary,
            gradient: None,
            upstream: None,
            normalizer: None,
            weights: None,
            from_lse: None,
            adjust: AdjustBuffers::default(),
            row_losses: None,
            row_z_losses: None,
            lse: None,
            log_prob: None,
            entropy: None,
            argmax: None,
        }
    }
}

/// What became of a batch, as the kernels leave it in [`CrossEntropyBuffers::summary`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CrossEntropySummary {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f32,
    /// Σ λ lse² over the rows, with [`CrossEntropy::z_loss`] and a reduction; else 0.
    pub z_loss: f32,
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
    pub const BYTES: u64 = 64;

    /// Reads the buffer's bytes; `None` if there are fewer than [`Self::BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let words: [u32; 16] = bytemuck::pod_read_unaligned(bytes.get(..Self::BYTES as usize)?);
        Some(Self {
            loss: f32::from_bits(words[0]),
            z_loss: f32::from_bits(words[9]),
            counted: words[1],
            correct: words[2],
            bad_targets: words[3],
            // The kernels keep complements, so that the first row is a maximum.
            first_bad: (words[3] > 0).then_some((!words[4], words[5])),
        })
    }
}

impl CrossEntropy {
    pub(crate) fn is_soft(&self) -> bool {
        self.targets == Targets::Probabilities
    }

    pub(crate) fn wants_row_losses(&self) -> bool {
        self.row_losses || (self.reduction == Reduction::None && self.from_lse.is_none())
    }

    /// Whether there is a loss to reduce.
    pub(crate) fn reduces(&self) -> bool {
        self.reduction != Reduction::None && self.from_lse.is_none()
    }

    pub(crate) fn wants_argmax(&self) -> bool {
        self.argmax || self.correct
    }

    fn needs(&self) -> Needs {
        let dense_by_class = self.is_soft() || (self.weights.is_some() && self.label_smoothing != 0.0);
        if self.input == Input::LogProbs && !self.wants_argmax() {
            Needs::Nothing
        } else if self.from_lse.is_some() && !dense_by_class && self.fully_masked != FullyMasked::Uniform {
            Needs::SavedLse
        } else {
            Needs::Sums
        }
    }

    pub(crate) fn reads_saved_lse(&self) -> bool {
        self.needs() == Needs::SavedLse
    }

    /// The kernel of the rows, and which buffers it binds.
    pub(crate) fn spec(&self, adjusted: &Adjusted) -> RowSpec {
        let has_gradient = self.gradient != Gradient::None;
        let needs = self.needs();
        let dense = self.is_soft() || self.label_smoothing != 0.0;
        let bound = [
            (Slot::Logits, self.gradient != Gradient::InPlace),
            (Slot::Result, has_gradient),
            (Slot::Factor, has_gradient),
            (Slot::Targets, !self.is_soft()),
            (Slot::Other, self.is_soft()),
            (Slot::Weights, self.weights.is_some()),
            (Slot::SavedLse, needs == Needs::SavedLse),
            (Slot::Loss, self.wants_row_losses() || self.reduces()),
            (Slot::ZLoss, self.row_z_losses || (self.reduces() && self.z_loss != 0.0)),
            (Slot::Lse, self.lse),
            (Slot::LogProb, self.log_prob),
            (Slot::Entropy, self.entropy),
            (Slot::Argmax, self.wants_argmax()),
        ];
        let bound: Slots = bound.into_iter().collect();
        RowSpec {
            op: RowOp::CrossEntropy(CrossEntropyOp {
                nll: self.input == Input::LogProbs,
                share: dense || self.weights.is_some(),
                dense,
                z_loss: self.z_loss != 0.0,
                entropy: self.entropy,
            }),
            storage: self.storage,
            place: self.gradient.place(),
            needs,
            shaping: adjusted.shaping,
            slots: bound.with(adjusted.slots()),
        }
    }

    /// Options that contradict each other, and numbers out of range.
    pub(crate) fn validate(&self) -> Result<(), EncodeError> {
        check_in_place(self.gradient == Gradient::InPlace, self.storage)?;
        let epsilon = self.label_smoothing;
        check_number(
            "label_smoothing",
            epsilon,
            "from 0 to 1",
            (0.0..=1.0).contains(&epsilon),
        )?;
        check_number("z_loss", self.z_loss, "finite", true)?;
        if let Normalizer::Number(number) = self.normalizer {
            check_number("normalizer", number, "finite", true)?;
        }
        let nll = self.input == Input::LogProbs;
        let shaped = self.adjust != Adjust::default();
        let (soft, backward) = (self.is_soft(), self.from_lse.is_some());
        let reduced = self.reduction != Reduction::None;
        let forward = self.row_losses || self.row_z_losses || self.lse || self.log_prob || self.entropy;
        let per_row = matches!(self.upstream, Upstream::PerRow(_));
        let normalized = self.normalizer != Normalizer::Rows;
        for (a, b, why, both) in [
            (
                "input: LogProbs",
                "label_smoothing",
                "smoothing needs every class's log-softmax",
                nll && epsilon != 0.0,
            ),
            (
                "input: LogProbs",
                "z_loss",
                "log-probabilities have an lse of 0",
                nll && self.z_loss != 0.0,
            ),
            (
                "input: LogProbs",
                "adjust",
                "scale, bias, softcap and mask are for logits",
                nll && shaped,
            ),
            (
                "input: LogProbs",
                "targets: Probabilities",
                "nll_loss takes class indices",
                nll && soft,
            ),
            (
                "input: LogProbs",
                "lse",
                "log-probabilities have an lse of 0",
                nll && self.lse,
            ),
            (
                "input: LogProbs",
                "row_z_losses",
                "log-probabilities have an lse of 0",
                nll && self.row_z_losses,
            ),
            (
                "input: LogProbs",
                "entropy",
                "the entropy is taken of logits",
                nll && self.entropy,
            ),
            (
                "input: LogProbs",
                "from_lse",
                "log-probabilities have an lse of 0",
                nll && backward,
            ),
            (
                "targets: Probabilities",
                "correct",
                "there is no target class to be right about",
                soft && self.correct,
            ),
            (
                "targets: Probabilities",
                "log_prob",
                "there is no one target",
                soft && self.log_prob,
            ),
            (
                "upstream: PerRow",
                "a reduced loss",
                "a reduced loss has one upstream gradient",
                per_row && reduced,
            ),
            (
                "normalizer",
                "a reduction other than Mean",
                "it is the mean's denominator",
                normalized && self.reduction != Reduction::Mean,
            ),
            (
                "from_lse",
                "the losses, lse, log_prob or entropy of rows",
                "it computes the gradient alone",
                backward && forward,
            ),
            (
                "from_lse",
                "argmax or correct",
                "it computes the gradient alone",
                backward && self.wants_argmax(),
            ),
            (
                "from_lse",
                "gradient: None",
                "it computes the gradient alone",
                backward && self.gradient == Gradient::None,
            ),
        ] {
            if both {
                return Err(EncodeError::Conflict { a, b, why });
            }
        }
        Ok(())
    }

    /// Chooses a plan for batches of this shape, compiles its kernels, and allocates what they keep beside the caller's
    /// buffers: at most 16 bytes a row, and for few long rows 12 or 28 bytes for each 1,024 classes.
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
        let adjusted = Adjusted::new(gpu, rows, &self.adjust)?;
        Ok(CrossEntropyKernel {
            batch: Batch::new(gpu, rows, self, ignore_word, adjusted.params)?,
            kernel: RowKernel::new(gpu, rows, self.spec(&adjusted), self.schedule)?,
            adjusted,
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
    adjusted: Adjusted,
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
    ) -> Result<Recorded, EncodeError> {
        let spec = &self.kernel.spec;
        let options = self.batch.options();
        let gradient = options.gradient == Gradient::Apart;
        let gradient = asked("gradient", "gradient: Apart", buffers.gradient, gradient)?;
        let mut operands = matrix_operands(spec, buffers.logits, gradient)?;
        if options.is_soft() {
            let matrix = Extent::Matrix(spec.storage.logits.bytes());
            operands.push(Operand::read(Slot::Other, "targets", buffers.targets, matrix));
        }
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        let batch = BatchBuffers {
            targets: (!options.is_soft()).then_some(buffers.targets),
            summary: buffers.summary,
            upstream: buffers.upstream,
            normalizer: buffers.normalizer,
            weights: buffers.weights,
            from_lse: buffers.from_lse,
            row_losses: buffers.row_losses,
            row_z_losses: buffers.row_z_losses,
            lse: buffers.lse,
            log_prob: buffers.log_prob,
            entropy: buffers.entropy,
            argmax: buffers.argmax,
        };
        let by_row = self.batch.operands(&batch)?;
        operands.extend(&by_row);
        let kernel = (&self.kernel, &operands[..], self.batch.params());
        self.batch.encode(encoder, &batch, &by_row, kernel)
    }
}
