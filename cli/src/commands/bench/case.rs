//! What is measured: an operation on a shape, its options, and the numbers that it is given.

use crate::logits::DtypeWord;
use clap::ValueEnum;
use std::fmt;
use wgpu_softmax::{CrossEntropy, Dtype, Gradient, LogSumExp, Schedule, Softmax, SoftmaxGrad, Storage};

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

/// The library's options for an operation, the same for calls on device buffers and on host slices.
pub(super) struct Options {
    pub(super) softmax: Softmax,
    pub(super) grad: SoftmaxGrad,
    pub(super) logsumexp: LogSumExp,
    pub(super) cross_entropy: CrossEntropy,
}

impl Options {
    pub(super) fn new(op: Op, dtype: Dtype, schedule: Option<Schedule>) -> Self {
        let storage = Storage::all(dtype);
        Self {
            softmax: Softmax {
                log: op == Op::LogSoftmax,
                storage,
                schedule,
                ..Softmax::default()
            },
            grad: SoftmaxGrad {
                storage,
                schedule,
                ..SoftmaxGrad::default()
            },
            logsumexp: LogSumExp {
                storage,
                schedule,
                ..LogSumExp::default()
            },
            cross_entropy: CrossEntropy {
                gradient: if op == Op::CrossEntropy {
                    Gradient::Apart
                } else {
                    Gradient::None
                },
                storage,
                schedule,
                ..CrossEntropy::default()
            },
        }
    }
}

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
