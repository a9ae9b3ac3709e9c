//! [`SampleKernel`]: sampling over one shape, with its plan chosen and its pipelines made.

use super::buffers::SampleBuffers;
use super::inputs::{Inputs, words_of_class_bits};
use super::options::{Allowed, LogProbs, Sample, SampleRows};
use super::params::PARAM_WORDS;
use super::shard::{SEARCH_WORDS, token_words};
use super::steps::{Own, Step, Steps};
use crate::dispatch::{
    Bound, Dispatch, Extent, NewlyBound, Operand, Part, Recorded, bind, bindable_bytes, check_apart, parts, require_iff,
};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ops::adjust::Adjusted;
use crate::plan::{CHUNK, Plan, VectorWidth};
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::schedule::Schedule;
use crate::shader::{Params, Slot, Variant};
use std::collections::BTreeMap;
use wgpu::BufferUsages as Usage;

/// Sampling over one shape, ready to be recorded any number of times.
///
/// ```
/// use wgpu_softmax::{Gpu, Rows, Sample, SampleBuffers, SampleParams, wgpu};
/// let gpu = Gpu::new()?;
/// let params = SampleParams { temperature: 0.8, top_k: 2, ..SampleParams::default() }.at(1, 0);
/// let kernel = Sample::new(params).prepare(&gpu, Rows::new(2, 4))?;
/// let buffer = |size| gpu.device().create_buffer(&wgpu::BufferDescriptor {
///     label: None, size, usage: wgpu::BufferUsages::STORAGE, mapped_at_creation: false,
/// });
/// let (logits, tokens) = (buffer(32), buffer(8));
/// let mut encoder = gpu.device().create_command_encoder(&Default::default());
/// kernel.encode(&mut encoder, &SampleBuffers::new(logits.slice(..), tokens.slice(..)))?;
/// gpu.queue().submit([encoder.finish()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct SampleKernel {
    pub(super) gpu: Gpu,
    pub(super) rows: Rows,
    /// That of the statistics passes, and that of the others.
    plans: [Plan; 2],
    pub(super) options: Sample,
    adjusted: Adjusted,
    params: Params,
    parts: Vec<Part>,
    pub(super) steps: Vec<Step>,
    pub(super) own: BTreeMap<Own, wgpu::Buffer>,
    inputs: Inputs,
}

impl Sample {
    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape, schedule or option, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<SampleKernel, EncodeError> {
        self.validate(&rows)?;
        let adjusted = Adjusted::new(gpu, rows, &self.adjust)?;
        self.prepare_with(gpu, rows, adjusted, Inputs::new(gpu, &rows, self)?)
    }

    /// The kernel for some of the rows of a batch, whose inputs are those of all of them.
    pub(super) fn prepare_with(
        &self,
        gpu: &Gpu,
        rows: Rows,
        adjusted: Adjusted,
        inputs: Inputs,
    ) -> Result<SampleKernel, EncodeError> {
        rows.elements()?;
        if u32::try_from(rows.count()).is_err() {
            return Err(rows.too_large());
        }
        let parts = parts(&rows, self.group(), &self.limits_of_parts(&rows, gpu.limits()))?;
        if rows.is_shard() && parts.len() > 1 {
            let bytes = rows.elements()? as u64 * self.dtype.bytes();
            let what = "a shard's rows, which are sampled at once; take fewer";
            return Err(EncodeError::OutOfMemory { what, bytes });
        }
        let plans = Plan::of_passes(&rows, gpu.capabilities(), self.schedule)?;
        let steps = Steps::list(self, &adjusted, &rows, &plans[0]);
        let mut kernel = SampleKernel {
            gpu: gpu.clone(),
            rows,
            plans,
            options: self.clone(),
            params: self.params(&rows, &adjusted),
            adjusted,
            parts,
            steps,
            own: BTreeMap::new(),
            inputs,
        };
        kernel.check_bindings()?;
        kernel.make_own_buffers()?;
        for step in &kernel.steps {
            gpu.pipeline(&kernel.variant(step, VectorWidth::of_rows(&rows)))?;
        }
        Ok(kernel)
    }

    /// Words of a row's edits: a bit pattern for each class, four that are 0, an error, a class for each token of the history
    /// and each bias, and a word more for each bias (`shaders/kernels/sample_edits.wgsl`).
    fn edits_words(&self, classes: usize) -> usize {
        let history = self.history.as_ref().map_or(0, |history| history.length);
        let bias = self.bias.as_ref().map_or(0, |bias| bias.length);
        if self.history.is_none() && self.bias.is_none() {
            return 0;
        }
        (classes + 4).next_multiple_of(4) + (1 + history + 2 * bias).next_multiple_of(4)
    }

