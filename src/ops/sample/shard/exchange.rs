//! What the shards of rows exchange while they are sampled, and how each of them joins it.

use crate::error::{EncodeError, check_length};
use crate::ops::sample::params::NO_TOKEN;
use crate::rows::Rows;
use std::cmp::Reverse;

/// Buckets of a search for a row, and the words of their sums: the shaders' `BUCKETS` and `BUCKET_MASSES`.
const COUNTS: usize = 256;
const MASSES: usize = 512;
/// Words with a bit for each bucket.
const MASK_WORDS: usize = COUNTS / 32;
/// Words of a search: these, and what is in question (`shaders/sample/rounds.wgsl`).
pub(crate) const SEARCH_WORDS: usize = COUNTS + MASSES + 16;

/// The first word of what is in question: stages that take sums, and the last.
const FIRST_MASS_STAGE: u32 = 3;
const DONE_STAGE: u32 = 5;

/// Words of a token, and of the log-probability of each of the largest: a shard's have the b.
pub(crate) fn token_words(rows: &Rows) -> usize {
    1 + usize::from(rows.is_shard())
}

/// The words of all shards, each of this many.
pub(super) fn check_words(what: &'static str, all: &[Vec<u32>], words: usize) -> Result<(), EncodeError> {
    if all.is_empty() {
        return check_length(what, words, 0);
    }
    all.iter().try_for_each(|shard| check_length(what, words, shard.len()))
}

/// The statistics that each shard has found, of `views` kinds: for each kind those of whole rows.
pub(super) fn join_statistics(all: &[Vec<u32>], views: usize, words: usize) -> Result<Vec<Vec<u32>>, EncodeError> {
    let total: usize = all.iter().map(Vec::len).sum();
    check_length("the statistics of all shards", views * words, total)?;
    if let Some(odd) = all.iter().find(|shard| !shard.len().is_multiple_of(views)) {
        check_length(
            "the statistics of a shard",
            odd.len().next_multiple_of(views),
            odd.len(),
        )?;
    }
    let of_view = |view: usize| {
        all.iter().flat_map(move |shard| {
            let part = shard.len() / views;
            shard[part * view..part * (view + 1)].iter().copied()
        })
    };
    let views: Vec<Vec<u32>> = (0..views).map(|view| of_view(view).collect()).collect();
    views
        .iter()
        .try_for_each(|view| check_length("the statistics of all shards", words, view.len()))?;
    Ok(views)
}

/// The searches of all rows, as the device has left them.
pub(super) struct Searches(Vec<u32>);

impl Searches {
    pub(super) fn new(words: Vec<u32>) -> Self {
        Self(words)
    }

    fn stages(&self) -> impl Iterator<Item = u32> {
        self.0.chunks(SEARCH_WORDS).map(|row| row[COUNTS + MASSES])
    }

    pub(super) fn are_done(&self) -> bool {
        self.stages().all(|stage| stage == DONE_STAGE)
    }

    /// The words of a bucket that are exchanged: its count, and where some row asks for a sum that too.
    fn bucket_words(&self) -> usize {
        let has_masses = self
            .stages()
            .any(|stage| (FIRST_MASS_STAGE..DONE_STAGE).contains(&stage));
        if has_masses { 3 } else { 1 }
    }

    /// Of each row a bit for each bucket that has something, and then these.
    pub(super) fn words(&self) -> Vec<u32> {
        let (mut words, of_bucket) = (Vec::new(), self.bucket_words());
        for row in self.0.chunks(SEARCH_WORDS) {
            let has_some = |bucket: &usize| (0..of_bucket).any(|word| row[word * COUNTS + bucket] != 0);
            let used: Vec<usize> = (0..COUNTS).filter(has_some).collect();
            let mut mask = [0u32; MASK_WORDS];
            used.iter().for_each(|bucket| mask[bucket / 32] |= 1 << (bucket % 32));
            words.extend(mask);
            words.extend(
                used.iter()
                    .flat_map(|bucket| (0..of_bucket).map(|word| row[word * COUNTS + *bucket])),
            );
        }
        words
    }

