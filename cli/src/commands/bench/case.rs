//! What is measured: an operation on a shape, and the numbers that it is given.

use crate::logits::DtypeWord;
use clap::ValueEnum;
use std::fmt;
use wgpu_softmax::Schedule;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Op {
    Softmax,
    LogSoftmax,
    SoftmaxGrad,
    Logsumexp,
    /// The mean loss and its gradient.
    CrossEntropy,
    /// The mean loss alone.
    CrossEntropyLoss,
    /// The mean divergence from a teacher's logits, and its gradient.
    Distillation,
    /// The first largest class of each row.
    SampleGreedy,
    /// A class of each row, at temperature 0.8.
    SampleTemperature,
    /// With top_k 50, top_p 0.95 and min_p 0.05 besides.
    SampleFilters,
    /// At temperature 0.8 with top_p 0.95.
    SampleTopP,
    /// As sample-filters, with the model's log-probabilities of the token and of the 20 most probable classes.
    SampleReport,
    /// As sample-filters, with repetition and frequency penalties for 2,048 tokens of each row.
    SamplePenalties,
}

impl Op {
    pub(super) fn is_sampling(self) -> bool {
        match self {
            Self::Softmax | Self::LogSoftmax | Self::SoftmaxGrad | Self::Logsumexp => false,
            Self::CrossEntropy | Self::CrossEntropyLoss | Self::Distillation => false,
            Self::SampleGreedy | Self::SampleTemperature | Self::SampleFilters => true,
            Self::SampleTopP | Self::SampleReport | Self::SamplePenalties => true,
        }
    }

    /// The `i`-th logit that it is given. Which classes are kept depends on the spread, so sampling has its own.
    pub(super) fn logit(self, i: usize) -> f32 {
        if self.is_sampling() {
            logit(i) * SAMPLED_SPREAD / SPREAD
        } else {
            logit(i)
        }
    }
}

pub(super) struct Case {
    pub(super) op: Op,
    pub(super) rows: usize,
    pub(super) classes: usize,
    pub(super) dtype: DtypeWord,
    /// `None` for the one that the library chooses.
    pub(super) schedule: Option<Schedule>,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}x{}", word(self.op), self.rows, self.classes)
    }
}

/// The word for a value on the command line.
pub(super) fn word(value: impl ValueEnum) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |v| v.get_name().into())
}

/// The standard deviation of `logit`, and that of the logits that are sampled.
const SPREAD: f32 = 3.464;
const SAMPLED_SPREAD: f32 = 2.5;

/// The `i`-th logit: pseudo-random, roughly normal, and the same in every run.
pub(super) fn logit(i: usize) -> f32 {
    let hash = |n: u64| {
        n.wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
            .wrapping_mul(0xbf58_476d_1ce4_e5b9)
            >> 40
    };
    // The sum of four uniform numbers is close to a normal one.
    let uniform = |k: u64| hash(i as u64 * 4 + k) as f32 / (1u64 << 24) as f32 - 0.5;
    (uniform(0) + uniform(1) + uniform(2) + uniform(3)) * 6.0
}

/// The target of a row: the multiples of a prime spread over the classes.
pub(super) fn target(row: usize, classes: usize) -> u32 {
    (row * 7919 % classes) as u32
}
