//! [`Error`]: why a call of all ranks has no result.

/// Why a call has no result: the same on every rank.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something went wrong on a rank: a target that is no class, slices that do not fit, a lost device. The others have thrown
    /// their part of the result away, and the next call may succeed.
    #[error("rank {rank}: {message}{}", others(.failed))]
    Failed {
        /// The first rank that has failed.
        rank: usize,
        /// What it says: a [`RunError`](wgpu_softmax::RunError), or what was given to [`Ranks::agree`](crate::Ranks::agree).
        message: String,
        /// How many ranks have failed.
        failed: usize,
    },
    /// Two ranks that did not call the same, or not with the same rows and options.
    #[error("ranks {} and {} differ in {what}: {} and {}", .ranks[0], .ranks[1], .values[0], .values[1])]
    Differs {
        /// What is not the same. Of options and targets the values are a hash.
        what: &'static str,
        /// The two ranks.
        ranks: [usize; 2],
        /// What each of them has.
        values: [u64; 2],
    },
    /// A rank has dropped its [`Ranks`](crate::Ranks), because it has returned or panicked. No call can succeed any more.
    #[error("rank {rank} has left")]
    Left {
        /// The first rank that has.
        rank: usize,
    },
    /// The ranks cannot be put into rows and columns.
    #[error("{ranks} ranks cannot be parted into groups of {vocab_ranks}")]
    Grid {
        /// How many there are.
        ranks: usize,
        /// How many are to share a row.
        vocab_ranks: usize,
    },
    /// Rows too short to give each rank a part.
    #[error("{classes} classes are {spans} spans of {grid}, too few for {vocab_ranks} ranks")]
    TooFewClasses {
        /// Classes of a row.
        classes: usize,
        /// Spans of a row.
        spans: usize,
        /// Classes of a span: [`Rows::shard_grid`](wgpu_softmax::Rows::shard_grid).
        grid: usize,
        /// How many are to share a row.
        vocab_ranks: usize,
    },
    /// More than MPI counts.
    #[error(
        "{words} words to be gathered at once, but MPI counts to {}; take fewer rows",
        i32::MAX
    )]
    TooMany {
        /// Words of all ranks.
        words: u64,
    },
}

fn others(failed: &usize) -> String {
    match failed.saturating_sub(1) {
        0 => String::new(),
        1 => " (and 1 other rank)".into(),
        n => format!(" (and {n} other ranks)"),
    }
}
