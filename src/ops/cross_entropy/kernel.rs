//! Cross-entropy prepared for one shape, on device buffers.

use super::buffers::CrossEntropyBuffers;
use super::options::CrossEntropy;
use super::weights::balanced;
use crate::dispatch::{Bound, Extent, NewlyBound, Operand, Recorded, RowKernel, Slice, require_iff};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ops::adjust::Adjusted;
use crate::ops::loss::{Gradient, LossBuffers, LossPasses};
use crate::ops::row_op::{direction_operand, logits_operand, matrix_operands};
use crate::ops::values::{OptionBuffer, Values, option_operand};
use crate::ragged::RowLayout;
use crate::schedule::Schedule;
use crate::shader::{Params, RowStatsNeed, Slot};

/// What cross-entropy does apart from the kernel of its rows: the passes around them, and the options' own buffers.
#[derive(Debug, Clone)]
pub(super) struct CrossEntropyBatch {
    gradient: Gradient,
    is_soft: bool,
    reads_saved_lse: bool,
    rows: usize,
    pub(super) passes: LossPasses,
    weights: Option<OptionBuffer>,
    row_weights: Option<OptionBuffer>,
    from_lse: Option<OptionBuffer>,
}

impl CrossEntropyBatch {
    /// `params` are those that the logits' adjustment has set.
    pub(super) fn new(
        gpu: &Gpu,
        layout: &RowLayout,
        options: &CrossEntropy,
        ignore_word: u32,
        params: Params,
    ) -> Result<Self, EncodeError> {
        options.validate()?;
        let (count, classes) = (layout.rows.count(), layout.rows.whole_classes());
        let epsilon = options.label_smoothing;
        let params = Params {
            classes: classes as u32,
            ignore_index: ignore_word,
            fully_masked: options.fully_masked as u32,
            one_minus_smoothing: 1.0 - epsilon,
            smoothing_per_class: epsilon / classes as f32,
            smoothing: epsilon,
            z_loss: options.z_loss,
            teacher_scale: options.temperature.recip(),
            loss_scale: options.divergence_scale(),
            ..params
        };
        let passes = LossPasses::new(gpu, layout, options.loss_spec(), params)?;
        let by_class = Extent::Words(classes);
        let [weights, row_weights] = balanced(options);
        let weights = weights.as_ref();
        let weights = weights.map(|v| OptionBuffer::new(gpu, Slot::Weights, "weights", by_class, classes, v));
        let by_row = |slot, name, values: &Option<Values>| {
            let buffer = |values| OptionBuffer::new(gpu, slot, name, Extent::Row, count, values);
            values.as_ref().map(buffer).transpose()
        };
        Ok(Self {
            gradient: options.gradient,
            is_soft: options.is_soft(),
            reads_saved_lse: options.row_stats_need() == RowStatsNeed::SavedLse,
            rows: count,
            passes,
            weights: weights.transpose()?,
            row_weights: by_row(Slot::RowWeights, "row_weights", &row_weights)?,
            from_lse: by_row(Slot::SavedLse, "from_lse", &options.from_lse)?,
        })
    }

    /// What statistics are found from besides the matrices: target classes and weights.
    pub(super) fn statistics_operands<'a>(
        &'a self,
        targets: Option<Slice<'a>>,
        weights: Option<Slice<'a>>,
    ) -> Result<Vec<Operand<'a>>, EncodeError> {
        let targets = targets.map(|slice| Operand::read(Slot::Targets, "targets", slice, Extent::Row));
        let weights = option_operand(&self.weights, "weights", weights)?;
        Ok(targets.into_iter().chain(weights).collect())
    }

    /// The caller's buffers as the passes take them, and what the kernel of the rows is bound to besides the matrices.
    pub(super) fn bind<'a>(
        &'a self,
        buffers: LossBuffers<'a>,
        [weights, row_weights, from_lse]: [Option<Slice<'a>>; 3],
    ) -> Result<(LossBuffers<'a>, Vec<Operand<'a>>), EncodeError> {
        let mut operands = self.statistics_operands(buffers.targets, weights)?;
        operands.extend(option_operand(&self.row_weights, "row_weights", row_weights)?);
        let slice_of = |slot| Some(operands.iter().find(|operand| operand.slot == slot)?.slice);
        let saved = option_operand(&self.from_lse, "from_lse", from_lse)?;
        if let Some(saved) = saved {
            saved.check(self.rows, 0)?;
        }
        let buffers = LossBuffers {
            weights: slice_of(Slot::Weights),
            row_weights: slice_of(Slot::RowWeights),
            ..buffers
        };
        operands.extend(saved.filter(|_| self.reads_saved_lse));
        operands.extend(self.passes.operands(&buffers)?);
        Ok((buffers, operands))
    }
}

