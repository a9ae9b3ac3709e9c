//! Sampling over the ranks.

use crate::error::Error;
use crate::ranks::{Ranks, fits};
use crate::record::{Call, Record, hash};
use crate::shards::adjust_print;
use wgpu_softmax::{Allowed, Element, Gpu, Rows, Sample, SampleOutput, SampleRows, ShardSampling, Values, Words};

impl Ranks<'_> {
    /// [`Gpu::sample`] over all ranks. `logits` are this rank's part of its rows, whose number may differ from group to group;
    /// parameters, histories, biases and allowed classes are those of these rows, numbered in the whole row, and the same on all
    /// ranks that share them. With one rank to a row, rows may be whole ones, or shards of all classes.
    ///
    /// The outputs are those of this rank's rows: the same on all ranks that share them, but for the probabilities, of which each
    /// has its part. What travels, and how often, says [`ShardSample`](wgpu_softmax::ShardSample); all groups exchange as often as
    /// the one that does most.
    ///
    /// # Errors
    /// The same on every rank: what [`Gpu::sample_shard`] gives on one of them, and ranks that did not call alike.
    pub fn sample<T: Element>(
        &self,
        gpu: &Gpu,
        logits: &[T],
        rows: Rows,
        options: &Sample,
    ) -> Result<SampleOutput, Error> {
        let record = Record {
            given: hash(given(options)),
            ..Record::of_call(Call::Sample, T::DTYPE, &rows, &print(options))
        };
        let mut step = match self.is_whole(&rows) {
            true => gpu.sample(logits, rows, options).map(ShardSampling::Done),
            false => gpu.sample_shard(logits, rows, options),
        };
        loop {
            let words = step.as_ref().map_or(0, |step| step.words().len() as u64);
            let (own, all) = self.settle(step, Record { words, ..record })?;
            let own = match own {
                ShardSampling::Done(out) if all.iter().all(|r| r.words == 0) => return Ok(out),
                other => other,
            };
            for group in all.chunks(self.vocab_ranks()) {
                fits(&group.iter().map(|r| r.words).collect::<Vec<_>>())?;
            }
            let first = self.data_rank() * self.vocab_ranks();
            let counts: Vec<u64> = all[first..first + self.vocab_ranks()].iter().map(|r| r.words).collect();
            let words = self.gather_row(own.words(), &counts);
            let mut rest = &words[..];
            let shards = counts.iter().map(|&count| {
                let (words, after) = rest.split_at(count as usize);
                rest = after;
                words.to_vec()
            });
            step = own.advance(&shards.collect::<Vec<_>>());
        }
    }
}

/// What belongs to each row, as bytes.
fn given(options: &Sample) -> impl Iterator<Item = u8> {
    let params: &[u8] = match &options.rows {
        SampleRows::All(params) => bytemuck::bytes_of(params),
        SampleRows::PerRow(params) => bytemuck::cast_slice(params),
        _ => &[],
    };
    let words = |words: Option<&Words>| match words {
        Some(Words::Host(words)) => words.to_vec(),
        _ => Vec::new(),
    };
    let allowed = match &options.allowed {
        Some(Allowed::All(words) | Allowed::PerRow(words)) => Some(words),
        _ => None,
    };
    let bias_values = match options.bias.as_ref().map(|bias| &bias.values) {
        Some(Values::Host(values)) => values.iter().map(|v| v.to_bits()).collect(),
        _ => Vec::new(),
    };
    let all = [
        words(options.history.as_ref().map(|history| &history.tokens)),
        words(allowed),
        words(options.bias.as_ref().map(|bias| &bias.classes)),
        bias_values,
    ];
    let bytes = all.into_iter().flatten().flat_map(u32::to_le_bytes);
    params.iter().copied().chain(bytes)
}

/// What must be the same of the options on all ranks.
fn print(options: &Sample) -> String {
    let kinds = (
        std::mem::discriminant(&options.rows),
        options.history.as_ref().map(|history| history.length),
        options.allowed.as_ref().map(std::mem::discriminant),
        options.bias.as_ref().map(|bias| (bias.length, bias.per_row)),
        options.draft.is_some(),
    );
    let outputs = (
        options.log_probs,
        options.ranks,
        options.kept,
        options.top_n,
        options.probs,
    );
    format!(
        "{kinds:?} {outputs:?} {} {}",
        options.joint,
        adjust_print(&options.adjust)
    )
}
