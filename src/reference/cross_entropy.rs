//! Cross-entropy, and what its reductions share with the binary one.

use super::*;
use crate::ops::cross_entropy::TargetIndex;
use crate::ops::cross_entropy::{CrossEntropy, Input};
use crate::ops::loss::{EmptyMean, Normalizer, Reduction, Upstream};

/// The upstream gradient of each row.
pub(super) fn upstream_of(upstream: &Upstream, reduction: Reduction, rows: &Rows) -> Result<Vec<f64>, EncodeError> {
    match upstream {
        Upstream::Number(number) => Ok(vec![f64::from(*number); rows.count()]),
        Upstream::PerRow(_) if reduction != Reduction::None => Err(EncodeError::Conflict {
            a: "upstream: PerRow",
            b: "a reduced loss",
            why: "a reduced loss has one upstream gradient",
        }),
        Upstream::PerRow(values) => {
            check_length("upstream: PerRow", rows.count(), values.len())?;
            Ok(values.iter().map(|&v| v.into()).collect())
        }
        Upstream::Buffer => Err(no_buffer("upstream: Buffer", "there is no buffer; use PerRow")),
    }
}

/// The denominators of a mean's two parts, and 1 for other reductions. `own` are those of the rows. Where the first is
/// 0, both are what [`over`] makes NaN or 0 of.
pub(super) fn denominators(
    reduction: Reduction,
    normalizer: Normalizer,
    empty_mean: EmptyMean,
    own: (f64, f64),
) -> Result<(f64, f64), EncodeError> {
    let (first, second) = match (reduction, normalizer) {
        (_, Normalizer::Buffer) => {
            return Err(no_buffer(
                "Normalizer::Buffer",
                "there is no buffer; use Normalizer::Number",
            ));
        }
        (Reduction::None | Reduction::Sum, _) => (1.0, 1.0),
        (Reduction::Mean, Normalizer::Number(number)) => (number.into(), number.into()),
        (Reduction::Mean, Normalizer::Rows) => own,
    };
    Ok(match empty_mean {
        _ if first != 0.0 => (first, second),
        EmptyMean::Nan => (f64::NAN, f64::NAN),
        EmptyMean::Zero => (f64::INFINITY, f64::INFINITY),
    })
}

/// `x / denominator`; 0 over ∞ even for an infinite x.
pub(super) fn over(x: f64, denominator: f64) -> f64 {
    if denominator.is_infinite() && !x.is_nan() {
        0.0
    } else {
        x / denominator
    }
}

/// What [`cross_entropy`] and [`cross_entropy_soft`] give.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropyReference {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f64,
    /// The part `λ lse²` of the rows' losses, summed whatever the reduction.
    pub z_loss: f64,
    /// The loss of each row.
    pub row_losses: Vec<f64>,
    /// The part `λ lse²` of each row's loss.
    pub row_z_losses: Vec<f64>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Vec<f64>,
    /// `m + ln d` of each row.
    pub lse: Vec<f64>,
    /// `ln y_t` of each row, or its logit with [`Input::LogProbs`]: 0 for ignored rows and with soft targets, NaN for a
    /// target that is no class.
    pub log_probs: Vec<f64>,
    /// `−Σ y ln y` of each row.
    pub entropies: Vec<f64>,
    /// The first largest class of each row, or its first NaN.
    pub argmax: Vec<usize>,
    /// Rows whose argmax is their target; 0 with soft targets.
    pub correct: usize,
    /// Rows whose target is a class and not ignored; with soft targets all of them.
    pub counted: usize,
}

fn first_largest(x: &[f64]) -> usize {
    let nan = x.iter().position(|v| v.is_nan());
    let better = |best: usize, i: usize| if x[i] > x[best] { i } else { best };
    nan.unwrap_or_else(|| (0..x.len()).fold(0, better))
}

/// What a row is to be measured against.
#[derive(Clone, Copy, PartialEq)]
enum Goal {
    Ignored,
    /// No class.
    Bad,
    Class(usize),
    /// The row's probabilities.
    Shares,
}

/// Cross-entropy and its gradient, of class indices: the formulas and special values are those of [`CrossEntropy`].
/// Everything is computed, whatever the options ask for; from the logits even with [`CrossEntropy::from_lse`].
///
/// # Errors
/// A shape that is none or does not fit the slices, options that contradict each other, and numbers in buffers.
pub fn cross_entropy<T: Copy + Into<f64>, I: TargetIndex>(
    logits: &[T],
    targets: &[I],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    checked(logits, &rows)?;
    check_length("targets", rows.count(), targets.len())?;
    let goal = |target: &I| match target.value() {
        value if value == i128::from(options.ignore_index) => Goal::Ignored,
        value => usize::try_from(value)
            .ok()
            .filter(|&t| t < rows.classes())
            .map_or(Goal::Bad, Goal::Class),
    };
    let goals: Vec<Goal> = targets.iter().map(goal).collect();
    measure(logits, &goals, &[], &rows, options)
}

