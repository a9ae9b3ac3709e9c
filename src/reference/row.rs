//! What is known of a row: its probabilities, lse and entropy, or that it is a special one.

use super::adjusted::weigh;
use crate::ops::row_op::FullyMasked;

/// A row, as its softmax sees it.
pub(super) enum Row {
    /// All its results are NaN: it contains a NaN or +∞, or it contains only −∞ with [`FullyMasked::Nan`].
    Nan,
    /// Its probabilities are 0: it contains only −∞, with [`FullyMasked::Zeros`].
    Zeros,
    /// A row of only −∞ with [`FullyMasked::Uniform`] is one of these too, with equal values.
    Ordinary(Ordinary),
}

/// The sum of the exponentials, `d = k + s`, is kept in two parts: of a row that is all but certain, s is what its loss is
/// made of, and `1 + s` would swallow its digits.
pub(super) struct Ordinary {
    /// The values less the largest.
    shifted: Vec<f64>,
    /// k, the number of classes that are the largest.
    max_count: f64,
    /// s, the sum of the exponentials of the other classes.
    rest: f64,
    lse: f64,
    /// The value of a sink less the largest.
    sink: Option<f64>,
}

impl Ordinary {
    /// A sink is summed as a class is.
    fn new(shifted: Vec<f64>, sink: Option<f64>) -> Self {
        let all = || shifted.iter().chain(&sink);
        let max_count = all().filter(|&&v| v == 0.0).count() as f64;
        let rest = all().filter(|&&v| v != 0.0).map(|v| v.exp()).sum();
        Self {
            sink,
            shifted,
            max_count,
            rest,
            lse: 0.0,
        }
    }

    fn exp_sum(&self) -> f64 {
        self.max_count + self.rest
    }

    /// `ln d = ln k + ln(1 + s / k)`.
    fn ln_sum(&self) -> f64 {
        self.max_count.ln() + (self.rest / self.max_count).ln_1p()
    }

    /// `1 − y`, which for a largest class is `((k − 1) + s) / d`; any other class has at most half of the probability.
    fn complement(&self, class: usize) -> f64 {
        if self.shifted[class] == 0.0 {
            ((self.max_count - 1.0) + self.rest) / self.exp_sum()
        } else {
            1.0 - self.shifted[class].exp() / self.exp_sum()
        }
    }
}

impl Row {
    pub(super) fn new(a: &[f64], fully_masked: FullyMasked) -> Self {
        Self::with_sink(a, None, fully_masked)
    }

    pub(super) fn with_sink(a: &[f64], sink: Option<f64>, fully_masked: FullyMasked) -> Self {
        if a.iter().chain(&sink).any(|v| v.is_nan() || *v == f64::INFINITY) {
            return Self::Nan;
        }
        let max = a.iter().chain(&sink).copied().fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY {
            return match fully_masked {
                _ if a.is_empty() && fully_masked == FullyMasked::Uniform => Self::Nan,
                FullyMasked::Nan => Self::Nan,
                FullyMasked::Zeros => Self::Zeros,
                FullyMasked::Uniform => Self::Ordinary(Ordinary {
                    lse: -(a.len() as f64).ln(),
                    ..Ordinary::new(vec![0.0; a.len()], None)
                }),
            };
        }
        let row = Ordinary::new(a.iter().map(|v| v - max).collect(), sink.map(|v| v - max));
        let lse = max + row.ln_sum();
        Self::Ordinary(Ordinary { lse, ..row })
    }

    /// Whether the class is −∞: its probability is 0, and the other classes' are as if it were absent.
    pub(super) fn is_masked(&self, class: usize) -> bool {
        match self {
            Self::Nan => false,
            Self::Zeros => true,
            Self::Ordinary(row) => row.shifted[class] == f64::NEG_INFINITY,
        }
    }

    pub(super) fn probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary(row) => row.shifted[class].exp() / row.exp_sum(),
        }
    }

    /// The sink's, or 0 without one.
    pub(super) fn sink_probability(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary(row) => row.sink.map_or(0.0, |sink| sink.exp() / row.exp_sum()),
        }
    }

    /// `1 − y`, without what the subtraction would cancel.
    pub(super) fn complement(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 1.0,
            Self::Ordinary(row) => row.complement(class),
        }
    }

    /// `ln d`, or a NaN where there is no d.
    pub(super) fn ln_sum(&self) -> f64 {
        match self {
            Self::Nan | Self::Zeros => f64::NAN,
            Self::Ordinary(row) => row.ln_sum(),
        }
    }

    pub(super) fn log_probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary(row) => row.shifted[class] - row.ln_sum(),
        }
    }

    pub(super) fn lse(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary(row) => row.lse,
        }
    }

    pub(super) fn entropy(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            // Neither part is negative.
            Self::Ordinary(row) => {
                let inner: f64 = row.shifted.iter().map(|&v| weigh(v.exp(), -v)).sum();
                row.ln_sum() + inner / row.exp_sum()
            }
        }
    }
}