/// Cross-entropy over one shape, ready to be recorded any number of times: one dispatch over the logits (two for few long
/// rows); one after it over the rows' losses; and one before it over the targets where the gradient is that of a mean
/// whose denominator the device alone knows. Those over the rows are two or three for more than 65,536 rows.
///
/// ```
/// use wgpu_softmax::{CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gpu, Gradient, Rows};
/// let gpu = Gpu::new()?;
/// let options = CrossEntropy { gradient: Gradient::InPlace, ..CrossEntropy::default() };
/// let kernel = options.prepare(&gpu, Rows::new(2, 4))?;
/// let buffer = |size| gpu.device().create_buffer(&wgpu::BufferDescriptor {
///     label: None, size, usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false,
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
    batch: CrossEntropyBatch,
    kernel: RowKernel,
    adjusted: Adjusted,
}

impl CrossEntropy {
    /// Chooses a plan for batches of this shape, compiles its kernels, and allocates what they keep besides the
    /// caller's buffers and the numbers in the options: at most 16 bytes a row, and for few long rows 12 to 32 bytes
    /// for each 1,024 classes.
    ///
    /// # Errors
    /// An invalid shape, schedule or combination of options, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: impl Into<RowLayout>) -> Result<CrossEntropyKernel, EncodeError> {
        let layout = self.of_rows(rows.into());
        layout.rows.elements()?;
        let word = i32::try_from(self.ignore_index)
            .map(|i| i as u32)
            .or(u32::try_from(self.ignore_index));
        let ignore_word = word.map_err(|_| EncodeError::IgnoreIndex {
            ignore_index: self.ignore_index,
        })?;
        let adjusted = Adjusted::new(gpu, layout.rows, &self.adjust)?.at_temperature(self.temperature);
        Ok(CrossEntropyKernel {
            batch: CrossEntropyBatch::new(gpu, &layout, self, ignore_word, adjusted.params)?,
            kernel: RowKernel::new(gpu, layout, self.row_spec(&adjusted), self.schedule)?,
            adjusted,
        })
    }
}

impl CrossEntropyKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.kernel.plan.schedule
    }

    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// Buffers that are missing, unused, too small, misplaced, overlapping, or lack `STORAGE` usage.
    pub fn bind(&self, buffers: &CrossEntropyBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for. Whether a target was out of range is in the
    /// summary, which the caller may read when it likes.
    ///
    /// # Errors
    /// As [`CrossEntropyKernel::bind`]; in that case nothing was recorded.
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &CrossEntropyBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    /// For rows that are a shard ([`Rows::shard`](crate::Rows::shard)): binds what leaves their statistics in
    /// [`CrossEntropyBuffers::statistics`], before those of all shards are brought together; of the others it needs logits,
    /// targets, weights and the adjustment's alone. Weights, biases and masks for each class are those of all classes, and
    /// target classes are numbered in the whole row.
    ///
    /// # Errors
    /// As [`CrossEntropyKernel::bind`].
    pub fn bind_statistics(&self, buffers: &CrossEntropyBuffers<'_>) -> Result<Bound, EncodeError> {
        let mut operands = logits_operand(&self.kernel.spec, buffers.logits);
        operands.extend(self.soft_targets(buffers));
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        let targets = (!self.batch.is_soft).then_some(buffers.targets);
        operands.extend(self.batch.statistics_operands(targets, buffers.weights)?);
        operands.extend(self.kernel.statistics_operand(buffers.statistics, true)?);
        let new = self.kernel.bind_statistics(&operands, self.batch.passes.params())?;
        Ok(new.bound)
    }

    /// The bytes of a shard's statistics, and of those of all shards: 12 to 36 for each span of a row, as the options ask.
    pub fn statistics_bytes(&self) -> [u64; 2] {
        self.kernel.statistics_bytes()
    }

    fn soft_targets<'a>(&self, buffers: &CrossEntropyBuffers<'a>) -> Option<Operand<'a>> {
        let matrix = Extent::Matrix(self.kernel.spec.storage.logits.bytes());
        let targets = || Operand::read(Slot::SoftTargets, "targets", buffers.targets, matrix);
        self.batch.is_soft.then(targets)
    }

    fn newly_bound(&self, buffers: &CrossEntropyBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let spec = &self.kernel.spec;
        let is_apart = self.batch.gradient == Gradient::Apart;
        let gradient = require_iff(is_apart, "gradient", "gradient: Apart", buffers.gradient)?;
        let mut operands = matrix_operands(spec, buffers.logits, gradient)?;
        operands.extend(self.soft_targets(buffers));
        operands.extend(direction_operand(spec, buffers.direction)?);
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        operands.extend(self.kernel.statistics_operand(buffers.statistics, false)?);
        let loss = LossBuffers {
            targets: (!self.batch.is_soft).then_some(buffers.targets),
            upstream: buffers.upstream,
            normalizer: buffers.normalizer,
            outputs: buffers.outputs(),
            ..LossBuffers::new(buffers.summary)
        };
        let (loss, by_row) = self
            .batch
            .bind(loss, [buffers.weights, buffers.row_weights, buffers.from_lse])?;
        operands.extend(&by_row);
        let kernel = (&self.kernel, &operands[..], self.batch.passes.params());
        self.batch.passes.bind(&loss, &by_row, kernel)
    }
}
