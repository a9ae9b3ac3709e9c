//! What cross-entropy does with a batch's rows rather than their logits: targets counted before, losses reduced after.

use crate::cross_entropy::{CrossEntropy, CrossEntropySummary, EmptyMean, Gradient, Normalizer, Reduction, Upstream};
use crate::error::{EncodeError, check_length};
use crate::gpu::Gpu;
use crate::kernel::{Recorded, RowKernel, Slice, Step, record};
use crate::operand::{Extent, Operand, Slot, asked, check_apart, window};
use crate::plan::CHUNK;
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::{End, Params, Variant};
use crate::values::{Supply, supplied};
use std::ops::Range;
use wgpu::BufferUsages as Usage;

/// Words of the summary: the loss, the two factors of the gradient, the sum of weights, that of z-losses.
const LOSS_WORD: u32 = 0;
const FACTOR_WORD: u64 = 6;
const WEIGHTS_WORD: u32 = 8;
const Z_LOSS_WORD: u32 = 9;
/// Invocations of a work-group of targets.wgsl and count_correct.wgsl, and rows that each takes.
const SCAN_ROWS: usize = 64 * 16;

/// Buffers of one word a row, and the summary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchBuffers<'a> {
    /// Class indices, unless the targets are soft.
    pub(crate) targets: Option<Slice<'a>>,
    pub(crate) summary: Slice<'a>,
    pub(crate) upstream: Option<Slice<'a>>,
    pub(crate) normalizer: Option<Slice<'a>>,
    pub(crate) weights: Option<Slice<'a>>,
    pub(crate) from_lse: Option<Slice<'a>>,
    pub(crate) row_losses: Option<Slice<'a>>,
    pub(crate) row_z_losses: Option<Slice<'a>>,
    pub(crate) lse: Option<Slice<'a>>,
    pub(crate) log_prob: Option<Slice<'a>>,
    pub(crate) entropy: Option<Slice<'a>>,
    pub(crate) argmax: Option<Slice<'a>>,
}

impl<'a> BatchBuffers<'a> {
    pub(crate) fn new(summary: Slice<'a>) -> Self {
        Self {
            targets: None,
            summary,
            upstream: None,
            normalizer: None,
            weights: None,
            from_lse: None,
            row_losses: None,
            row_z_losses: None,
            lse: None,
            log_prob: None,
            entropy: None,
            argmax: None,
        }
    }
}

/// The rows of a batch, whatever parts its logits are cut into.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    gpu: Gpu,
    options: CrossEntropy,
    rows: usize,
    params: Params,
    /// The upstream gradient as a number, then a NaN.
    constants: wgpu::Buffer,
    upstream: Option<wgpu::Buffer>,
    weights: Option<Supply>,
    from_lse: Option<Supply>,
    // What the kernels keep where the caller does not.
    row_losses: Option<wgpu::Buffer>,
    row_z_losses: Option<wgpu::Buffer>,
    row_weights: Option<wgpu::Buffer>,
    argmax: Option<wgpu::Buffer>,
    /// A partial sum for each 1,024 rows, then for each 1,024 of those, and so on.
    partials: Vec<wgpu::Buffer>,
}

