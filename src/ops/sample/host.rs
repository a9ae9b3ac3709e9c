//! Sampling of a batch on the host.

use super::buffers::SampleBuffers;
use super::kernel::SampleKernel;
use super::options::{Allowed, LogProbs, Sample, SampleRows, Words};
use super::params::NO_TOKEN;
use crate::dispatch::{HostMatrix, HostPart, Stream, bind};
use crate::dtype::Element;
use crate::error::RunError;
use crate::gpu::{Gpu, Wait, block_on};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::values::{NO_BUFFER, Values};
use crate::rows::Rows;
use crate::shader::Slot;
use std::sync::Arc;
use wgpu::BufferUsages as Usage;

/// The result of [`Gpu::sample`]: the tokens, and what the options ask for besides.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SampleOutput {
    /// A class for each row, or [`NO_TOKEN`](crate::NO_TOKEN).
    pub tokens: Vec<u32>,
    /// The log-probability of each token.
    pub log_probs: Option<Vec<f32>>,
    /// The number of classes before each token.
    pub ranks: Option<Vec<u32>>,
    /// The number of classes that the filters left of each row.
    pub kept: Option<Vec<u32>>,
    /// `[rows, top_n]`: the classes with the largest log-probabilities.
    pub top_ids: Option<Vec<u32>>,
    /// `[rows, top_n]`: these.
    pub top_log_probs: Option<Vec<f32>>,
    /// `[rows, classes]`: the probabilities that the tokens were drawn with.
    pub probs: Option<Vec<f32>>,
}

/// The error of a call that takes host slices, where an option asks for a buffer.
const NO_WORDS: RunError = RunError::NeedsBuffer {
    option: "Words::Buffer",
    instead: "Words::Host",
};

/// Rows of the outputs, on the device, for the whole batch.
struct Outputs {
    tokens: wgpu::Buffer,
    log_probs: Option<wgpu::Buffer>,
    ranks: Option<wgpu::Buffer>,
    kept: Option<wgpu::Buffer>,
    top_ids: Option<wgpu::Buffer>,
    top_log_probs: Option<wgpu::Buffer>,
    probs: Option<wgpu::Buffer>,
}

impl Outputs {
    fn new(gpu: &Gpu, rows: &Rows, options: &Sample) -> Result<Self, RunError> {
        let make = |what, is_wanted: bool, words: usize| -> Result<Option<wgpu::Buffer>, RunError> {
            let bytes = (rows.count() * words) as u64 * 4;
            let usage = Usage::STORAGE | Usage::COPY_SRC;
            Ok(is_wanted.then(|| gpu.buffer(what, bytes, usage)).transpose()?)
        };
        let top = options.top_n;
        Ok(Self {
            tokens: gpu.buffer("tokens", rows.count() as u64 * 4, Usage::STORAGE | Usage::COPY_SRC)?,
            log_probs: make("log-probabilities", options.log_probs != LogProbs::None, 1)?,
            ranks: make("ranks", options.ranks, 1)?,
            kept: make("numbers of kept classes", options.kept, 1)?,
            top_ids: make("largest classes", top > 0, top)?,
            top_log_probs: make("largest log-probabilities", top > 0, top)?,
            probs: make("probabilities", options.probs, rows.classes())?,
        })
    }

    /// The rows of a part as buffers of a kernel.
    fn of_part<'a>(&'a self, part: &HostPart, options: &Sample, logits: crate::Slice<'a>) -> SampleBuffers<'a> {
        let (first, count) = (part.first_row as u64, part.rows.count() as u64);
        let rows = |buffer: &'a wgpu::Buffer, words: usize| {
            let bytes = words as u64 * 4;
            buffer.slice(first * bytes..(first + count) * bytes)
        };
        let some = |buffer: &'a Option<wgpu::Buffer>, words| buffer.as_ref().map(|buffer| rows(buffer, words));
        SampleBuffers {
            log_probs: some(&self.log_probs, 1),
            ranks: some(&self.ranks, 1),
            kept: some(&self.kept, 1),
            top_ids: some(&self.top_ids, options.top_n),
            top_log_probs: some(&self.top_log_probs, options.top_n),
            probs: some(&self.probs, part.rows.classes()),
            ..SampleBuffers::new(logits, rows(&self.tokens, 1))
        }
    }
}

