//! A call of cross-entropy on host slices, from its parts to its result.

use super::host_targets::{HostTargets, IGNORED};
use super::kernel::CrossEntropyBatch;
use super::options::{CrossEntropy, Targets};
use super::output::CrossEntropyOutput;
use crate::dispatch::{HostBatch, HostMatrix, Operand, bind, require_iff};
use crate::dtype::{Element, Storage};
use crate::error::{RunError, check_length};
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::loss::{CrossEntropySummary, Gradient, LossBuffers, Normalizer, RowOutputs, Upstream};
use crate::ops::shard::{ShardStatistics, StatisticsBuffer};
use crate::ops::values::{NO_BUFFER, Values};
use crate::ragged::RowLayout;
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::{RowSpec, Slot};
use wgpu::BufferUsages as Usage;

/// A call on host slices, made ready.
pub(super) struct HostCall<'a> {
    layout: RowLayout,
    options: &'a CrossEntropy,
    matrices: Vec<HostMatrix<'a>>,
    adjusted: Adjusted,
    batch: CrossEntropyBatch,
    outputs: HostOutputs,
}

impl<'a> HostCall<'a> {
    /// The options are those that `on_host` gives.
    pub(super) fn new<T: Element>(
        gpu: &Gpu,
        logits: &'a [T],
        targets: &'a HostTargets<'a, T>,
        layout: RowLayout,
        options: &'a CrossEntropy,
    ) -> Result<Self, RunError> {
        let layout = options.of_rows(layout);
        let rows = layout.rows;
        let mut matrices = vec![HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let words: &[u32] = match targets {
            HostTargets::Indices(words, _) => {
                check_length("targets", rows.count(), words.len())?;
                words
            }
            HostTargets::Probabilities(probabilities) => {
                let name = "probabilities";
                matrices.push(HostMatrix::new(Slot::SoftTargets, name, probabilities, &rows)?);
                &[]
            }
        };
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let adjusted = adjusted.at_temperature(options.temperature);
        matrices.extend(mask);
        Ok(Self {
            options,
            matrices,
            batch: CrossEntropyBatch::new(gpu, &layout, options, IGNORED, adjusted.params)?,
            adjusted,
            outputs: HostOutputs::new(gpu, rows, options, words)?,
            layout,
        })
    }

    fn spec(&self) -> RowSpec {
        self.options.row_spec(&self.adjusted)
    }

    /// The kernel of the rows, bound to these operands and those of the adjustment.
    fn kernel<'b>(
        &'b self,
        mut others: Vec<Operand<'b>>,
        is_statistics: bool,
        wait: Wait,
    ) -> Result<HostBatch<'b>, RunError> {
        others.extend(self.adjusted.operands(&AdjustBuffers::default())?);
        Ok(HostBatch {
            rows: self.layout.clone(),
            spec: self.spec(),
            schedule: self.options.schedule,
            params: self.batch.passes.params(),
            others,
            is_statistics,
            wait,
        })
    }

    /// The same with what the Hessian is multiplied by.
    pub(super) fn with_direction<T: Element>(mut self, direction: Option<&'a [T]>) -> Result<Self, RunError> {
        let direction = require_iff(self.options.hessian_vector, "direction", "hessian_vector", direction)?;
        if let Some(direction) = direction {
            (self.matrices).push(HostMatrix::new(
                Slot::Direction,
                "direction",
                direction,
                &self.layout.rows,
            )?);
        }
        Ok(self)
    }

    pub(super) async fn run<T: Element>(
        &self,
        gpu: &Gpu,
        targets: &HostTargets<'_, T>,
        all: Option<&ShardStatistics>,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let (batch, outputs) = (&self.batch, &self.outputs);
        let (buffers, mut others) = batch.bind(outputs.buffers(self.options.is_soft()), [None; 3])?;
        let statistics = StatisticsBuffer::of_all(gpu, &self.layout.rows, &self.spec(), all)?;
        others.extend(statistics.as_ref().map(StatisticsBuffer::operand));
        let before = batch.passes.before(&buffers)?;
        if !before.is_empty() {
            let mut encoder = gpu.encoder();
            bind(gpu, &before)?.encode(&mut encoder);
            gpu.submit(encoder)?;
        }
        let kernel = self.kernel(others, false, wait)?;
        let gradient = gpu.stream(self.matrices.clone(), &kernel).await?;

        let mut encoder = gpu.encoder();
        bind(gpu, &batch.passes.after(&buffers)?)?.encode(&mut encoder);
        let summary = outputs.summary(gpu, encoder, wait).await?;
        targets.check(&summary, &self.layout)?;
        outputs
            .read(gpu, self.options, (summary, gradient), self.layout.rows, wait)
            .await
    }

    /// The statistics of a shard.
    pub(super) async fn statistics<T: Element>(&self, gpu: &Gpu, wait: Wait) -> Result<ShardStatistics, RunError> {
        let statistics = StatisticsBuffer::new(gpu, &self.layout.rows, &self.spec(), None)?;
        let targets = (!self.options.is_soft()).then(|| self.outputs.targets.slice(..));
        let mut others = self.batch.statistics_operands(targets, None)?;
        others.push(statistics.operand());
        let kernel = self.kernel(others, true, wait)?;
        gpu.stream::<T>(self.matrices.clone(), &kernel).await?;
        statistics.read(gpu, self.layout.rows, wait).await
    }
}

