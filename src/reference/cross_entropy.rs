//! Cross-entropy.

use super::adjusted::*;
use super::reduction::{denominators, divide, upstream_of};
use super::row::Row;
use crate::error::{EncodeError, check_length};
use crate::ops::cross_entropy::TargetIndex;
use crate::ops::cross_entropy::{CrossEntropy, Input};
use crate::ops::loss::Reduction;
use crate::ops::values::check_finite;
use crate::ragged::RowLayout;

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
    /// Rows whose argmax is their target, without a NaN or +∞, and not of −∞ alone; 0 with soft targets.
    pub correct: usize,
    /// Rows whose target is a class and not ignored; with soft targets all of them.
    pub counted: usize,
    /// What an f32's errors are in proportion to.
    #[doc(hidden)]
    pub scales: LossScales,
}

/// What the errors of a loss in f32 are in proportion to, where that is not the result itself.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LossScales {
    /// `ln d` of each row: NaN for rows of which there is none.
    pub ln_sums: Vec<f64>,
    /// The size of the largest term of each element's gradient, or of that itself: of what the target's own weight gives the
    /// target, of the class's own weight by label smoothing or soft targets, and of all that is in proportion to y, of the
    /// loss, of the z-loss and of both.
    pub gradient_terms: Vec<f64>,
    /// The size of all that each element's gradient has in proportion to its probability.
    pub y_terms: Vec<f64>,
}

fn first_max(x: &[f64]) -> usize {
    if x.is_empty() {
        return i32::MAX as usize;
    }
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
    rows: impl Into<RowLayout>,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let layout = rows.into();
    check_logits(logits, &layout.rows)?;
    check_length("targets", layout.rows.count(), targets.len())?;
    let target = |(row, index): (usize, &I)| match index.value() {
        value if value == i128::from(options.ignore_index) => Target::Ignored,
        value => usize::try_from(value)
            .ok()
            .filter(|&t| t < layout.classes_of(row))
            .map_or(Target::OutOfRange, Target::Class),
    };
    let targets: Vec<Target> = targets.iter().enumerate().map(target).collect();
    reference_loss(logits, &targets, &[], &layout, options)
}

/// [`cross_entropy`] for soft targets: `probabilities` are laid out as the logits are.
///
/// # Errors
/// As [`cross_entropy`]; log-probabilities as input contradict soft targets.
pub fn cross_entropy_soft<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    probabilities: &[U],
    rows: impl Into<RowLayout>,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    let layout = rows.into();
    check_logits(logits, &layout.rows)?;
    check_length("probabilities", logits.len(), probabilities.len())?;
    if options.input == Input::LogProbs {
        return Err(EncodeError::Conflict {
            a: "Input::LogProbs",
            b: "Targets::Probabilities",
            why: "the loss of log-probabilities takes a class for each row",
        });
    }
    let soft_targets: Vec<f64> = probabilities.iter().map(|&q| q.into()).collect();
    let targets = vec![Target::Probabilities; layout.rows.count()];
    reference_loss(logits, &targets, &soft_targets, &layout, options)
}

