//! [`Record`]: what each rank says of itself before anything else travels.

use crate::error::Error;
use wgpu_softmax::{Dtype, Rows};

/// How a rank is doing.
pub(crate) const FINE: u64 = 0;
pub(crate) const FAILED: u64 = 1;
pub(crate) const LEAVING: u64 = 2;

/// What is called. Its number is what travels.
#[derive(Debug, Clone, Copy, Default)]
#[repr(u64)]
pub(crate) enum Call {
    #[default]
    Agree,
    Grid,
    Softmax,
    LogSumExp,
    CrossEntropy,
    SoftCrossEntropy,
    Sample,
}

/// What a rank says of itself: a few words, always as many, so that a rank that has failed can take part too.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Record {
    pub(crate) state: u64,
    /// Bytes of the message of a rank that has failed.
    pub(crate) message: u64,
    pub(crate) call: u64,
    /// A hash of the options that must be the same.
    pub(crate) options: u64,
    pub(crate) dtype: u64,
    pub(crate) rows: u64,
    pub(crate) classes: u64,
    pub(crate) first: u64,
    pub(crate) held: u64,
    /// Words of the statistics of a span of a row.
    pub(crate) span_words: u64,
    /// Words that a rank gives the others of its row next, where that is not the statistics.
    pub(crate) words: u64,
    /// A hash of what belongs to each row: targets, or what it is sampled with. All ranks of a row have the same.
    pub(crate) given: u64,
    /// Rows with a target, and those whose target is their largest class.
    pub(crate) counted: u64,
    pub(crate) correct: u64,
}

impl Record {
    pub(crate) fn of_call(call: Call, dtype: Dtype, rows: &Rows, options: &str) -> Self {
        Self {
            call: call as u64,
            options: hash(options.bytes()),
            dtype: dtype as u64,
            rows: rows.count() as u64,
            classes: rows.whole_classes() as u64,
            first: rows.first_class() as u64,
            held: rows.classes() as u64,
            ..Self::default()
        }
    }

    /// Words of this rank's statistics.
    pub(crate) fn statistics(&self) -> u64 {
        let grid = Rows::shard_grid(self.classes as usize).max(1) as u64;
        let words = self.rows.saturating_mul(self.held.div_ceil(grid));
        words.saturating_mul(self.span_words)
    }
}

/// The name of something that must be the same, and where it is.
type Field = (&'static str, fn(&Record) -> u64);

/// Checks that all ranks have called the same, and that those of a group of `vocab_ranks` have the parts of the same rows, in
/// order.
pub(crate) fn check(all: &[Record], vocab_ranks: usize) -> Result<(), Error> {
    const OF_ALL: [Field; 4] = [
        ("the call", |r| r.call),
        ("the options", |r| r.options),
        ("the element type", |r| r.dtype),
        ("the classes of whole rows", |r| r.classes),
    ];
    const OF_A_GROUP: [Field; 3] = [
        ("the number of rows", |r| r.rows),
        ("the targets or parameters", |r| r.given),
        ("the words of a span", |r| r.span_words),
    ];
    let mut pairs = (1..all.len()).map(|b| (0, b)).collect::<Vec<_>>();
    same(all, &pairs, &OF_ALL)?;
    pairs.retain_mut(|(a, b)| {
        *a = *b / vocab_ranks * vocab_ranks;
        a != b
    });
    same(all, &pairs, &OF_A_GROUP)?;
    for (rank, record) in all.iter().enumerate() {
        let expected = match rank % vocab_ranks {
            0 => 0,
            _ => all[rank - 1].first + all[rank - 1].held,
        };
        if record.first != expected {
            return Err(Error::Differs {
                what: "where the one's classes end and the other's begin",
                ranks: [rank.saturating_sub(1), rank],
                values: [expected, record.first],
            });
        }
        if rank % vocab_ranks + 1 == vocab_ranks && record.first + record.held != record.classes {
            return Err(Error::Differs {
                what: "the class after the last one's part and the number of classes",
                ranks: [rank, rank],
                values: [record.first + record.held, record.classes],
            });
        }
    }
    Ok(())
}

fn same(all: &[Record], pairs: &[(usize, usize)], fields: &[Field]) -> Result<(), Error> {
    for &(what, value) in fields {
        let values = |&(a, b): &(usize, usize)| [value(&all[a]), value(&all[b])];
        let differs = pairs.iter().find(|pair| values(pair)[0] != values(pair)[1]);
        if let Some(pair) = differs {
            return Err(Error::Differs {
                what,
                ranks: [pair.0, pair.1],
                values: values(pair),
            });
        }
    }
    Ok(())
}

/// FNV-1a.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(first: u64, held: u64) -> Record {
        Record {
            rows: 2,
            classes: 3000,
            first,
            held,
            span_words: 3,
            ..Record::default()
        }
    }

    #[test]
    fn records_have_the_words_of_their_statistics() {
        assert_eq!(shard(1024, 1976).statistics(), 2 * 2 * 3);
    }

    #[test]
    fn records_must_be_of_parts_of_the_same_rows() {
        let good = [shard(0, 1024), shard(1024, 1976)];
        assert_eq!(check(&good, 2), Ok(()));
        assert_eq!(check(&[good, good].concat(), 2), Ok(()));
        let what = |all: &[Record]| match check(all, 2) {
            Err(Error::Differs { what, ranks, .. }) => (what, ranks),
            other => panic!("{other:?}"),
        };
        let other_rows = Record { rows: 3, ..good[1] };
        assert_eq!(what(&[good[0], other_rows]), ("the number of rows", [0, 1]));
        let group = [Record { rows: 3, ..good[0] }, other_rows];
        assert_eq!(check(&[good, group].concat(), 2), Ok(()));
        assert!(what(&[good[0], shard(2048, 952)]).0.starts_with("where"));
        assert!(what(&[good[0], shard(1024, 1024)]).0.starts_with("the class after"));
        let other_call = Record { call: 9, ..good[1] };
        assert_eq!(what(&[good, [good[0], other_call]].concat()), ("the call", [0, 3]));
    }
}