impl CrossEntropy {
    pub(crate) fn with_targets(&self, targets: Targets) -> Self {
        Self {
            targets,
            ..self.clone()
        }
    }

    /// The options for a call on host slices: stored as the slices are, with the gradient in place of the device's copy
    /// of the logits.
    pub(super) fn on_host<T: Element>(self) -> Result<Self, RunError> {
        let buffers = [&self.weights, &self.row_weights, &self.from_lse].map(|v| *v == Some(Values::Buffer));
        let upstream = self.upstream == Upstream::Buffer;
        if upstream || buffers.contains(&true) || self.normalizer == Normalizer::Buffer {
            return Err(NO_BUFFER);
        }
        Ok(Self {
            gradient: match self.gradient {
                Gradient::None => Gradient::None,
                Gradient::Apart | Gradient::InPlace => Gradient::InPlace,
            },
            storage: Storage::all(T::DTYPE),
            ..self
        })
    }
}

/// The device buffers for the targets, the summary, and the outputs that the caller wants of each row.
struct HostOutputs {
    targets: wgpu::Buffer,
    summary: wgpu::Buffer,
    rows: RowOutputs<Option<wgpu::Buffer>>,
}

impl HostOutputs {
    fn new(gpu: &Gpu, rows: Rows, options: &CrossEntropy, targets: &[u32]) -> Result<Self, RunError> {
        let bytes = rows.count() as u64 * ELEMENT_BYTES;
        let for_host = |name, is_wanted: bool| {
            let buffer = is_wanted.then(|| gpu.buffer(name, bytes, Usage::STORAGE | Usage::COPY_SRC));
            buffer.transpose()
        };
        let summary = Usage::STORAGE | Usage::COPY_SRC;
        Ok(Self {
            targets: gpu.buffer_of("targets", bytemuck::cast_slice(targets), Usage::STORAGE)?,
            summary: gpu.buffer("summary", CrossEntropySummary::BYTES, summary)?,
            rows: options.outputs().try_map(for_host)?,
        })
    }

    fn buffers(&self, is_soft: bool) -> LossBuffers<'_> {
        let rows = self.rows.as_ref();
        LossBuffers {
            targets: (!is_soft).then(|| self.targets.slice(..)),
            outputs: rows.map(|buffer| buffer.as_ref().map(|b| b.slice(..))),
            ..LossBuffers::new(self.summary.slice(..))
        }
    }

    /// Submits, and brings the summary to the host.
    async fn summary(
        &self,
        gpu: &Gpu,
        encoder: wgpu::CommandEncoder,
        wait: Wait,
    ) -> Result<CrossEntropySummary, RunError> {
        let read = CrossEntropySummary::from_bytes;
        let summary = gpu
            .read(encoder, &self.summary, CrossEntropySummary::BYTES, wait, read)
            .await?;
        summary.ok_or_else(|| RunError::Device {
            message: "the summary came back short".into(),
        })
    }

    /// Brings the outputs of the rows to the host.
    async fn read<T>(
        &self,
        gpu: &Gpu,
        options: &CrossEntropy,
        (summary, gradient): (CrossEntropySummary, Vec<T>),
        rows: Rows,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let count = rows.count();
        let reduces = options.reduces();
        Ok(CrossEntropyOutput {
            loss: reduces.then_some(summary.loss),
            z_loss: (reduces && options.z_loss != 0.0).then_some(summary.z_loss),
            row_losses: gpu.elements_of(self.rows.row_losses.as_ref(), count, wait).await?,
            row_z_losses: gpu.elements_of(self.rows.row_z_losses.as_ref(), count, wait).await?,
            gradient: (options.gradient != Gradient::None).then_some(gradient),
            lse: gpu.elements_of(self.rows.lse.as_ref(), count, wait).await?,
            log_prob: gpu.elements_of(self.rows.log_prob.as_ref(), count, wait).await?,
            entropy: gpu.elements_of(self.rows.entropy.as_ref(), count, wait).await?,
            argmax: gpu.elements_of(self.rows.argmax.as_ref(), count, wait).await?,
            correct: options.correct.then_some(summary.correct as usize),
            counted: summary.counted as usize,
        })
    }
}
