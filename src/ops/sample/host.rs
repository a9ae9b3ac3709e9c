//! Sampling of a batch on the host.

use super::buffers::SampleBuffers;
use super::exchange::token_words;
use super::inputs::Inputs;
use super::kernel::SampleKernel;
use super::options::{Allowed, LogProbs, Sample, SampleRows};
use super::params::NO_TOKEN;
use super::words::Words;
use crate::dispatch::{HostMatrix, HostPart, Slice, Stream, bind};
use crate::dtype::Element;
use crate::error::RunError;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::values::{NO_BUFFER, Values};
use crate::rows::Rows;
use crate::shader::Slot;
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
    /// `[sequences]`: how many tokens of each draft were accepted.
    pub accepted: Option<Vec<u32>>,
}

/// The error of a call that takes host slices, where an option asks for a buffer.
const NO_WORDS: RunError = RunError::NeedsBuffer {
    option: "Words::Buffer",
    instead: "Words::Host",
};

/// Rows of the outputs, on the device, for the whole batch.
#[derive(Debug)]
pub(super) struct Outputs {
    pub(super) tokens: wgpu::Buffer,
    pub(super) log_probs: Option<wgpu::Buffer>,
    pub(super) ranks: Option<wgpu::Buffer>,
    pub(super) kept: Option<wgpu::Buffer>,
    pub(super) top_ids: Option<wgpu::Buffer>,
    pub(super) top_log_probs: Option<wgpu::Buffer>,
    pub(super) probs: Option<wgpu::Buffer>,
    accepted: Option<wgpu::Buffer>,
}

impl Outputs {
    pub(super) fn new(gpu: &Gpu, rows: &Rows, options: &Sample) -> Result<Self, RunError> {
        let (count, token_words) = (rows.count(), token_words(rows));
        let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
        let make = |what, is_wanted: bool, words: usize| -> Result<Option<wgpu::Buffer>, RunError> {
            let bytes = words as u64 * 4;
            Ok(is_wanted.then(|| gpu.buffer(what, bytes, usage)).transpose()?)
        };
        let top = options.top_n;
        Ok(Self {
            tokens: gpu.buffer("tokens", (count * token_words) as u64 * 4, usage)?,
            log_probs: make("log-probabilities", options.log_probs != LogProbs::None, count)?,
            ranks: make("ranks", options.ranks, count)?,
            kept: make("numbers of kept classes", options.kept, count)?,
            top_ids: make("largest classes", top > 0, count * top)?,
            top_log_probs: make("largest log-probabilities", top > 0, count * top * token_words)?,
            probs: make("probabilities", options.probs, count * rows.classes())?,
            accepted: make("accepted tokens", options.draft.is_some(), count / options.group())?,
        })
    }

    /// The buffers of a kernel for a part of the rows: those of the whole batch, but for the probabilities, which begin with
    /// the part as the logits do.
    fn of_part<'a>(&'a self, part: &HostPart, logits: Slice<'a>) -> SampleBuffers<'a> {
        let row_bytes = part.rows.classes() as u64 * 4;
        let (first, count) = (part.first_row as u64, part.rows.count() as u64);
        let of_part = first * row_bytes..(first + count) * row_bytes;
        SampleBuffers {
            probs: self.probs.as_ref().map(|probs| probs.slice(of_part)),
            ..self.whole(SampleBuffers::new(logits, self.tokens.slice(..)))
        }
    }

    /// These buffers instead of the outputs.
    pub(super) fn whole<'a>(&'a self, others: SampleBuffers<'a>) -> SampleBuffers<'a> {
        let whole = |buffer: &'a Option<wgpu::Buffer>| buffer.as_ref().map(|buffer| buffer.slice(..));
        SampleBuffers {
            tokens: self.tokens.slice(..),
            log_probs: whole(&self.log_probs),
            ranks: whole(&self.ranks),
            kept: whole(&self.kept),
            top_ids: whole(&self.top_ids),
            top_log_probs: whole(&self.top_log_probs),
            probs: whole(&self.probs).or(others.probs),
            accepted: whole(&self.accepted),
            ..others
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
    #[cfg(not(target_arch = "wasm32"))]
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
        rows.check_whole("sampling in one call")?;
        options.validate(&rows)?;
        options.check_host(&rows)?;
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let outputs = Outputs::new(gpu, &rows, &options)?;
        let matrices = matrices.into_iter().chain(mask).collect();
        let inputs = Inputs::new(gpu, &rows, &options)?;
        let mut kernel: Option<SampleKernel> = None;
        let mut stream = Stream::<T>::new(gpu, &rows.into(), options.group(), matrices, false, wait)?;
        stream
            .run(|part, encoder, matrices| {
                let kernel = match &kernel {
                    Some(same) if same.rows == part.rows => same,
                    _ => kernel.insert(options.prepare_with(gpu, part.rows, adjusted.clone(), inputs.clone())?),
                };
                let Some(logits) = matrices.first() else { return Ok(()) };
                let buffers = outputs.of_part(part, logits.slice);
                let mut operands = matrices.to_vec();
                operands.extend(adjusted.operands(&AdjustBuffers::default())?);
                operands.extend(kernel.operands(&buffers)?);
                bind(gpu, &kernel.dispatches(&operands, part.first_row, |_| true)?)?.encode(encoder);
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
            accepted: gpu
                .elements_of(outputs.accepted.as_ref(), count / options.group(), wait)
                .await?,
        })
    }
}

impl Sample {
    /// Options that ask for a buffer, which a call on host slices has none of, and classes out of range.
    pub(super) fn check_host(&self, rows: &Rows) -> Result<(), RunError> {
        if self.rows == SampleRows::Buffer {
            return Err(RunError::NeedsBuffer {
                option: "SampleRows::Buffer",
                instead: "SampleRows::PerRow",
            });
        }
        if let Some(history) = &self.history {
            let of_row = |at: usize| at / history.length.max(1);
            check_classes("history", of_row, &history.tokens, rows)?;
        }
        match &self.allowed {
            Some(Allowed::All(words) | Allowed::PerRow(words)) if *words == Words::Buffer => return Err(NO_WORDS),
            _ => {}
        }
        if let Some(bias) = &self.bias {
            let of_row = |at: usize| at / bias.length.max(1);
            check_classes("bias.classes", of_row, &bias.classes, rows)?;
            if bias.values == Values::Buffer {
                return Err(NO_BUFFER);
            }
        }
        if let Some(draft) = &self.draft {
            // Each sequence has a row without a token of the draft.
            let of_row = |at: usize| at + at / draft.length.max(1);
            check_classes("draft.tokens", of_row, &draft.tokens, rows)?;
            if draft.probs == Some(Values::Buffer) {
                return Err(NO_BUFFER);
            }
        }
        Ok(())
    }
}

/// Checks that words on the host are classes, or no token.
fn check_classes(
    what: &'static str,
    of_row: impl Fn(usize) -> usize,
    words: &Words,
    rows: &Rows,
) -> Result<(), RunError> {
    let Words::Host(words) = words else {
        return Err(NO_WORDS);
    };
    let is_bad = |&(_, &class): &(usize, &u32)| class as usize >= rows.whole_classes() && class != NO_TOKEN;
    match words.iter().enumerate().find(is_bad) {
        None => Ok(()),
        Some((at, class)) => Err(RunError::ClassOutOfRange {
            what,
            row: of_row(at),
            class: *class,
            classes: rows.whole_classes(),
        }),
    }
}
