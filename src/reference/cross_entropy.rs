//! Cross-entropy.

pub(super) mod distillation;
mod gradient;
pub(super) mod hessian;
mod result;
mod terms;

pub use result::{CrossEntropyReference, LossScales};

use super::adjusted::*;
use super::reduction::{denominators, divide, upstream_of};
use super::row::Row;
use crate::error::{EncodeError, check_length};
use crate::ops::cross_entropy::{CrossEntropy, Input, TargetIndex, Targets};
use crate::ops::loss::Reduction;
use crate::ragged::RowLayout;
use terms::{divergence_of, loss_of};

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
    with_indices(logits, targets, &rows.into(), options, None)
}

fn with_indices<T: Copy + Into<f64>, I: TargetIndex>(
    logits: &[T],
    targets: &[I],
    layout: &RowLayout,
    options: &CrossEntropy,
    direction: Option<&[f64]>,
) -> Result<CrossEntropyReference, EncodeError> {
    check_logits(logits, &layout.rows)?;
    check_length("targets", layout.rows.count(), targets.len())?;
    check_options(options, Targets::Indices, direction)?;
    let target = |(row, index): (usize, &I)| match index.value() {
        value if value == i128::from(options.ignore_index) => Target::Ignored,
        value => usize::try_from(value)
            .ok()
            .filter(|&t| t < layout.classes_of(row))
            .map_or(Target::OutOfRange, Target::Class),
    };
    let targets: Vec<Target> = targets.iter().enumerate().map(target).collect();
    let matrices = Matrices {
        direction,
        ..Matrices::default()
    };
    reference_loss(logits, &targets, matrices, layout, options)
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
    with_probabilities(logits, probabilities, &rows.into(), options, None)
}

fn with_probabilities<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    probabilities: &[U],
    layout: &RowLayout,
    options: &CrossEntropy,
    direction: Option<&[f64]>,
) -> Result<CrossEntropyReference, EncodeError> {
    check_logits(logits, &layout.rows)?;
    check_length("probabilities", logits.len(), probabilities.len())?;
    check_options(options, Targets::Probabilities, direction)?;
    // What is below 0 has no logarithm.
    let target = |q: f64| if options.divergence && q < 0.0 { f64::NAN } else { q };
    let soft_targets: Vec<f64> = probabilities.iter().map(|&q| target(q.into())).collect();
    let targets = vec![Target::Probabilities; layout.rows.count()];
    let matrices = Matrices {
        soft_targets: &soft_targets,
        direction,
        ..Matrices::default()
    };
    reference_loss(logits, &targets, matrices, layout, options)
}

/// What a call on host slices checks, with targets of this kind.
fn check_options(options: &CrossEntropy, targets: Targets, direction: Option<&[f64]>) -> Result<(), EncodeError> {
    let options = options.with_targets(targets);
    match direction {
        Some(_) => options.of_hessian().validate(),
        None => options.validate(),
    }
}

/// What is laid out as the logits are.
#[derive(Clone, Copy, Default)]
struct Matrices<'a> {
    soft_targets: &'a [f64],
    /// The logarithms of soft targets that are a teacher's.
    ln_teacher: Option<&'a [f64]>,
    /// What the Hessian is multiplied by, for its product in the gradient's place.
    direction: Option<&'a [f64]>,
}