    /// The limits by which a batch is cut: a part's edits, which may take more than its logits, have to be bound too.
    fn limits_of_parts(&self, rows: &Rows, limits: &wgpu::Limits) -> wgpu::Limits {
        let row_bytes = self.edits_words(rows.whole_classes()) as u64 * ELEMENT_BYTES;
        let most = bindable_bytes(limits) / row_bytes.max(1);
        let most = (most - spare_rows(most, limits).min(most)).max(1);
        let bytes = most.saturating_mul(rows.outer_stride() as u64 * ELEMENT_BYTES);
        let slack = u64::from(limits.min_storage_buffer_offset_alignment);
        let binding = limits.max_storage_buffer_binding_size;
        wgpu::Limits {
            max_storage_buffer_binding_size: binding.min(bytes.saturating_add(slack)),
            ..limits.clone()
        }
    }

    fn params(&self, rows: &Rows, adjusted: &Adjusted) -> Params {
        let bits = words_of_class_bits(rows.whole_classes()) as u32;
        let history = self.history.as_ref().map_or(0, |history| history.length as u32);
        let (bias, bias_per_row) = self.bias.as_ref().map_or((0, false), |b| (b.length as u32, b.per_row));
        Params {
            sample_stride: match self.rows {
                SampleRows::All(_) => 0,
                _ => PARAM_WORDS as u32,
            },
            allowed_stride: match self.allowed {
                Some(Allowed::PerRow(_)) => bits,
                _ => 0,
            },
            history_length: history,
            bias_length: bias,
            bias_stride: if bias_per_row { bias } else { 0 },
            edits_stride: self.edits_words(rows.whole_classes()) as u32,
            top_n: self.top_n as u32,
            draft_length: self.draft.as_ref().map_or(0, |draft| draft.length as u32),
            ..adjusted.params.of_rows(rows)
        }
    }
}

/// The buffers of a shard that others read or write.
const EXCHANGED: Usage = Usage::STORAGE.union(Usage::COPY_SRC).union(Usage::COPY_DST);

/// Words of the statistics of a span.
const STATS_WORDS: usize = 3;

/// Rows that the work-groups past the last one have between them, where a grid has a second dimension.
fn spare_rows(rows: u64, limits: &wgpu::Limits) -> u64 {
    u64::from(rows > u64::from(limits.max_compute_workgroups_per_dimension))
}

impl SampleKernel {
    /// The schedule that runs.
    pub fn schedule(&self) -> Schedule {
        self.plans[0].schedule
    }

    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind(&self, buffers: &SampleBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &SampleBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &SampleBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        self.rows.check_whole("sampling in one call")?;
        let operands = self.checked_operands(buffers)?;
        bind(&self.gpu, &self.dispatches(&operands, 0, |_| true)?)
    }

