//! [`ShardSample`]: sampling of rows whose classes are in several places.

mod calls;
mod held;

use super::exchange::{SEARCH_WORDS, Searches, check_words, join_statistics, join_tokens, join_top, token_words};
use super::host::{Outputs, SampleOutput};
use super::kernel::SampleKernel;
use super::steps::{Own, Phase, Step, View};
use crate::dispatch::bind;
use crate::error::{EncodeError, RunError};
use crate::gpu::Wait;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use held::Held;
use std::fmt;

/// Where the sampling of a shard is.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)]
pub enum ShardSampling {
    /// All shards need each other's [`ShardSampling::words`].
    Exchange(ShardSample),
    /// The result, which but for the probabilities is the same on all shards.
    Done(SampleOutput),
}

/// Sampling of rows of which this is a shard ([`crate::Rows::shard`]), between two exchanges: each shard gives its words to all, and
/// goes on with those of all. The tokens, and all else, have the bits of rows in one piece.
///
/// Without filters there are two exchanges: of statistics, 12 bytes for each 1,024 classes of a row, and of tokens; with
/// ranks, log-probabilities or the largest classes one more. Filters take one more for the statistics of what they leave,
/// and one for each round of a search, mostly three for top_k and five for top_p, 48 at most: 32 bytes a row, and 4 to 12 for each
/// of 256 buckets that a shard has classes for. All shards need the same options but for a full mask, and the same history,
/// biases and allowed classes, numbered in the whole row; that they have them is not checked. A [`Draft`](crate::Draft) cannot be
/// verified by shards.
///
/// ```
/// use wgpu_softmax::{Gpu, Rows, Sample, SampleParams, ShardSampling};
/// let gpu = Gpu::new()?;
/// let logits: Vec<f32> = (0..5000).map(|i| (i % 37) as f32 / 4.0).collect();
/// let params = SampleParams { top_k: 50, top_p: 0.9, ..SampleParams::default() }.at(7, 0);
/// let options = Sample::new(params);
/// // Each of these may run elsewhere: on another GPU, or in another process.
/// let begin = |(first, held): (usize, usize)| {
///     gpu.sample_shard(&logits[first..first + held], Rows::new(1, held).shard(first, 5000), &options)
/// };
/// let mut shards = Rows::even_shards(5000, 2).into_iter().map(begin).collect::<Result<Vec<_>, _>>()?;
/// let token = loop {
///     if let ShardSampling::Done(out) = &shards[0] {
///         break out.tokens[0];
///     }
///     let words: Vec<Vec<u32>> = shards.iter().map(|shard| shard.words().to_vec()).collect();
///     shards = shards.into_iter().map(|shard| shard.advance(&words)).collect::<Result<_, _>>()?;
/// };
/// assert_eq!(token, gpu.sample(&logits, Rows::new(1, 5000), &options)?.tokens[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShardSample {
    kernel: SampleKernel,
    operands: Vec<Held>,
    outputs: Outputs,
    /// What has run last.
    phase: Phase,
    words: Vec<u32>,
    searches: Searches,
    tokens: Vec<u32>,
    owners: Vec<Option<usize>>,
}

impl fmt::Debug for ShardSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut all = f.debug_struct("ShardSample");
        all.field("rows", &self.kernel.rows).field("phase", &self.phase);
        all.field("words", &self.words.len()).finish_non_exhaustive()
    }
}

impl ShardSampling {
    /// What the shards give to each other now; nothing when they are done.
    pub fn words(&self) -> &[u32] {
        match self {
            Self::Exchange(shard) => &shard.words,
            Self::Done(_) => &[],
        }
    }

    /// Goes on with the words of all shards, in the order of their classes, up to the next exchange.
    ///
    /// # Errors
    /// Words that do not fit the rows, and whatever the device reports.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn advance(self, all: &[Vec<u32>]) -> Result<Self, RunError> {
        block_on(self.run(all, Wait::Blocking))
    }

    /// [`ShardSampling::advance`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`ShardSampling::advance`].
    pub async fn advance_async(self, all: &[Vec<u32>]) -> Result<Self, RunError> {
        self.run(all, Wait::OnThread).await
    }

    async fn run(self, all: &[Vec<u32>], wait: Wait) -> Result<Self, RunError> {
        match self {
            Self::Exchange(shard) => shard.run(all, wait).await,
            done => Ok(done),
        }
    }
}

