//! The options of sampling.

use super::draft::Draft;
use super::params::SampleParams;
use super::words::{Words, check_length_of_row};
use crate::dtype::Dtype;
use crate::error::EncodeError;
use crate::ops::adjust::Adjust;
use crate::ops::values::Values;
use crate::rows::Rows;
use crate::schedule::Schedule;
use std::sync::Arc;

/// The parameters of the rows.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SampleRows {
    /// The same for all; rows with equal logits then get equal tokens.
    All(SampleParams),
    /// One set for each row.
    PerRow(Arc<[SampleParams]>),
    /// In [`SampleBuffers::params`](crate::SampleBuffers::params): a [`SampleParams`] for each row. A row whose parameters
    /// are out of range gets [`NO_TOKEN`](crate::NO_TOKEN).
    Buffer,
}

impl Default for SampleRows {
    fn default() -> Self {
        Self::All(SampleParams::default())
    }
}

/// The tokens that each row has had so far, for the penalties of [`SampleParams`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Tokens of a row.
    pub length: usize,
    /// `[rows, length]`; [`NO_TOKEN`](crate::NO_TOKEN) fills up shorter histories.
    pub tokens: Words,
}

/// Which classes may be drawn: a bit for each, 32 to a word, the lowest bit first, as grammar engines give them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Allowed {
    /// `[⌈classes / 32⌉]`: the same for all rows.
    All(Words),
    /// `[rows, ⌈classes / 32⌉]`.
    PerRow(Words),
}

/// Numbers that are added to the logits of some classes, after the penalties; −∞ bans a class. Of several numbers for a
/// class of a row the first counts.
#[derive(Debug, Clone, PartialEq)]
pub struct LogitBias {
    /// Classes of a row that have a bias.
    pub length: usize,
    /// Whether each row has its own.
    pub per_row: bool,
    /// `[length]` or `[rows, length]`; [`NO_TOKEN`](crate::NO_TOKEN) fills up shorter lists.
    pub classes: Words,
    /// The numbers, laid out likewise.
    pub values: Values,
}

/// Whose log-probabilities are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum LogProbs {
    /// Nobody's.
    #[default]
    None,
    /// The model's: log-softmax of the logits after [`Adjust`], before penalties, biases, temperature and filters.
    Model,
    /// Those that the token was drawn with, after all of them.
    Final,
}

/// Options of sampling.
///
/// Each row's token is drawn as [`SampleParams`] says, from the logits after [`Adjust`], penalties for its [`History`],
/// [`Allowed`] classes and [`LogitBias`]. No row is sorted. The choice is made by integer and exactly rounded operations in
/// the canonical order, so that it has the same result on every adapter tested, under every schedule, in any batch.
///
/// A row with a NaN or +∞, or in which nothing is allowed, has the token [`NO_TOKEN`](crate::NO_TOKEN) and log-probability
/// NaN, and changes no other row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// Temperature, filters, penalties, seed and position of the rows.
    pub rows: SampleRows,
    /// Whether top_p is a share of all classes, rather than of those that top_k and min_p leave.
    pub joint: bool,
    /// What the penalties count.
    pub history: Option<History>,
    /// Which classes may be drawn; all by default.
    pub allowed: Option<Allowed>,
    /// What is added to the logits of some classes.
    pub bias: Option<LogitBias>,
    /// Tokens that are taken instead, as far as they are likely enough: speculative decoding.
    pub draft: Option<Draft>,
    /// Whether the log-probability of the token is reported, and whose.
    pub log_probs: LogProbs,
    /// Whether the token's rank is reported: the number of classes before it, in the order of falling b.
    pub ranks: bool,
    /// Whether the number of classes that the filters left is reported.
    pub kept: bool,
    /// How many classes with the largest log-probabilities are reported, at most 128, with these: of whom `log_probs`
    /// says. A row with fewer candidates has [`NO_TOKEN`](crate::NO_TOKEN) and −∞ after them.
    pub top_n: usize,
    /// Whether the probabilities that the token was drawn with are reported, f32, laid out as the logits are.
    pub probs: bool,
    /// Whether the rows that have no token are counted on the device. The calls that take host slices ignore it: see
    /// [`SampleOutput::summary`](crate::SampleOutput::summary).
    pub summary: bool,
    /// How the logits are stored. The calls that take host slices use the slices' type instead.
    pub dtype: Dtype,
    /// A schedule to use instead of the best known one, to measure or to test it: `split`, or `chunked`.
    pub schedule: Option<Schedule>,
}

/// The most classes that [`Sample::top_n`] reports.
pub(super) const TOP_N_MAX: usize = 128;

impl Sample {
    /// Sampling with the same parameters for all rows.
    pub fn new(params: SampleParams) -> Self {
        Self::with_rows(SampleRows::All(params))
    }

    /// Sampling with parameters for each row.
    pub fn per_row(params: impl Into<Arc<[SampleParams]>>) -> Self {
        Self::with_rows(SampleRows::PerRow(params.into()))
    }

    fn with_rows(rows: SampleRows) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// Whether some row satisfies `has`, or may.
    pub(super) fn any_row(&self, has: impl Fn(&SampleParams) -> bool) -> bool {
        match &self.rows {
            SampleRows::All(params) => has(params),
            SampleRows::PerRow(all) => all.iter().any(has),
            SampleRows::Buffer => true,
        }
    }

    /// Whether every row satisfies `has` for certain.
    pub(super) fn all_rows(&self, has: impl Fn(&SampleParams) -> bool) -> bool {
        match &self.rows {
            SampleRows::All(params) => has(params),
            SampleRows::PerRow(all) => all.iter().all(has),
            SampleRows::Buffer => false,
        }
    }

    /// Rows that belong together.
    pub(super) fn group(&self) -> usize {
        self.draft.as_ref().map_or(1, Draft::group)
    }

    /// Options that contradict each other or the shape, and numbers out of range.
    pub(super) fn validate(&self, rows: &Rows) -> Result<(), EncodeError> {
        if rows.inner() != 1 {
            return Err(EncodeError::Conflict {
                a: "sampling",
                b: "a class axis that is not the last",
                why: "each token's search goes through neighbouring classes",
            });
        }
        if let Some(draft) = &self.draft {
            rows.check_whole("a draft")?;
            draft.validate(rows)?;
        }
        for (option, length) in [
            (
                "history.length",
                self.history.as_ref().map_or(0, |history| history.length),
            ),
            ("bias.length", self.bias.as_ref().map_or(0, |bias| bias.length)),
            ("the number of classes", rows.whole_classes()),
        ] {
            check_length_of_row(option, length)?;
        }
        if self.top_n > TOP_N_MAX || self.top_n > rows.whole_classes() {
            return Err(EncodeError::BadNumber {
                option: "top_n",
                value: self.top_n.to_string(),
                must: "at most 128 and at most the number of classes",
            });
        }
        if self.top_n > 0 && self.log_probs == LogProbs::None {
            return Err(EncodeError::Conflict {
                a: "top_n",
                b: "log_probs: None",
                why: "it has to be said whose log-probabilities are reported",
            });
        }
        Ok(())
    }
}
