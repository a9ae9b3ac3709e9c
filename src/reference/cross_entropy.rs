//! Cross-entropy, and what its reductions share with the binary one.

use super::adjusted::*;
use super::row::Row;
use crate::error::{EncodeError, check_length};
use crate::ops::cross_entropy::TargetIndex;
use crate::ops::cross_entropy::{CrossEntropy, Input};
use crate::ops::loss::{EmptyMean, Normalizer, Reduction, Upstream};
use crate::rows::Rows;

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

/// The denominators of a mean's two parts, the loss proper and the z-loss, and 1 for other reductions. `own` are the
/// denominators that the rows themselves give. Where the first is 0, both are such that [`divide`] gives NaN or 0, as
/// `empty_mean` says.
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

/// `x / denominator`, and 0 for an infinite denominator even where x is infinite.
pub(super) fn divide(x: f64, denominator: f64) -> f64 {
    if denominator.is_infinite() && !x.is_nan() {
        0.0
    } else {
        x / denominator
    }
}

/// The result of [`cross_entropy`] and [`cross_entropy_soft`].
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
    /// target out of range.
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

fn first_max(x: &[f64]) -> usize {
    let nan = x.iter().position(|v| v.is_nan());
    let better = |best: usize, i: usize| if x[i] > x[best] { i } else { best };
    nan.unwrap_or_else(|| (0..x.len()).fold(0, better))
}

/// What a row's loss is measured against.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Ignored,
    /// Neither a class nor the ignored index.
    OutOfRange,
    Class(usize),
    /// The row's soft targets.
    Probabilities,
}

/// Cross-entropy and its gradient for targets that are class indices: the formulas and special values are those of
/// [`CrossEntropy`]. Every output is computed whatever the options ask for, and from the logits even with
/// [`CrossEntropy::from_lse`].
///
/// # Errors
/// An invalid shape, slices that do not fit it, options that contradict each other, and numbers in buffers.
pub fn cross_entropy<T: Copy + Into<f64>, I: TargetIndex>(
    logits: &[T],
    targets: &[I],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    check_logits(logits, &rows)?;
    check_length("targets", rows.count(), targets.len())?;
    let target = |index: &I| match index.value() {
        value if value == i128::from(options.ignore_index) => Target::Ignored,
        value => usize::try_from(value)
            .ok()
            .filter(|&t| t < rows.classes())
            .map_or(Target::OutOfRange, Target::Class),
    };
    let targets: Vec<Target> = targets.iter().map(target).collect();
    reference_loss(logits, &targets, &[], &rows, options)
}

/// [`cross_entropy`] for soft targets: `probabilities` are laid out as the logits are.
///
/// # Errors
/// As [`cross_entropy`]; log-probabilities as input contradict soft targets.
pub fn cross_entropy_soft<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    probabilities: &[U],
    rows: Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    check_logits(logits, &rows)?;
    check_length("probabilities", logits.len(), probabilities.len())?;
    if options.input == Input::LogProbs {
        return Err(EncodeError::Conflict {
            a: "Input::LogProbs",
            b: "Targets::Probabilities",
            why: "the loss of log-probabilities takes a class for each row",
        });
    }
    let soft_targets: Vec<f64> = probabilities.iter().map(|&q| q.into()).collect();
    let targets = vec![Target::Probabilities; rows.count()];
    reference_loss(logits, &targets, &soft_targets, &rows, options)
}