impl ShardSample {
    async fn begin(
        mut kernel: SampleKernel,
        operands: Vec<Held>,
        outputs: Outputs,
        wait: Wait,
    ) -> Result<ShardSampling, RunError> {
        // The buffers of one step are its own, so that others may begin before it is over.
        kernel.make_own_buffers()?;
        let shard = Self {
            kernel,
            operands,
            outputs,
            phase: Phase::Statistics,
            words: Vec::new(),
            searches: Searches::default(),
            tokens: Vec::new(),
            owners: Vec::new(),
        };
        if shard.kernel.rows.count() == 0 {
            return shard.finished(&[], wait).await;
        }
        let gpu = shard.kernel.gpu.clone();
        let _lock = gpu.gl_call_lock().await;
        shard.run_statistics(Phase::Statistics, wait).await
    }

    async fn run(mut self, all: &[Vec<u32>], wait: Wait) -> Result<ShardSampling, RunError> {
        let gpu = self.kernel.gpu.clone();
        let _lock = gpu.gl_call_lock().await;
        match self.phase {
            Phase::Statistics => {
                self.take_statistics(all)?;
                match self.has(Phase::Search) {
                    true => self.run_search(wait).await,
                    false => self.run_draw(wait).await,
                }
            }
            Phase::Search => {
                let searches = std::mem::take(&mut self.searches);
                self.write(Own::Searches, &searches.joined(all)?)?;
                self.run_search(wait).await
            }
            Phase::Kept => {
                self.take_statistics(all)?;
                self.run_draw(wait).await
            }
            Phase::Draw => {
                (self.tokens, self.owners) = join_tokens(all, self.kernel.rows.count())?;
                gpu.with_error_scopes(|| {
                    gpu.queue()
                        .write_buffer(&self.outputs.tokens, 0, bytemuck::cast_slice(&self.tokens));
                })?;
                self.run_report(wait).await
            }
            Phase::Report => self.finished(all, wait).await,
        }
    }

    fn has(&self, phase: Phase) -> bool {
        self.kernel.steps.iter().any(|step| step.phase() == phase)
    }

    fn submit(&mut self, phase: Phase) -> Result<(), EncodeError> {
        self.phase = phase;
        let operands: Vec<_> = self.operands.iter().map(Held::operand).collect();
        let gpu = &self.kernel.gpu;
        let mut encoder = gpu.encoder();
        let dispatches = self.kernel.dispatches(&operands, 0, |step| step.phase() == phase)?;
        bind(gpu, &dispatches)?.encode(&mut encoder);
        gpu.submit(encoder).map(|_| ())
    }

    fn write(&self, own: Own, words: &[u32]) -> Result<(), EncodeError> {
        let gpu = &self.kernel.gpu;
        match self.kernel.own.get(&own) {
            None => Ok(()),
            Some(buffer) => gpu.with_error_scopes(|| gpu.queue().write_buffer(buffer, 0, bytemuck::cast_slice(words))),
        }
    }

    async fn read(&self, buffer: Option<&wgpu::Buffer>, words: usize, wait: Wait) -> Result<Vec<u32>, RunError> {
        let words = self.kernel.gpu.elements_of(buffer, words, wait).await?;
        Ok(words.unwrap_or_default())
    }

    /// Whose statistics a phase finds.
    fn views(&self) -> Vec<View> {
        let steps = self.kernel.steps.iter().filter(|step| step.phase() == self.phase);
        steps.filter_map(Step::view_of_statistics).collect()
    }

    async fn run_statistics(mut self, phase: Phase, wait: Wait) -> Result<ShardSampling, RunError> {
        self.submit(phase)?;
        self.words.clear();
        let words = self.kernel.statistics_words(self.kernel.rows.spans());
        for view in self.views() {
            let found = self.kernel.own.get(&Own::ShardStats(view));
            let found = self.read(found, words, wait).await?;
            self.words.extend(found);
        }
        Ok(ShardSampling::Exchange(self))
    }

    fn take_statistics(&self, all: &[Vec<u32>]) -> Result<(), EncodeError> {
        let views = self.views();
        let words = self.kernel.statistics_words(self.kernel.rows.whole_spans());
        for (view, joined) in views.iter().zip(join_statistics(all, views.len(), words)?) {
            self.write(Own::Stats(*view), &joined)?;
        }
        Ok(())
    }