impl Batch {
    /// `params`: those that the logits' adjustment has set.
    pub(crate) fn new(
        gpu: &Gpu,
        rows: Rows,
        options: &CrossEntropy,
        ignore_word: u32,
        params: Params,
    ) -> Result<Self, EncodeError> {
        options.validate()?;
        let (count, classes) = (rows.count(), rows.classes());
        if u32::try_from(count).is_err() {
            return Err(rows.too_large());
        }
        let words = |what, needed: bool, count: usize| {
            let bytes = count as u64 * ELEMENT_BYTES;
            needed.then(|| gpu.buffer(what, bytes, Usage::STORAGE)).transpose()
        };
        let (number, upstream) = match &options.upstream {
            Upstream::Number(number) => (*number, None),
            Upstream::Buffer => (1.0, None),
            Upstream::PerRow(values) => {
                check_length("upstream: PerRow", count, values.len())?;
                let bytes = bytemuck::cast_slice(values);
                (1.0, Some(gpu.buffer_of("upstream gradients", bytes, Usage::STORAGE)?))
            }
        };
        let weights = options.weights.as_ref();
        let weights = weights.map(|v| Supply::new(gpu, Slot::Weights, "weights", Extent::Words(classes), classes, v));
        let from_lse = options.from_lse.as_ref();
        let from_lse = from_lse.map(|v| Supply::new(gpu, Slot::SavedLse, "from_lse", Extent::Row, count, v));
        let reduces = options.reduces();
        let weighted = options.weights.is_some() && mean_kind(options) == 1;
        let mut partials = Vec::new();
        let mut values = if reduces || weighted { count } else { 0 };
        while values > 0 {
            let chunks = values.div_ceil(CHUNK);
            partials.extend(words("partial losses", true, chunks)?);
            values = if chunks > 1 { chunks } else { 0 };
        }
        let constants = [number, f32::NAN];
        let epsilon = options.label_smoothing;
        Ok(Self {
            gpu: gpu.clone(),
            rows: count,
            params: Params {
                classes: classes as u32,
                ignore_index: ignore_word,
                policy: options.fully_masked.word(),
                factor_stride: (options.reduction == Reduction::None
                    && !matches!(options.upstream, Upstream::Number(_)))
                .into(),
                kept: 1.0 - epsilon,
                spread: epsilon / classes as f32,
                smoothing: epsilon,
                z_loss: options.z_loss,
                ..params
            },
            constants: gpu.buffer_of(
                "upstream gradient",
                bytemuck::bytes_of(&constants),
                Usage::STORAGE | Usage::COPY_SRC,
            )?,
            upstream,
            weights: weights.transpose()?,
            from_lse: from_lse.transpose()?,
            row_losses: words("losses", reduces && !options.row_losses, count)?,
            row_z_losses: words(
                "z-losses",
                reduces && options.z_loss != 0.0 && !options.row_z_losses,
                count,
            )?,
            row_weights: words("weights of rows", weighted, count)?,
            argmax: words("argmax", options.correct && !options.argmax, count)?,
            partials,
            options: options.clone(),
        })
    }

    pub(crate) fn options(&self) -> &CrossEntropy {
        &self.options
    }

    pub(crate) fn params(&self) -> Params {
        self.params
    }