impl Gpu {
    /// Draws a class of each row of a batch on the host: see [`Sample`] for the options and special rows.
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slices, a number out of range, and whatever the device reports.
    ///
    /// ```
    /// use wgpu_softmax::{Gpu, Rows, Sample, SampleParams};
    /// let gpu = Gpu::new()?;
    /// let logits = [1f32, 5.0, 2.0, 0.0, 0.0, 0.0];
    /// let params = SampleParams { top_k: 2, ..SampleParams::default() };
    /// let options = Sample::per_row([SampleParams::greedy(), params.at(42, 0)]);
    /// let tokens = gpu.sample(&logits, Rows::new(2, 3), &options)?.tokens;
    /// assert!(tokens[0] == 1 && tokens[1] < 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sample<T: Element>(&self, logits: &[T], rows: Rows, options: &Sample) -> Result<SampleOutput, RunError> {
        block_on(self.run_sample(logits, rows, options, Wait::Blocking))
    }

    /// [`Gpu::sample`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::sample`].
    pub async fn sample_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Sample,
    ) -> Result<SampleOutput, RunError> {
        self.run_sample(logits, rows, options, Wait::OnThread).await
    }

    async fn run_sample<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Sample,
        wait: Wait,
    ) -> Result<SampleOutput, RunError> {
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let options = Sample {
            dtype: T::DTYPE,
            summary: false,
            ..options.clone()
        };
        options.validate(&rows)?;
        options.check_host(&rows)?;
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let outputs = Outputs::new(gpu, &rows, &options)?;
        let matrices = matrices.into_iter().chain(mask).collect();
        let mut stream = Stream::<T>::new(gpu, rows, matrices, false, wait)?;
        stream
            .run(|part, encoder, matrices| {
                let options = options.of_part(part);
                let kernel: SampleKernel = options.prepare_adjusted(gpu, part.rows, adjusted.clone())?;
                let Some(logits) = matrices.first() else { return Ok(()) };
                let buffers = outputs.of_part(part, &options, logits.slice);
                let mut operands = matrices.to_vec();
                operands.extend(adjusted.operands(&AdjustBuffers::default())?);
                operands.extend(kernel.operands(&buffers)?);
                bind(gpu, &kernel.dispatches(&operands, 0)?)?.encode(encoder);
                Ok(())
            })
            .await?;
        let count = rows.count();
        let top = count * options.top_n;
        Ok(SampleOutput {
            tokens: gpu.elements(&outputs.tokens, count, wait).await?,
            log_probs: gpu.elements_of(outputs.log_probs.as_ref(), count, wait).await?,
            ranks: gpu.elements_of(outputs.ranks.as_ref(), count, wait).await?,
            kept: gpu.elements_of(outputs.kept.as_ref(), count, wait).await?,
            top_ids: gpu.elements_of(outputs.top_ids.as_ref(), top, wait).await?,
            top_log_probs: gpu.elements_of(outputs.top_log_probs.as_ref(), top, wait).await?,
            probs: gpu
                .elements_of(outputs.probs.as_ref(), count * rows.classes(), wait)
                .await?,
        })
    }
}

impl Sample {
    /// Options that ask for a buffer, which a call on host slices has none of, and classes out of range.
    fn check_host(&self, rows: &Rows) -> Result<(), RunError> {
        if self.rows == SampleRows::Buffer {
            return Err(RunError::NeedsBuffer {
                option: "SampleRows::Buffer",
                instead: "SampleRows::PerRow",
            });
        }
        if let Some(history) = &self.history {
            check_classes("history", history.length, &history.tokens, rows)?;
        }
        match &self.allowed {
            Some(Allowed::All(words) | Allowed::PerRow(words)) if *words == Words::Buffer => return Err(NO_WORDS),
            _ => {}
        }
        if let Some(bias) = &self.bias {
            check_classes("bias.classes", bias.length, &bias.classes, rows)?;
            if bias.values == Values::Buffer {
                return Err(NO_BUFFER);
            }
        }
        Ok(())
    }

    /// The options of a part of the rows.
    fn of_part(&self, part: &HostPart) -> Self {
        let rows = part.first_row..part.first_row + part.rows.count();
        let words = |all: &Words, length: usize| match all {
            Words::Host(all) => Words::Host(all.get(rows.start * length..rows.end * length).unwrap_or(all).into()),
            Words::Buffer => Words::Buffer,
        };
        let mut options = self.clone();
        if let SampleRows::PerRow(all) = &self.rows {
            options.rows = SampleRows::PerRow(Arc::from(all.get(rows.clone()).unwrap_or(all)));
        }
        if let Some(history) = &mut options.history {
            history.tokens = words(&history.tokens, history.length);
        }
        if let Some(Allowed::PerRow(all)) = &self.allowed {
            options.allowed = Some(Allowed::PerRow(words(all, part.rows.classes().div_ceil(32))));
        }
        if let Some(bias) = options.bias.as_mut().filter(|bias| bias.per_row) {
            bias.classes = words(&bias.classes, bias.length);
            if let Values::Host(all) = &bias.values {
                let part = all.get(rows.start * bias.length..rows.end * bias.length);
                bias.values = Values::Host(part.unwrap_or(all).into());
            }
        }
        options
    }
}

/// Checks that words on the host are classes, or no token.
fn check_classes(what: &'static str, length: usize, words: &Words, rows: &Rows) -> Result<(), RunError> {
    let Words::Host(words) = words else {
        return Err(NO_WORDS);
    };
    let is_bad = |&(_, &class): &(usize, &u32)| class as usize >= rows.classes() && class != NO_TOKEN;
    match words.iter().enumerate().find(is_bad) {
        None => Ok(()),
        Some((at, class)) => Err(RunError::ClassOutOfRange {
            what,
            row: at / length.max(1),
            class: *class,
            classes: rows.classes(),
        }),
    }
}