fn reference_loss<T: Copy + Into<f64>>(
    logits: &[T],
    targets: &[Target],
    soft_targets: &[f64],
    rows: &Rows,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let batch = Batch {
        logits,
        soft_targets,
        rows,
        options,
        adjuster: Adjuster::new(&options.adjust, rows)?,
        weights: class_values(options.weights.as_ref(), "weights", rows)?,
    };
    let upstream = upstream_of(&options.upstream, options.reduction, rows)?;
    let (counted, weight_sum) = batch.counted(targets);
    let own = (weight_sum, counted as f64);
    let (loss_denominator, z_denominator) =
        denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = CrossEntropyReference {
        gradient: vec![0.0; logits.len()],
        counted,
        ..CrossEntropyReference::default()
    };
    let mut loss_sum = 0.0;
    for (number, &target) in targets.iter().enumerate() {
        let a = batch.adjuster.row(logits, rows, number);
        let row = TargetRow {
            number,
            target,
            row: Row::new(&a, options.fully_masked),
            loss_scale: divide(upstream[number], loss_denominator),
            z_scale: divide(upstream[number], z_denominator),
        };
        let RowLoss { loss, z_loss, log_prob } = batch.row_loss(&row, &a, &mut out.gradient);
        let argmax = first_max(&a);
        loss_sum += loss;
        out.z_loss += z_loss;
        out.row_losses.push(loss + z_loss);
        out.row_z_losses.push(z_loss);
        out.log_probs.push(log_prob);
        out.lse.push(row.row.lse());
        out.entropies.push(row.row.entropy());
        out.correct += usize::from(target == Target::Class(argmax));
        out.argmax.push(argmax);
    }
    if options.reduction != Reduction::None {
        out.loss = divide(loss_sum, loss_denominator) + divide(out.z_loss, z_denominator);
    }
    Ok(out)
}

/// What all rows of a call share.
struct Batch<'a, T> {
    logits: &'a [T],
    soft_targets: &'a [f64],
    rows: &'a Rows,
    options: &'a CrossEntropy,
    adjuster: Adjuster<'a>,
    weights: Option<&'a [f32]>,
}

/// One row, its target, and what its gradient is multiplied by: the upstream gradient over the denominator of the loss
/// proper, and over that of the z-loss.
struct TargetRow {
    number: usize,
    target: Target,
    row: Row,
    loss_scale: f64,
    z_scale: f64,
}

/// The loss proper of a row, its z-loss, and the target's log-probability.
struct RowLoss {
    loss: f64,
    z_loss: f64,
    log_prob: f64,
}