/// [`cross_entropy`] of soft targets: `probabilities` are laid out as the logits are.
///
/// # Errors
/// As [`cross_entropy`]; log-probabilities as input contradict soft targets.
pub fn cross_entropy_soft<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    probabilities: &[U],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    checked(logits, &rows)?;
    check_length("probabilities", logits.len(), probabilities.len())?;
    if options.input == Input::LogProbs {
        return Err(EncodeError::Conflict {
            a: "Input::LogProbs",
            b: "Targets::Probabilities",
            why: "the loss of log-probabilities takes a class for each row",
        });
    }
    let shares: Vec<f64> = probabilities.iter().map(|&q| q.into()).collect();
    measure(logits, &vec![Goal::Shares; rows.count()], &shares, &rows, options)
}

fn measure<T: Copy + Into<f64>>(
    logits: &[T],
    goals: &[Goal],
    shares: &[f64],
    rows: &Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let adjuster = Adjuster::new(&options.adjust, rows)?;
    let weights = class_values(options.weights.as_ref(), "weights", rows)?;
    let upstream = upstream_of(&options.upstream, options.reduction, rows)?;
    let (smoothing, z_factor) = (f64::from(options.label_smoothing), f64::from(options.z_loss));
    let spread = smoothing / rows.classes() as f64;
    let is_counted = |goal: &&Goal| !matches!(goal, Goal::Ignored | Goal::Bad);
    let counted = goals.iter().filter(is_counted).count();
    let weighed = goals.iter().filter(is_counted).map(|goal| match goal {
        Goal::Class(t) => weight_of(weights, *t),
        _ => 1.0,
    });
    let own = (weighed.sum(), counted as f64);
    let (first, second) = denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = CrossEntropyReference {
        gradient: vec![0.0; logits.len()],
        counted,
        ..CrossEntropyReference::default()
    };
    let mut sum = 0.0;
    for (number, &goal) in goals.iter().enumerate() {
        let a = adjuster.row(logits, rows, number);
        let row = Row::new(&a, options.fully_masked);
        let argmax = first_largest(&a);
        let (first, second) = (over(upstream[number], first), over(upstream[number], second));

        // What loss and gradient are where no formula holds.
        let fixed = match (goal, &row) {
            (Goal::Ignored, _) => Some(0.0),
            (Goal::Bad, _) => Some(f64::NAN),
            _ if options.input == Input::LogProbs => None,
            (_, Row::Nan) => Some(f64::NAN),
            (_, Row::Zeros) => Some(0.0),
            _ => None,
        };
        let (loss, z, log_prob) = match (fixed, goal) {
            (_, Goal::Class(t)) if options.input == Input::LogProbs => {
                let w = weight_of(weights, t);
                for (c, i) in places(rows, number).enumerate().filter(|&(c, _)| c == t) {
                    out.gradient[i] = -w * first * adjuster.slope(number, c, logits[i].into());
                }
                (weigh(-w, a[t]), 0.0, a[t])
            }
            (Some(fixed), _) => {
                places(rows, number).for_each(|i| out.gradient[i] = fixed);
                let z = if options.input == Input::LogProbs { 0.0 } else { fixed };
                let log_prob = match goal {
                    Goal::Class(t) => row.log_probability(t),
                    Goal::Bad => f64::NAN,
                    Goal::Ignored | Goal::Shares => 0.0,
                };
                (fixed, z, log_prob)
            }
            (None, _) => {
                // The weight of ln y_t alone, and those of each ln y_c.
                let (target, spike) = match goal {
                    Goal::Class(t) => (Some(t), (1.0 - smoothing) * weight_of(weights, t)),
                    _ => (None, 0.0),
                };
                let dense: Vec<f64> = places(rows, number)
                    .enumerate()
                    .map(|(c, i)| match goal {
                        Goal::Shares => weight_of(weights, c) * ((1.0 - smoothing) * shares[i] + spread),
                        _ if spread == 0.0 => 0.0,
                        _ => weight_of(weights, c) * spread,
                    })
                    .collect();
                let total: f64 = dense.iter().sum();
                let lse = row.lse();
                let z = weigh(z_factor, lse * lse);
                let spikes = target.map(|t| (spike, t));
                let parts = spikes.into_iter().chain(dense.iter().copied().zip(0..));
                let loss = if (spike + total).is_nan() {
                    f64::NAN
                } else if parts.clone().any(|(weight, c)| weight != 0.0 && row.is_absent(c)) {
                    f64::INFINITY
                } else {
                    parts.map(|(weight, c)| weigh(weight, -row.log_probability(c))).sum()
                };
                for (c, i) in places(rows, number).enumerate() {
                    let hit = target == Some(c);
                    out.gradient[i] = if (spike + total).is_nan() {
                        f64::NAN
                    } else if row.is_absent(c) && !hit && dense[c] == 0.0 {
                        0.0
                    } else {
                        let y = row.probability(c);
                        let own = (spike + total) * y - if hit { spike } else { 0.0 } - dense[c];
                        let pull = weigh(z_factor, 2.0 * lse * y * second);
                        (own * first + pull) * adjuster.slope(number, c, logits[i].into())
                    };
                }
                (loss, z, target.map_or(0.0, |t| row.log_probability(t)))
            }
        };
        sum += loss;
        out.z_loss += z;
        out.row_losses.push(loss + z);
        out.row_z_losses.push(z);
        out.log_probs.push(log_prob);
        out.lse.push(row.lse());
        out.entropies.push(row.entropy());
        out.correct += usize::from(goal == Goal::Class(argmax));
        out.argmax.push(argmax);
    }
    if options.reduction != Reduction::None {
        out.loss = over(sum, first) + over(out.z_loss, second);
    }
    Ok(out)
}