    async fn run_search(mut self, wait: Wait) -> Result<ShardSampling, RunError> {
        self.submit(Phase::Search)?;
        let buffer = self.kernel.own.get(&Own::Searches);
        let words = self.kernel.rows.count() * SEARCH_WORDS;
        self.searches = Searches::new(self.read(buffer, words, wait).await?);
        if self.searches.are_done() {
            return self.run_statistics(Phase::Kept, wait).await;
        }
        self.words = self.searches.words();
        Ok(ShardSampling::Exchange(self))
    }

    async fn run_draw(mut self, wait: Wait) -> Result<ShardSampling, RunError> {
        self.submit(Phase::Draw)?;
        let words = 2 * self.kernel.rows.count();
        self.words = self.read(Some(&self.outputs.tokens), words, wait).await?;
        Ok(ShardSampling::Exchange(self))
    }

    /// The buffers of what is reported of each row, and how many words they have.
    fn reported(&self) -> [(Option<&wgpu::Buffer>, usize); 5] {
        let (outputs, rows) = (&self.outputs, self.kernel.rows.count());
        let top = rows * self.kernel.options.top_n;
        [
            (outputs.log_probs.as_ref(), rows),
            (outputs.ranks.as_ref(), rows),
            (outputs.kept.as_ref(), rows),
            (outputs.top_ids.as_ref(), top),
            (outputs.top_log_probs.as_ref(), top * token_words(&self.kernel.rows)),
        ]
    }

    async fn run_report(mut self, wait: Wait) -> Result<ShardSampling, RunError> {
        if self.has(Phase::Report) {
            self.submit(Phase::Report)?;
        }
        let mut words = Vec::new();
        for (buffer, count) in self.reported() {
            words.extend(self.read(buffer, count, wait).await?);
        }
        self.words = words;
        match self.words.is_empty() {
            true => self.finished(&[], wait).await,
            false => Ok(ShardSampling::Exchange(self)),
        }
    }

    /// The result, from what all shards report.
    async fn finished(mut self, all: &[Vec<u32>], wait: Wait) -> Result<ShardSampling, RunError> {
        if !self.words.is_empty() {
            check_words("the reports of a shard", all, self.words.len())?;
        }
        let lengths = self.reported().map(|(buffer, count)| buffer.map(|_| count));
        let mut at = 0;
        let [log_probs, ranks, kept, top_ids, top_pairs] = lengths.map(|length| {
            let start = at;
            at += length.unwrap_or(0);
            length.map(|_| all.iter().map(|shard| &shard[start..at]).collect::<Vec<_>>())
        });
        let owners = self.owners.iter().enumerate();
        let of_owner = |shards: Vec<&[u32]>| {
            let of_row = |(row, owner): (usize, &Option<usize>)| shards[owner.unwrap_or(0)][row];
            owners.clone().map(of_row).map(f32::from_bits).collect()
        };
        let total = |shards: Vec<&[u32]>| -> Vec<u32> {
            let of_row = |(row, owner): (usize, &Option<usize>)| match owner {
                None => shards[0][row],
                Some(_) => shards.iter().fold(0, |sum: u32, shard| sum.wrapping_add(shard[row])),
            };
            owners.clone().map(of_row).collect()
        };
        let top = top_ids.zip(top_pairs).map(|(ids, pairs)| {
            let shards: Vec<_> = ids.into_iter().zip(pairs).collect();
            join_top(&shards, self.kernel.options.top_n)
        });
        let (top_ids, top_log_probs) = top.unzip();
        let elements = self.kernel.rows.count() * self.kernel.rows.classes();
        let gpu = self.kernel.gpu.clone();
        Ok(ShardSampling::Done(SampleOutput {
            log_probs: log_probs.map(of_owner),
            ranks: ranks.map(total),
            kept: kept.map(total),
            top_ids,
            top_log_probs: top_log_probs.map(|bits| bits.into_iter().map(f32::from_bits).collect()),
            probs: gpu.elements_of(self.outputs.probs.as_ref(), elements, wait).await?,
            accepted: None,
            tokens: std::mem::take(&mut self.tokens).into_iter().step_by(2).collect(),
        }))
    }
}