fn reference_loss<T: Copy + Into<f64>>(
    logits: &[T],
    targets: &[Target],
    soft_targets: &[f64],
    rows: &RowLayout,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    check_finite("weights", options.weights.as_ref())?;
    let batch = Batch {
        logits,
        soft_targets,
        rows,
        options,
        adjuster: Adjuster::new(&options.adjust, &rows.rows)?,
        weights: class_values(options.weights.as_ref(), "weights", &rows.rows)?,
    };
    let upstream = upstream_of(&options.upstream, options.reduction, &rows.rows)?;
    let (counted, weight_sum) = batch.counted(targets);
    let own = (weight_sum, counted as f64);
    let (loss_denominator, z_denominator) =
        denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = CrossEntropyReference {
        gradient: vec![0.0; logits.len()],
        scales: LossScales {
            gradient_terms: vec![0.0; logits.len()],
            y_terms: vec![0.0; logits.len()],
            ..LossScales::default()
        },
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
        let RowLoss { loss, z_loss, log_prob } = batch.row_loss(&row, &a, &mut out);
        out.scales.ln_sums.push(row.row.ln_sum());
        let argmax = first_max(&a);
        loss_sum += loss;
        out.z_loss += z_loss;
        out.row_losses.push(loss + z_loss);
        out.row_z_losses.push(z_loss);
        out.log_probs.push(log_prob);
        out.lse.push(row.row.lse());
        out.entropies.push(row.row.entropy());
        let is_odd = a.iter().all(|&v| v == f64::NEG_INFINITY) || a.iter().any(|v| v.is_nan() || *v == f64::INFINITY);
        out.correct += usize::from(target == Target::Class(argmax) && !is_odd);
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
    rows: &'a RowLayout,
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

    /// The loss of a row with the adjusted values `a`; the row's gradient is written to its places in `out`.
    fn row_loss(&self, row: &TargetRow, a: &[f64], out: &mut CrossEntropyReference) -> RowLoss {
        let gradient = &mut out.gradient;
        match (row.target, &row.row) {
            (Target::Class(t), _) if self.options.input == Input::LogProbs => self.nll_loss(row, t, a[t], out),
            (Target::Ignored, _) => self.constant_loss(row, 0.0, gradient),
            (Target::OutOfRange, _) | (_, Row::Nan) => self.constant_loss(row, f64::NAN, gradient),
            (_, Row::Zeros) => self.constant_loss(row, 0.0, gradient),
            (_, Row::Ordinary(_)) => self.ordinary_loss(row, out),
        }
    }

    /// `−w_t a_t`, where the values are log-probabilities already.
    fn nll_loss(&self, row: &TargetRow, t: usize, log_prob: f64, out: &mut CrossEntropyReference) -> RowLoss {
        let w = weight_of(self.weights, t);
        for (c, i) in self.rows.places(row.number).enumerate().filter(|&(c, _)| c == t) {
            out.gradient[i] = self
                .adjuster
                .grad(-w * row.loss_scale, row.number, c, self.logits[i].into());
            out.scales.gradient_terms[i] = out.gradient[i].abs();
        }
        RowLoss {
            loss: weigh(-w, log_prob),
            z_loss: 0.0,
            log_prob,
        }
    }

    /// A row for which no formula holds: `value` is its loss and each element of its gradient.
    fn constant_loss(&self, row: &TargetRow, value: f64, gradient: &mut [f64]) -> RowLoss {
        self.rows.places(row.number).for_each(|i| gradient[i] = value);
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
    fn ordinary_loss(&self, target_row: &TargetRow, out: &mut CrossEntropyReference) -> RowLoss {
        let (target, target_weight) = match target_row.target {
            Target::Class(t) => {
                let one_minus_smoothing = 1.0 - f64::from(self.options.label_smoothing);
                (Some(t), one_minus_smoothing * weight_of(self.weights, t))
            }
            _ => (None, 0.0),
        };
        let row = &target_row.row;
        let class_weights = self.class_weights(target_row.number, target);
        let weight_sum = target_weight + class_weights.iter().sum::<f64>();
        let target = target.map(|t| (target_weight, t));
        self.ordinary_gradient(target_row, target, &class_weights, out);
        let lse = row.lse();
        RowLoss {
            loss: loss_of(row, target, &class_weights, weight_sum),
            z_loss: weigh(self.options.z_loss.into(), lse * lse),
            log_prob: target.map_or(0.0, |(_, t)| row.log_probability(t)),
        }
    }

    /// The gradient of [`Batch::ordinary_loss`], `Q y_c − q_c` with the weight `q_c` of a class and the sum Q of them all,
    /// as `(Q − q_c) y_c − q_c (1 − y_c)`: of a row that is all but certain, only what weighs against it is left.
    fn ordinary_gradient(
        &self,
        target_row: &TargetRow,
        target: Option<(f64, usize)>,
        class_weights: &[f64],
        out: &mut CrossEntropyReference,
    ) {
        let TargetRow {
            number,
            row,
            loss_scale,
            z_scale,
            ..
        } = target_row;
        let own_weight = |c| target.map_or(0.0, |(weight, t)| if t == c { weight } else { 0.0 });
        let weights: Vec<f64> = (0..).zip(class_weights).map(|(c, q)| q + own_weight(c)).collect();
        let others = sums_of_others(&weights);
        let is_nan = weights.iter().any(|q| q.is_nan());
        let class_sum: f64 = class_weights.iter().sum();
        for (c, i) in self.rows.places(*number).enumerate() {
            if !is_nan && row.is_masked(c) && target.is_none_or(|(_, t)| t != c) && class_weights[c] == 0.0 {
                continue;
            }
            let (y, complement) = (row.probability(c), row.complement(c));
            let z_grad = weigh(self.options.z_loss.into(), 2.0 * row.lse() * y * z_scale);
            let loss_grad = others[c] * y - weights[c] * complement;
            let da_dx = self.adjuster.adjust_grad(*number, c, self.logits[i].into());
            out.gradient[i] = if is_nan {
                f64::NAN
            } else {
                let g = loss_grad * loss_scale + z_grad;
                self.adjuster.grad(g, *number, c, self.logits[i].into())
            };

            // What is in proportion to y, and of the loss alone; at the target its own weight is in proportion to 1 − y.
            let is_target = target.is_some_and(|(_, t)| t == c);
            let target_weight = target.map_or(0.0, |(weight, _)| weight);
            let y_grad = (class_sum + if is_target { 0.0 } else { target_weight }) * y * loss_scale;
            let own = if is_target {
                target_weight * complement * loss_scale
            } else {
                0.0
            };
            let terms = [own, class_weights[c] * loss_scale, y_grad, z_grad, y_grad + z_grad];
            let largest = terms.into_iter().fold(0.0, |most: f64, term| most.max(term.abs())) * da_dx.abs();
            let scales = &mut out.scales;
            scales.gradient_terms[i] = largest.max(out.gradient[i].abs());
            scales.y_terms[i] = ((weights[c] + others[c]) * y * loss_scale + z_grad).abs() * da_dx.abs();
        }
    }

    /// The weight of each class's `−ln y_c`: its soft target, or what label smoothing gives every class.
    fn class_weights(&self, number: usize, target: Option<usize>) -> Vec<f64> {
        let smoothing = f64::from(self.options.label_smoothing);
        let smoothing_per_class = smoothing / self.rows.classes_of(number) as f64;
        let of_class = |(c, i): (usize, usize)| match target {
            None => weight_of(self.weights, c) * ((1.0 - smoothing) * self.soft_targets[i] + smoothing_per_class),
            Some(_) if smoothing_per_class == 0.0 => 0.0,
            Some(_) => weight_of(self.weights, c) * smoothing_per_class,
        };
        self.rows.places(number).enumerate().map(of_class).collect()
    }
}

/// For each of the numbers, the sum of all the others, without a subtraction.
fn sums_of_others(numbers: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; numbers.len()];
    let (mut before, mut after) = (0.0, 0.0);
    for i in 0..numbers.len() {
        let back = numbers.len() - 1 - i;
        sums[i] += before;
        sums[back] += after;
        before += numbers[i];
        after += numbers[back];
    }
    sums
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
