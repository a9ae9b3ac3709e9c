//! [`ShardStatistics`]: what a shard has found of its rows.

use crate::dispatch::{Extent, Operand, statistics_words};
use crate::error::{EncodeError, RunError, check_length};
use crate::gpu::{Gpu, Wait};
use crate::rows::Rows;
use crate::shader::{RowSpec, Slot};
use wgpu::BufferUsages as Usage;

/// What a shard has found of its rows: of each span of 1,024 classes (more in rows of more than 1,048,576) the largest
/// value, the sum and what else the operation needs, 12 to 36 bytes. Those of all shards of a row, joined, are what each of
/// them needs to finish its own part, with the bits of the row in one piece.
///
/// All shards, and both steps, need the same options and targets. That they had them is not checked beyond the number of
/// words.
///
/// ```
/// use wgpu_softmax::{Gpu, Rows, ShardStatistics, Softmax};
/// let gpu = Gpu::new()?;
/// let (logits, options) = ((0..5000).map(|i| (i % 7) as f32).collect::<Vec<_>>(), Softmax::default());
/// let shards = Rows::even_shards(5000, 2).into_iter().map(|(first, held)| {
///     (Rows::new(1, held).shard(first, 5000), &logits[first..first + held])
/// });
/// let shards: Vec<_> = shards.collect();
/// // Each of these may run elsewhere: on another GPU, or in another process.
/// let found = shards.iter().map(|(rows, part)| gpu.softmax_statistics(part, *rows, &options));
/// let all = ShardStatistics::join(&found.collect::<Result<Vec<_>, _>>()?)?;
/// let parts = shards.iter().map(|(rows, part)| gpu.softmax_shard(part, *rows, &all, &options));
/// let y = parts.collect::<Result<Vec<_>, _>>()?.concat();
/// assert_eq!(y, gpu.softmax(&logits, Rows::new(1, 5000), &options)?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardStatistics {
    rows: usize,
    first: usize,
    held: usize,
    classes: usize,
    words: Vec<u32>,
}

impl ShardStatistics {
    /// Words that came from elsewhere: those that [`ShardStatistics::words`] gave for the same rows, which are a shard or, for
    /// statistics that are joined already, whole.
    ///
    /// # Errors
    /// An invalid shape or shard, and words that do not go into its spans.
    pub fn from_words(rows: Rows, words: Vec<u32>) -> Result<Self, EncodeError> {
        rows.elements()?;
        let per_word = rows.count() * rows.spans();
        let span_words = words.len().checked_div(per_word).unwrap_or(0);
        check_length("statistics", per_word * span_words.max(3), words.len())?;
        Ok(Self {
            rows: rows.count(),
            first: rows.first_class(),
            held: rows.classes(),
            classes: rows.whole_classes(),
            words,
        })
    }

    /// The words, span by span, and of each span row by row.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Brings the statistics of all shards of the same rows together, given in the order of their classes.
    ///
    /// # Errors
    /// Shards that overlap, leave a gap, do not reach the end of the row, or are of other rows or operations.
    pub fn join(shards: &[Self]) -> Result<Self, EncodeError> {
        let Some(first) = shards.first() else {
            return Err(EncodeError::Conflict {
                a: "statistics of a row",
                b: "no shards",
                why: "there are none to join",
            });
        };
        let bad = |shard: &Self, why| EncodeError::BadShard {
            first: shard.first,
            held: shard.held,
            classes: shard.classes,
            grid: Rows::shard_grid(shard.classes),
            why,
        };
        let (mut end, mut words) = (0, Vec::new());
        for shard in shards {
            check_length("the rows of a shard", first.rows, shard.rows)?;
            check_length("the whole rows of a shard", first.classes, shard.classes)?;
            if shard.first != end {
                return Err(bad(
                    shard,
                    match shard.first < end {
                        true => "it overlaps the shard before it",
                        false => "there is a gap before it",
                    },
                ));
            }
            if shard.span_words() != first.span_words() {
                return Err(bad(shard, "its statistics are those of other options"));
            }
            end += shard.held;
            words.extend_from_slice(&shard.words);
        }
        match shards.last() {
            Some(last) if end != last.classes => Err(bad(last, "no shard has the classes after it")),
            _ => Ok(Self {
                held: first.classes,
                words,
                ..*first
            }),
        }
    }

    fn span_words(&self) -> usize {
        let spans = self.held.div_ceil(Rows::shard_grid(self.classes));
        self.words.len() / (self.rows * spans).max(1)
    }

    /// Checks that it is of whole rows like these, and found for such an operation.
    fn check(&self, rows: &Rows, spec: &RowSpec) -> Result<(), EncodeError> {
        rows.elements()?;
        check_length("the rows of the statistics", rows.count(), self.rows)?;
        check_length("the classes of the statistics", rows.whole_classes(), self.held)?;
        check_length("statistics", statistics_words(rows, spec, false), self.words.len())
    }
}

/// The buffer of a call's statistics: for what a shard finds, or with what all have found.
pub(crate) struct StatisticsBuffer {
    buffer: wgpu::Buffer,
    words: usize,
}

impl StatisticsBuffer {
    pub(crate) fn new(
        gpu: &Gpu,
        rows: &Rows,
        spec: &RowSpec,
        all: Option<&ShardStatistics>,
    ) -> Result<Self, EncodeError> {
        rows.check_is_shard()?;
        rows.elements()?;
        let words = statistics_words(rows, spec, all.is_none());
        let buffer = match all {
            None => gpu.buffer("statistics", words as u64 * 4, Usage::STORAGE | Usage::COPY_SRC)?,
            Some(all) => {
                all.check(rows, spec)?;
                gpu.buffer_of("statistics", bytemuck::cast_slice(&all.words), Usage::STORAGE)?
            }
        };
        Ok(Self { buffer, words })
    }

    /// The buffer of what all shards have found, for a call that takes it.
    pub(crate) fn of_all(
        gpu: &Gpu,
        rows: &Rows,
        spec: &RowSpec,
        all: Option<&ShardStatistics>,
    ) -> Result<Option<Self>, EncodeError> {
        all.map(|all| Self::new(gpu, rows, spec, Some(all))).transpose()
    }

    pub(crate) fn operand(&self) -> Operand<'_> {
        let extent = Extent::Words(self.words);
        Operand::written(Slot::Scratch, "statistics", self.buffer.slice(..), extent)
    }

    pub(crate) async fn read(&self, gpu: &Gpu, rows: Rows, wait: Wait) -> Result<ShardStatistics, RunError> {
        Ok(ShardStatistics {
            rows: rows.count(),
            first: rows.first_class(),
            held: rows.classes(),
            classes: rows.whole_classes(),
            words: gpu.elements(&self.buffer, self.words, wait).await?,
        })
    }
}