impl<T: Copy + Into<f64>> Batch<'_, T> {
    /// How many rows have a target, and the sum of those targets' weights.
    fn counted(&self, targets: &[Target]) -> (usize, f64) {
        let has_target = |target: &&Target| !matches!(target, Target::Ignored | Target::OutOfRange);
        let weights = targets.iter().filter(has_target).map(|target| match target {
            Target::Class(t) => weight_of(self.weights, *t),
            _ => 1.0,
        });
        (targets.iter().filter(has_target).count(), weights.sum())
    }

    /// The loss of a row with the adjusted values `a`; the row's gradient is written to its places in `gradient`.
    fn row_loss(&self, row: &TargetRow, a: &[f64], gradient: &mut [f64]) -> RowLoss {
        match (row.target, &row.row) {
            (Target::Class(t), _) if self.options.input == Input::LogProbs => self.nll_loss(row, t, a[t], gradient),
            (Target::Ignored, _) => self.constant_loss(row, 0.0, gradient),
            (Target::OutOfRange, _) | (_, Row::Nan) => self.constant_loss(row, f64::NAN, gradient),
            (_, Row::Zeros) => self.constant_loss(row, 0.0, gradient),
            (_, Row::Ordinary { .. }) => self.ordinary_loss(row, gradient),
        }
    }

    /// `−w_t a_t`, where the values are log-probabilities already.
    fn nll_loss(&self, row: &TargetRow, t: usize, log_prob: f64, gradient: &mut [f64]) -> RowLoss {
        let w = weight_of(self.weights, t);
        for (c, i) in places(self.rows, row.number).enumerate().filter(|&(c, _)| c == t) {
            gradient[i] = -w * row.loss_scale * self.adjuster.adjust_grad(row.number, c, self.logits[i].into());
        }
        RowLoss {
            loss: weigh(-w, log_prob),
            z_loss: 0.0,
            log_prob,
        }
    }

    /// A row for which no formula holds: `value` is its loss and each element of its gradient.
    fn constant_loss(&self, row: &TargetRow, value: f64, gradient: &mut [f64]) -> RowLoss {
        places(self.rows, row.number).for_each(|i| gradient[i] = value);
        RowLoss {
            loss: value,
            z_loss: if self.options.input == Input::LogProbs {
                0.0
            } else {
                value
            },
            log_prob: match row.target {
                Target::Class(t) => row.row.log_probability(t),
                Target::OutOfRange => f64::NAN,
                Target::Ignored | Target::Probabilities => 0.0,
            },
        }
    }

    /// The formula: `Σ q_c (lse − a_c)`, in which the target's own weight is kept apart from the weights that all
    /// classes have.
    fn ordinary_loss(
        &self,
        TargetRow {
            number,
            target,
            row,
            loss_scale,
            z_scale,
        }: &TargetRow,
        gradient: &mut [f64],
    ) -> RowLoss {
        let (target, target_weight) = match target {
            Target::Class(t) => {
                let one_minus_smoothing = 1.0 - f64::from(self.options.label_smoothing);
                (Some(*t), one_minus_smoothing * weight_of(self.weights, *t))
            }
            _ => (None, 0.0),
        };
        let class_weights = self.class_weights(*number, target);
        let weight_sum = target_weight + class_weights.iter().sum::<f64>();
        let loss = loss_of(row, target.map(|t| (target_weight, t)), &class_weights, weight_sum);

        let z_factor = f64::from(self.options.z_loss);
        let lse = row.lse();
        for (c, i) in places(self.rows, *number).enumerate() {
            let is_target = target == Some(c);
            gradient[i] = if weight_sum.is_nan() {
                f64::NAN
            } else if row.is_masked(c) && !is_target && class_weights[c] == 0.0 {
                0.0
            } else {
                let y = row.probability(c);
                let loss_grad = weight_sum * y - if is_target { target_weight } else { 0.0 } - class_weights[c];
                let z_grad = weigh(z_factor, 2.0 * lse * y * z_scale);
                let da_dx = self.adjuster.adjust_grad(*number, c, self.logits[i].into());
                (loss_grad * loss_scale + z_grad) * da_dx
            };
        }
        RowLoss {
            loss,
            z_loss: weigh(z_factor, lse * lse),
            log_prob: target.map_or(0.0, |t| row.log_probability(t)),
        }
    }

    /// The weight of each class's `−ln y_c`: its soft target, or what label smoothing gives every class.
    fn class_weights(&self, number: usize, target: Option<usize>) -> Vec<f64> {
        let smoothing = f64::from(self.options.label_smoothing);
        let smoothing_per_class = smoothing / self.rows.classes() as f64;
        let of_class = |(c, i): (usize, usize)| match target {
            None => weight_of(self.weights, c) * ((1.0 - smoothing) * self.soft_targets[i] + smoothing_per_class),
            Some(_) if smoothing_per_class == 0.0 => 0.0,
            Some(_) => weight_of(self.weights, c) * smoothing_per_class,
        };
        places(self.rows, number).enumerate().map(of_class).collect()
    }
}

/// `Σ −weight · ln y_c`, over the target, if there is one, and then over all classes: infinite where a masked class has
/// a weight other than 0.
fn loss_of(row: &Row, target: Option<(f64, usize)>, class_weights: &[f64], weight_sum: f64) -> f64 {
    let terms = target.into_iter().chain(class_weights.iter().copied().zip(0..));
    if weight_sum.is_nan() {
        f64::NAN
    } else if terms.clone().any(|(weight, c)| weight != 0.0 && row.is_masked(c)) {
        f64::INFINITY
    } else {
        terms.map(|(weight, c)| weigh(weight, -row.log_probability(c))).sum()
    }
}