    /// All operands, checked.
    pub(super) fn checked_operands<'a>(&'a self, buffers: &SampleBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let mut operands = vec![Operand::read(
            Slot::Logits,
            "logits",
            buffers.logits,
            Extent::Matrix(self.options.dtype.bytes()),
        )];
        operands.extend(self.operands(buffers)?);
        operands.extend(self.adjusted.operands(&buffers.adjust)?);
        let (rows, elements) = (self.rows.count(), self.rows.elements()?);
        for operand in &operands {
            operand.check(rows, elements)?;
        }
        check_apart(&self.gpu, &operands)?;
        Ok(operands)
    }

    /// The operands besides the logits and those of the adjustment.
    pub(super) fn operands<'a>(&'a self, buffers: &SampleBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let extent = Extent::RowWords(token_words(&self.rows));
        let mut all = vec![Operand::written(Slot::Tokens, "tokens", buffers.tokens, extent)];
        all.extend(self.inputs.operands(buffers)?);
        all.extend(self.outputs(buffers)?);
        Ok(all)
    }

    fn outputs<'a>(&self, buffers: &SampleBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let options = &self.options;
        let (has_log_probs, top) = (options.log_probs != LogProbs::None, options.top_n);
        let mut all = Vec::new();
        for (slot, name, is_wanted, slice, extent) in [
            (
                Slot::LogProb,
                "log_probs",
                has_log_probs,
                buffers.log_probs,
                Extent::Row,
            ),
            (Slot::Ranks, "ranks", options.ranks, buffers.ranks, Extent::Row),
            (Slot::Kept, "kept", options.kept, buffers.kept, Extent::Row),
            (Slot::TopIds, "top_ids", top > 0, buffers.top_ids, Extent::RowWords(top)),
            (
                Slot::TopLogProbs,
                "top_log_probs",
                top > 0,
                buffers.top_log_probs,
                Extent::RowWords(top * token_words(&self.rows)),
            ),
            (
                Slot::Accepted,
                "accepted",
                options.draft.is_some(),
                buffers.accepted,
                Extent::GroupWords {
                    group: options.group(),
                    words: 1,
                },
            ),
            (Slot::Result, "probs", options.probs, buffers.probs, Extent::Matrix(4)),
            (
                Slot::SampleSummary,
                "summary",
                options.summary,
                buffers.summary,
                Extent::Words(2),
            ),
        ] {
            let slice = require_iff(is_wanted, name, name, slice)?;
            all.extend(slice.map(|slice| Operand::written(slot, name, slice, extent)));
        }
        Ok(all)
    }

    fn variant(&self, step: &Step, width: VectorWidth) -> Variant {
        Variant::row(step.spec, width, step.is_stats, self.plan(step))
    }

    fn plan(&self, step: &Step) -> &Plan {
        &self.plans[usize::from(!step.is_stats)]
    }

    /// Words of the statistics of all rows, in so many spans.
    pub(super) fn statistics_words(&self, spans: usize) -> usize {
        self.rows.count() * spans * STATS_WORDS
    }

    /// Checks that the device can bind the buffers of each step.
    fn check_bindings(&self) -> Result<(), EncodeError> {
        let available = self.gpu.limits().max_storage_buffers_per_shader_stage;
        let slots: Vec<Slot> = [Slot::Logits, Slot::Tokens]
            .into_iter()
            .chain(self.adjusted.slots())
            .chain(self.inputs.slots())
            .collect();
        for step in &self.steps {
            let others = slots
                .iter()
                .filter(|slot| step.binds(**slot) && !step.spec.slots.has(**slot))
                .count();
            let bound = (others + step.own.len()) as u32 + step.spec.slots.len();
            if bound > available {
                return Err(EncodeError::TooManyBuffers { bound, available });
            }
        }
        Ok(())
    }

    /// Makes the buffers that the steps need between them, for the largest part.
    pub(super) fn make_own_buffers(&mut self) -> Result<(), EncodeError> {
        let rows = self.parts.iter().map(|part| part.rows).max().unwrap_or(0);
        let chunks = self.rows.classes().div_ceil(CHUNK);
        for (_, own) in self.steps.iter().flat_map(|step| &step.own) {
            let (what, words) = match own {
                Own::Stats(_) => ("the sums of the parts of rows", STATS_WORDS * self.rows.whole_spans()),
                Own::ShardStats(_) => ("the sums of the parts of a shard", STATS_WORDS * self.rows.spans()),
                Own::Maxima(_) => (
                    "the maxima of the parts of rows",
                    chunks * self.plans[0].shape.lanes as usize,
                ),
                Own::Edges => ("the edges of what is kept", 4),
                Own::Edits => ("penalised logits", self.params.edits_stride as usize),
                Own::Searches => ("what is searched for", SEARCH_WORDS),
            };
            let spare = match own {
                Own::Edits => spare_rows(rows as u64, self.gpu.limits()),
                _ => 0,
            };
            let bytes = (rows as u64 + spare) * words as u64 * ELEMENT_BYTES;
            if bytes > bindable_bytes(self.gpu.limits()) {
                return Err(EncodeError::OutOfMemory { what, bytes });
            }
            if !self.own.contains_key(own) {
                // Edits and searches are zeros at first, and so none of the pool's.
                let usage = match own {
                    Own::Stats(_) | Own::ShardStats(_) | Own::Searches if self.rows.is_shard() => EXCHANGED,
                    _ => Usage::STORAGE,
                };
                let buffer = match own {
                    Own::Edits | Own::Searches => self.gpu.new_buffer(what, bytes, usage)?,
                    _ => self.gpu.buffer(what, bytes, usage)?,
                };
                self.own.insert(*own, buffer);
            }
        }
        Ok(())
    }

    /// The dispatches for these rows, whose first is row `first_row` of the whole batch; matrices begin with that row.
    pub(super) fn dispatches<'a>(
        &'a self,
        operands: &[Operand<'a>],
        first_row: usize,
        is_taken: impl Fn(&Step) -> bool,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let mut dispatches = Vec::new();
        for part in &self.parts {
            for step in self.steps.iter().filter(|step| is_taken(step)) {
                dispatches.push(self.dispatch(step, part, operands, first_row)?);
            }
        }
        Ok(dispatches)
    }

    fn dispatch<'a>(
        &'a self,
        step: &Step,
        part: &Part,
        operands: &[Operand<'a>],
        first_row: usize,
    ) -> Result<Dispatch<'a>, EncodeError> {
        let plan = self.plan(step);
        let mut params = Params {
            rows: part.rows as u32,
            first_row: (first_row + part.first_row) as u32,
            batch_rows: self.rows.count() as u32,
            pieces: plan.pieces(),
            ..self.params
        };
        let mut width = VectorWidth::of_rows(&self.rows);
        let mut bindings = Vec::new();
        for operand in operands.iter().filter(|operand| step.binds(operand.slot)) {
            let (binding, offset) = operand.window(&self.gpu, part, first_row);
            params.offsets[operand.slot as usize] = offset;
            bindings.push((operand.slot, binding));
            if operand.slot.is_laid_out_as_logits() {
                width = width.min(VectorWidth::of(offset as usize));
            }
        }
        for (slot, own) in &step.own {
            let buffer = self.own.get(own);
            bindings.extend(buffer.map(|buffer| (*slot, buffer.as_entire_buffer_binding())));
        }
        Ok(Dispatch {
            pipeline: self.gpu.pipeline(&self.variant(step, width))?,
            params,
            bindings,
            groups: match step.is_summary() {
                true => 1,
                false => part.rows * plan.pieces() as usize,
            },
        })
    }
}