    /// The same searches, with what all shards have counted.
    pub(super) fn joined(mut self, all: &[Vec<u32>]) -> Result<Vec<u32>, EncodeError> {
        if all.is_empty() {
            check_length("the counts of all shards", self.words().len(), 0)?;
        }
        let of_bucket = self.bucket_words();
        self.0
            .chunks_mut(SEARCH_WORDS)
            .for_each(|row| row[..COUNTS + MASSES].fill(0));
        for shard in all {
            let mut rest = &shard[..];
            let mut take = |words: usize| match rest.split_at_checked(words) {
                Some((taken, after)) => {
                    rest = after;
                    Ok(taken)
                }
                None => check_length("the counts of a shard", shard.len() + words - rest.len(), shard.len())
                    .map(|()| &rest[..0]),
            };
            for row in self.0.chunks_mut(SEARCH_WORDS) {
                let mask = take(MASK_WORDS)?;
                let used = (0..COUNTS).filter(|bucket| mask[bucket / 32] >> (bucket % 32) & 1 == 1);
                for bucket in used {
                    add_bucket(row, bucket, take(of_bucket)?);
                }
            }
            check_length("the counts of a shard", shard.len() - rest.len(), shard.len())?;
        }
        Ok(self.0)
    }
}

/// Adds a count, and a sum of 64 bits whose lower word comes first.
fn add_bucket(row: &mut [u32], bucket: usize, words: &[u32]) {
    row[bucket] = row[bucket].wrapping_add(words[0]);
    if let [_, low, high] = *words {
        let at = [COUNTS + bucket, 2 * COUNTS + bucket];
        let number = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let sum = number(row[at[0]], row[at[1]]).wrapping_add(number(low, high));
        (row[at[0]], row[at[1]]) = (sum as u32, (sum >> 32) as u32);
    }
}

/// The token and its b of each row, from the shard that has it, and which that is.
pub(super) fn join_tokens(all: &[Vec<u32>], rows: usize) -> Result<(Vec<u32>, Vec<Option<usize>>), EncodeError> {
    check_words("the tokens of a shard", all, 2 * rows)?;
    let owner = |row: usize| all.iter().position(|shard| shard[2 * row] != NO_TOKEN);
    let owners: Vec<_> = (0..rows).map(owner).collect();
    let pair = |(row, owner): (usize, &Option<usize>)| match owner {
        Some(shard) => [all[*shard][2 * row], all[*shard][2 * row + 1]],
        None => [NO_TOKEN, 0],
    };
    Ok((owners.iter().enumerate().flat_map(pair).collect(), owners))
}

/// One of the largest classes of a row.
#[derive(Clone, Copy)]
struct Top {
    id: u32,
    log_prob: u32,
    value: u32,
}

impl Top {
    /// By falling b, in which −0 is 0, and then by rising class.
    fn order(&self) -> (Reverse<i32>, u32) {
        let bits = if self.value == 0x8000_0000 {
            0
        } else {
            self.value as i32
        };
        (Reverse(bits ^ ((bits >> 31) as u32 >> 1) as i32), self.id)
    }
}

/// The first of the classes that the shards found to be the first of theirs: for each row `top_n` classes, and their
/// log-probabilities. A shard's are given as classes, and as pairs of log-probability and b.
pub(super) fn join_top(shards: &[(&[u32], &[u32])], top_n: usize) -> (Vec<u32>, Vec<u32>) {
    let entries = shards.first().map_or(0, |(ids, _)| ids.len());
    let entry = |(ids, pairs): &(&[u32], &[u32]), at: usize| Top {
        id: ids[at],
        log_prob: pairs[2 * at],
        value: pairs[2 * at + 1],
    };
    let rows = (0..entries / top_n.max(1)).map(|row| {
        let all = shards
            .iter()
            .flat_map(|shard| (row * top_n..(row + 1) * top_n).map(move |at| entry(shard, at)));
        let mut all: Vec<Top> = all.collect();
        // What fills up the lists of short rows comes last, and is the same on all shards.
        all.sort_by_key(|top| (top.id == NO_TOKEN, top.order()));
        all.truncate(top_n);
        all
    });
    rows.flatten().map(|top| (top.id, top.log_prob)).unzip()
}