fn reference_loss<T: Copy + Into<f64>>(
    logits: &[T],
    targets: &[Target],
    matrices: Matrices<'_>,
    rows: &RowLayout,
    options: &CrossEntropy,
) -> Result<CrossEntropyReference, EncodeError> {
    check_length(
        "direction",
        logits.len(),
        matrices.direction.map_or(logits.len(), <[f64]>::len),
    )?;
    let batch = Batch {
        logits,
        matrices,
        rows,
        options,
        adjuster: Adjuster::new(&options.adjust, &rows.rows)?,
        weights: class_values(options.weights.as_ref(), "weights", &rows.rows)?,
        row_weights: options
            .row_weights
            .as_ref()
            .map(|values| on_host(values, "row_weights", rows.rows.count()))
            .transpose()?,
    };
    let targets = &batch.without_weightless(targets);
    let upstream = upstream_of(&options.upstream, options.reduction, &rows.rows)?;
    let Counted { rows: counted, own } = batch.counted(targets);
    let (loss_denominator, z_denominator) =
        denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = CrossEntropyReference::of(logits.len(), counted, z_denominator);
    let mut loss_sum = 0.0;
    for (number, &target) in targets.iter().enumerate() {
        let a = batch.adjuster.row(logits, rows, number);
        let row_weight = batch.row_weight(number);
        let upstream = row_weight * upstream[number];
        let row = TargetRow {
            number,
            target,
            row: Row::new(&a, options.fully_masked),
            loss_scale: divide(upstream, loss_denominator),
            z_scale: divide(upstream, z_denominator),
        };
        let RowLoss { loss, z_loss, log_prob } = batch.row_loss(&row, &a, &mut out);
        let (loss, z_loss) = (weigh(row_weight, loss), weigh(row_weight, z_loss));
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
    matrices: Matrices<'a>,
    rows: &'a RowLayout,
    options: &'a CrossEntropy,
    adjuster: Adjuster<'a>,
    weights: Option<&'a [f32]>,
    row_weights: Option<&'a [f32]>,
}

/// How many rows have a target, and what a mean divides by: the sum of their weights with those of their targets, and
/// without.
struct Counted {
    rows: usize,
    own: (f64, f64),
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
    fn row_weight(&self, number: usize) -> f64 {
        self.row_weights.map_or(1.0, |weights| weights[number].into())
    }

    /// The targets, none for rows of weight 0.
    fn without_weightless(&self, targets: &[Target]) -> Vec<Target> {
        let of_row = |(number, target): (usize, &Target)| match self.row_weight(number) {
            0.0 => Target::Ignored,
            _ => *target,
        };
        targets.iter().enumerate().map(of_row).collect()
    }

    fn counted(&self, targets: &[Target]) -> Counted {
        let mut counted = Counted {
            rows: 0,
            own: (0.0, 0.0),
        };
        for (number, target) in targets.iter().enumerate() {
            let weight = match target {
                Target::Ignored | Target::OutOfRange => continue,
                Target::Class(t) => weight_of(self.weights, *t),
                Target::Probabilities => 1.0,
            };
            counted.rows += 1;
            counted.own.0 += self.row_weight(number) * weight;
            counted.own.1 += self.row_weight(number);
        }
        counted
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
            loss: match self.is_divergence() {
                true => self.divergence(target_row),
                false => loss_of(row, target, &class_weights, weight_sum),
            },
            z_loss: weigh(self.options.z_loss.into(), lse * lse),
            log_prob: target.map_or(0.0, |(_, t)| row.log_probability(t)),
        }
    }

    fn is_divergence(&self) -> bool {
        self.options.divergence || self.matrices.ln_teacher.is_some()
    }

    fn divergence(&self, TargetRow { number, row, .. }: &TargetRow) -> f64 {
        let q: Vec<f64> = self
            .rows
            .places(*number)
            .map(|i| self.matrices.soft_targets[i])
            .collect();
        let ln_q: Vec<f64> = match self.matrices.ln_teacher {
            Some(ln_q) => self.rows.places(*number).map(|i| ln_q[i]).collect(),
            None => q.iter().map(|q| q.ln()).collect(),
        };
        let scale = f64::from(self.options.divergence_scale());
        scale * divergence_of(row, &q, &ln_q, self.matrices.ln_teacher.is_some())
    }

    /// The weight of each class's `−ln y_c`: its soft target, or what label smoothing gives every class.
    fn class_weights(&self, number: usize, target: Option<usize>) -> Vec<f64> {
        let smoothing = f64::from(self.options.label_smoothing);
        let smoothing_per_class = smoothing / self.rows.classes_of(number) as f64;
        let of_class = |(c, i): (usize, usize)| match target {
            _ if self.is_divergence() => f64::from(self.options.divergence_scale()) * self.matrices.soft_targets[i],
            None => {
                weight_of(self.weights, c) * ((1.0 - smoothing) * self.matrices.soft_targets[i] + smoothing_per_class)
            }
            Some(_) if smoothing_per_class == 0.0 => 0.0,
            Some(_) => weight_of(self.weights, c) * smoothing_per_class,
        };
        self.rows.places(number).enumerate().map(of_class).collect()
    }
}
