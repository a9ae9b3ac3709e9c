//! Statistics of shards from all ranks of a row, and the calls of one result a class.

use crate::error::Error;
use crate::ranks::Ranks;
use crate::record::{Call, Record};
use wgpu_softmax::{Adjust, Element, Gpu, LogSumExp, Rows, RunError, ShardStatistics, Softmax};

/// What a rank can make of the statistics of all, and what all say of themselves.
pub(crate) type Joined<T> = (Result<T, RunError>, Vec<Record>);

impl Ranks<'_> {
    /// This rank's part of [`Gpu::softmax`], of rows that are its [shard](Ranks::shard).
    ///
    /// # Errors
    /// The same on every rank: what [`Gpu::softmax_shard`] gives on one of them, and ranks that did not call alike.
    pub fn softmax<T: Element>(&self, gpu: &Gpu, logits: &[T], rows: Rows, options: &Softmax) -> Result<Vec<T>, Error> {
        let same = (options.log, options.fully_masked, options.fast);
        let same = format!("{same:?} {}", adjust_print(&options.adjust));
        let record = Record::of_call(Call::Softmax, T::DTYPE, &rows, &same);
        let (all, _) = self.join(gpu.softmax_statistics(logits, rows, options), record)?;
        self.agree(all.and_then(|all| gpu.softmax_shard(logits, rows, &all, options)))
    }

    /// [`Gpu::logsumexp`] of whole rows, on every rank that has a part of them.
    ///
    /// # Errors
    /// As [`Ranks::softmax`].
    pub fn logsumexp<T: Element>(
        &self,
        gpu: &Gpu,
        logits: &[T],
        rows: Rows,
        options: &LogSumExp,
    ) -> Result<Vec<f32>, Error> {
        let same = (options.fully_masked, options.fast);
        let same = format!("{same:?} {}", adjust_print(&options.adjust));
        let record = Record::of_call(Call::LogSumExp, T::DTYPE, &rows, &same);
        let softmax = Softmax {
            adjust: options.adjust.clone(),
            fully_masked: options.fully_masked,
            fast: options.fast,
            schedule: options.schedule,
            ..Softmax::default()
        };
        let (all, _) = self.join(gpu.softmax_statistics(logits, rows, &softmax), record)?;
        self.agree(all.and_then(|all| gpu.logsumexp_shard(logits, rows, &all, options)))
    }

    /// The statistics of whole rows, if every rank has found its own.
    pub(crate) fn join(
        &self,
        own: Result<ShardStatistics, RunError>,
        record: Record,
    ) -> Result<Joined<ShardStatistics>, Error> {
        let words = own.as_ref().map_or(0, |found| found.words().len() as u64);
        let record = Record {
            span_words: words
                / Record {
                    span_words: 1,
                    ..record
                }
                .statistics()
                .max(1),
            ..record
        };
        let (own, all) = self.settle(own, record)?;
        let words = self.gather_row(own.words(), &all, Record::statistics)?;
        let shards = self.row_of(&all).iter().zip(words).map(|(shard, words)| {
            let rows = Rows::new(shard.rows as usize, shard.held as usize);
            let rows = rows.shard(shard.first as usize, shard.classes as usize);
            ShardStatistics::from_words(rows, words)
        });
        let joined = shards.collect::<Result<Vec<_>, _>>();
        let joined = joined.and_then(|shards| ShardStatistics::join(&shards));
        Ok((joined.map_err(RunError::from), all))
    }
}

/// What must be the same of an [`Adjust`], but for its numbers of rows and classes.
pub(crate) fn adjust_print(adjust: &Adjust) -> String {
    let kinds = (
        std::mem::discriminant(&adjust.scale),
        adjust.bias.is_some(),
        std::mem::discriminant(&adjust.mask),
    );
    format!("{kinds:?} {:?}", adjust.softcap)
}