    /// What the kernel of the rows is bound to beside the matrices.
    pub(crate) fn operands<'a>(&'a self, buffers: &BatchBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let options = &self.options;
        let mut all = Vec::new();
        all.extend(
            buffers
                .targets
                .map(|slice| Operand::read(Slot::Targets, "targets", slice, Extent::Row)),
        );
        all.extend(supplied(&self.weights, "weights", buffers.weights)?);
        let saved = supplied(&self.from_lse, "from_lse", buffers.from_lse)?;
        if let Some(saved) = saved {
            saved.check(self.rows, 0)?;
            all.extend(options.reads_saved_lse().then_some(saved));
        }
        let from_buffer = options.upstream == Upstream::Buffer;
        let upstream = asked("upstream", "upstream: Buffer", buffers.upstream, from_buffer)?;
        if options.gradient != Gradient::None {
            let per_row = upstream.or(self.upstream.as_ref().map(|u| u.slice(..)));
            all.push(match per_row.filter(|_| self.params.factor_stride == 1) {
                Some(slice) => Operand::read(Slot::Factor, "upstream", slice, Extent::Row),
                None => {
                    let start = buffers.summary.offset() + FACTOR_WORD * ELEMENT_BYTES;
                    let slice = buffers.summary.buffer().slice(start..start + 2 * ELEMENT_BYTES);
                    Operand::read(Slot::Factor, "summary", slice, Extent::Words(2))
                }
            });
        }
        let by_row = [
            (
                Slot::Loss,
                "row_losses",
                buffers.row_losses,
                options.wants_row_losses(),
                &self.row_losses,
            ),
            (
                Slot::ZLoss,
                "row_z_losses",
                buffers.row_z_losses,
                options.row_z_losses,
                &self.row_z_losses,
            ),
            (Slot::Lse, "lse", buffers.lse, options.lse, &None),
            (Slot::LogProb, "log_prob", buffers.log_prob, options.log_prob, &None),
            (Slot::Entropy, "entropy", buffers.entropy, options.entropy, &None),
            (Slot::Argmax, "argmax", buffers.argmax, options.argmax, &self.argmax),
        ];
        for (slot, name, slice, is_asked, own) in by_row {
            let slice = asked(name, name, slice, is_asked)?.or(own.as_ref().map(|own| own.slice(..)));
            all.extend(slice.map(|slice| Operand::written(slot, name, slice, Extent::Row)));
        }
        Ok(all)
    }

    /// Checks the caller's buffers and records the kernel of the rows between what comes before and after it. `by_row`
    /// are [`Batch::operands`], `operands` all that the kernel is bound to.
    pub(crate) fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &BatchBuffers<'_>,
        by_row: &[Operand<'_>],
        (kernel, operands, params): (&RowKernel, &[Operand<'_>], Params),
    ) -> Result<Recorded, EncodeError> {
        self.check(buffers, by_row)?;
        kernel.check(operands)?;
        let mut steps = self.before(buffers)?;
        steps.extend(kernel.steps(operands, 0, params)?);
        steps.extend(self.after(buffers)?);
        self.reset(encoder, buffers);
        record(&self.gpu, encoder, &steps)
    }

    /// Checks what the kernel of the rows does not bind itself.
    fn check(&self, buffers: &BatchBuffers<'_>, by_row: &[Operand<'_>]) -> Result<(), EncodeError> {
        let words = Extent::Words(CrossEntropySummary::BYTES as usize / 4);
        let summary = Operand::written(Slot::Scratch, "summary", buffers.summary, words);
        summary.check(0, 0)?;
        let alignment = u64::from(self.gpu.limits().min_storage_buffer_offset_alignment);
        if !buffers.summary.offset().is_multiple_of(alignment) {
            return Err(EncodeError::MisalignedOffset {
                buffer: "summary",
                offset: buffers.summary.offset(),
                alignment,
            });
        }
        if !buffers.summary.buffer().usage().contains(Usage::COPY_DST) {
            return Err(EncodeError::MissingUsage {
                buffer: "summary",
                usage: "COPY_DST",
            });
        }
        let from_buffer = self.options.normalizer == Normalizer::Buffer;
        let normalizer = asked("normalizer", "normalizer: Buffer", buffers.normalizer, from_buffer)?;
        let mut all = vec![summary];
        let per_row = self.params.factor_stride == 1;
        let one = |name, slice| Operand::read(Slot::Factor, name, slice, Extent::Words(1));
        all.extend(normalizer.map(|slice| one("normalizer", slice)));
        all.extend(
            buffers
                .upstream
                .filter(|_| !per_row)
                .map(|slice| one("upstream", slice)),
        );
        // The summary is written by some dispatches beside these, and read by the one that writes the results.
        let meets = |o: &&Operand<'_>| o.is_written || matches!(o.slot, Slot::Targets | Slot::Weights);
        all.extend(by_row.iter().filter(meets).map(|o| Operand {
            is_written: false,
            ..*o
        }));
        for operand in &all {
            operand.check(self.rows, 0)?;
        }
        check_apart(&self.gpu, &all)
    }

    /// Empties the summary; for a batch of no rows, that is all there is to do.
    pub(crate) fn reset(&self, encoder: &mut wgpu::CommandEncoder, buffers: &BatchBuffers<'_>) {
        let summary = buffers.summary;
        encoder.clear_buffer(summary.buffer(), summary.offset(), Some(CrossEntropySummary::BYTES));
        let options = &self.options;
        let over_nothing = matches!(options.normalizer, Normalizer::Rows | Normalizer::Number(0.0));
        let is_mean = options.reduction == Reduction::Mean && over_nothing;
        if self.rows == 0 && is_mean && options.empty_mean == EmptyMean::Nan {
            encoder.copy_buffer_to_buffer(&self.constants, 4, summary.buffer(), summary.offset(), 4);
        }
    }

    /// Counts the targets, and finds the factors of the gradient.
    pub(crate) fn before<'a>(&'a self, buffers: &BatchBuffers<'a>) -> Result<Vec<Step<'a>>, EncodeError> {
        let mut steps = Vec::new();
        let weights = supplied(&self.weights, "weights", buffers.weights)?.filter(|_| self.row_weights.is_some());
        if let Some(targets) = buffers.targets {
            let pipeline = self.gpu.pipeline(&Variant::targets(weights.is_some()))?;
            for range in self.ranges(self.rows) {
                let mut step = self.step(&pipeline, &range, range.len().div_ceil(SCAN_ROWS).min(256));
                step.bind(self.word_window(Slot::Targets, targets, &range));
                step.bindings.push((2, summary(buffers)));
                if let (Some(weights), Some(row_weights)) = (&weights, &self.row_weights) {
                    step.bind(self.word_window(Slot::Weights, weights.slice, &(0..self.params.classes as usize)));
                    step.bind(self.word_window(Slot::Loss, row_weights.slice(..), &range));
                }
                steps.push(step);
            }
        }
        if let Some(row_weights) = &self.row_weights {
            steps.extend(self.reduce(buffers, row_weights.slice(..), WEIGHTS_WORD)?);
        }
        // Each needs the counts of all.
        let kind = mean_kind(&self.options);
        let pipeline = (self.gpu).pipeline(&Variant::settle(kind, weights.is_some(), buffers.targets.is_some()))?;
        let one = buffers.upstream.filter(|_| self.options.reduction != Reduction::None);
        for range in self.ranges(self.rows) {
            let mut step = self.step(&pipeline, &range, 1);
            if let Some(targets) = buffers.targets {
                step.bind(self.word_window(Slot::Targets, targets, &range));
            } else {
                step.params.rows = self.rows as u32;
            }
            step.bindings.push((2, summary(buffers)));
            step.bind(self.word_window(Slot::Scratch, one.unwrap_or(self.constants.slice(..)), &(0..1)));
            if let Some(normalizer) = buffers.normalizer {
                step.bind(self.word_window(Slot::Factor, normalizer, &(0..1)));
            }
            step.params.policy = u32::from(self.options.empty_mean == EmptyMean::Zero);
            step.params.normalizer = match self.options.normalizer {
                Normalizer::Number(number) => number,
                _ => self.rows as f32,
            };
            steps.push(step);
        }
        Ok(steps)
    }

    /// Reduces the losses, and counts the rows that are right.
    pub(crate) fn after<'a>(&'a self, buffers: &BatchBuffers<'a>) -> Result<Vec<Step<'a>>, EncodeError> {
        let mut steps = Vec::new();
        let argmax = buffers.argmax.or(self.argmax.as_ref().map(|a| a.slice(..)));
        if let (true, Some(argmax), Some(targets)) = (self.options.correct, argmax, buffers.targets) {
            let pipeline = self.gpu.pipeline(&Variant::COUNT_CORRECT)?;
            for range in self.ranges(self.rows) {
                let mut step = self.step(&pipeline, &range, range.len().div_ceil(SCAN_ROWS).min(256));
                step.bind(self.word_window(Slot::Targets, targets, &range));
                step.bindings.push((2, summary(buffers)));
                step.bind(self.word_window(Slot::Scratch, argmax, &range));
                steps.push(step);
            }
        }
        if !self.options.reduces() {
            return Ok(steps);
        }
        let z_losses = buffers.row_z_losses.or(self.row_z_losses.as_ref().map(|l| l.slice(..)));
        if let Some(z_losses) = z_losses.filter(|_| self.options.z_loss != 0.0) {
            steps.extend(self.reduce(buffers, z_losses, Z_LOSS_WORD)?);
        }
        let losses = buffers.row_losses.or(self.row_losses.as_ref().map(|l| l.slice(..)));
        if let Some(losses) = losses {
            steps.extend(self.reduce(buffers, losses, LOSS_WORD)?);
        }
        Ok(steps)
    }

    /// The sum of one number a row, into a word of the summary.
    fn reduce<'a>(
        &'a self,
        buffers: &BatchBuffers<'a>,
        values: Slice<'a>,
        word: u32,
    ) -> Result<Vec<Step<'a>>, EncodeError> {
        let mut steps = Vec::new();
        let (mut values, mut count) = (values, self.rows);
        for partials in &self.partials {
            let chunks = count.div_ceil(CHUNK);
            let end = End {
                word,
                mean: word == LOSS_WORD && self.options.reduction == Reduction::Mean,
                z_loss: self.options.z_loss != 0.0,
            };
            let pipeline = self.gpu.pipeline(&Variant::reduce((chunks == 1).then_some(end)))?;
            for range in self.ranges(count) {
                let chunks = range.len().div_ceil(CHUNK);
                let first = range.start / CHUNK;
                let mut step = self.step(&pipeline, &range, chunks);
                step.params = Params {
                    rows: chunks as u32,
                    classes: range.len() as u32,
                    inner: 1,
                    pieces: 1,
                    policy: u32::from(self.options.empty_mean == EmptyMean::Zero),
                    ..Params::default()
                };
                step.bind(self.word_window(Slot::Logits, values, &range));
                step.bind(self.word_window(Slot::Result, partials.slice(..), &(first..first + chunks)));
                step.bindings.push((3, summary(buffers)));
                steps.push(step);
            }
            (values, count) = (partials.slice(..), chunks);
        }
        Ok(steps)
    }

    fn step<'a>(
        &self,
        pipeline: &std::sync::Arc<wgpu::ComputePipeline>,
        range: &Range<usize>,
        groups: usize,
    ) -> Step<'a> {
        Step {
            pipeline: pipeline.clone(),
            params: Params {
                rows: range.len() as u32,
                first_row: range.start as u32,
                ..self.params
            },
            bindings: Vec::new(),
            groups,
        }
    }

    fn word_window<'a>(
        &self,
        slot: Slot,
        slice: Slice<'a>,
        range: &Range<usize>,
    ) -> (Slot, wgpu::BufferBinding<'a>, u32) {
        let (binding, offset) = window(&self.gpu, slice, range.start, range.len(), ELEMENT_BYTES);
        (slot, binding, offset)
    }

    /// `count` words in stretches that can be bound, each of whole chunks but the last.
    fn ranges(&self, count: usize) -> Vec<Range<usize>> {
        let bindable = self.gpu.limits().max_storage_buffer_binding_size.min(1 << 31) / ELEMENT_BYTES;
        let step = (bindable as usize / CHUNK).saturating_sub(1).max(1) * CHUNK;
        (0..count)
            .step_by(step)
            .map(|start| start..count.min(start + step))
            .collect()
    }
}

/// Which of settle.wgsl's denominators.
fn mean_kind(options: &CrossEntropy) -> u32 {
    match (options.reduction, options.normalizer) {
        (Reduction::Mean, Normalizer::Rows) if options.is_soft() => 2,
        (Reduction::Mean, Normalizer::Rows) => 1,
        (Reduction::Mean, Normalizer::Number(_)) => 2,
        (Reduction::Mean, Normalizer::Buffer) => 3,
        _ => 0,
    }
}

fn summary<'a>(buffers: &BatchBuffers<'a>) -> wgpu::BufferBinding<'a> {
    wgpu::BufferBinding {
        buffer: buffers.summary.buffer(),
        offset: buffers.summary.offset(),
        size: wgpu::BufferSize::new(CrossEntropySummary::BYTES),
    }
}
