//! What is known of a row: its probabilities, lse and entropy, or that it is a special one.

use super::adjusted::weigh;
use crate::ops::row_op::FullyMasked;

/// A row, as its softmax sees it.
pub(super) enum Row {
    /// All its results are NaN: it contains a NaN or +∞, or it contains only −∞ with [`FullyMasked::Nan`].
    Nan,
    /// Its probabilities are 0: it contains only −∞, with [`FullyMasked::Zeros`].
    Zeros,
    /// `shifted` are the values less the largest, and `exp_sum` is the sum of their exponentials. A row of only −∞ with
    /// [`FullyMasked::Uniform`] is one of these too, with equal values.
    Ordinary { shifted: Vec<f64>, exp_sum: f64, lse: f64 },
}

impl Row {
    pub(super) fn new(a: &[f64], fully_masked: FullyMasked) -> Self {
        if a.iter().any(|v| v.is_nan() || *v == f64::INFINITY) {
            return Self::Nan;
        }
        let max = a.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if max == f64::NEG_INFINITY {
            let classes = a.len() as f64;
            return match fully_masked {
                FullyMasked::Nan => Self::Nan,
                FullyMasked::Zeros => Self::Zeros,
                FullyMasked::Uniform => Self::Ordinary {
                    shifted: vec![0.0; a.len()],
                    exp_sum: classes,
                    lse: -classes.ln(),
                },
            };
        }
        let shifted: Vec<f64> = a.iter().map(|v| v - max).collect();
        let exp_sum: f64 = shifted.iter().map(|v| v.exp()).sum();
        let lse = max + exp_sum.ln();
        Self::Ordinary { shifted, exp_sum, lse }
    }

    /// Whether the class is −∞: its probability is 0, and the other classes' are as if it were absent.
    pub(super) fn is_masked(&self, class: usize) -> bool {
        match self {
            Self::Nan => false,
            Self::Zeros => true,
            Self::Ordinary { shifted, .. } => shifted[class] == f64::NEG_INFINITY,
        }
    }

    pub(super) fn probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary { shifted, exp_sum, .. } => shifted[class].exp() / exp_sum,
        }
    }

    pub(super) fn log_probability(&self, class: usize) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary { shifted, exp_sum, .. } => shifted[class] - exp_sum.ln(),
        }
    }

    pub(super) fn lse(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => f64::NEG_INFINITY,
            Self::Ordinary { lse, .. } => *lse,
        }
    }

    pub(super) fn entropy(&self) -> f64 {
        match self {
            Self::Nan => f64::NAN,
            Self::Zeros => 0.0,
            Self::Ordinary { shifted, exp_sum, .. } => {
                let inner: f64 = shifted.iter().map(|&v| weigh(v.exp(), v)).sum();
                exp_sum.ln() - inner / exp_sum
            }
        }
    }
}
