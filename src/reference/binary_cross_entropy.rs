//! Binary cross-entropy.

use super::adjusted::*;
use super::reduction::{denominators, divide, upstream_of};
use crate::error::{EncodeError, check_length};
use crate::ops::adjust::Mask;
use crate::ops::binary_cross_entropy::BinaryCrossEntropy;
use crate::ops::loss::Reduction;
use crate::ops::values::check_finite;
use crate::rows::Rows;

/// The result of [`binary_cross_entropy_with_logits`].
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinaryCrossEntropyReference {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f64,
    /// The loss of each element, laid out as the logits are; padding is 0.
    pub losses: Vec<f64>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Vec<f64>,
}

/// `ln(1 + exp(x))`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + exp(−x))`.
fn sigmoid(x: f64) -> f64 {
    let e = (-x.abs()).exp();
    if x < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}

/// The cross-entropy of σ(x) and t of each element, and its gradient: `ℓ = w ((1 − t) ln(1 + exp(x)) + p t ln(1 +
/// exp(−x)))`, and the gradient is `w ((1 − t) σ(x) − p t σ(−x))`, with weights w and p as in [`BinaryCrossEntropy`].
///
/// A logit or target that is NaN gives NaN; for a logit of ±∞, a term whose factor `1 − t` or `p t` is exactly 0 is 0.
/// The mean is taken over all elements.
///
/// # Errors
/// An invalid shape, slices that do not fit it, options that contradict each other, and numbers in buffers.
pub fn binary_cross_entropy_with_logits<T: Copy + Into<f64>, U: Copy + Into<f64>>(
    logits: &[T],
    targets: &[U],
    rows: Rows,
    options: &BinaryCrossEntropy,
) -> Result<BinaryCrossEntropyReference, EncodeError> {
    check_logits(logits, &rows)?;
    check_length("targets", logits.len(), targets.len())?;
    if let Mask::Causal { .. } = options.weight {
        return Err(EncodeError::Conflict {
            a: "Mask::Causal",
            b: "weight",
            why: "weights are numbers; use Mask::Classes or Mask::Full",
        });
    }
    check_finite("weight", options.weight.values())?;
    check_finite("pos_weight", options.pos_weight.as_ref())?;
    let weight = MaskValues::new(&options.weight, "weight", &rows)?;
    let pos_weight = class_values(options.pos_weight.as_ref(), "pos_weight", &rows)?;
    let upstream = upstream_of(&options.upstream, options.reduction, &rows)?;
    let elements = rows.count() as f64 * rows.classes() as f64;
    let own = (elements, elements);
    let (denominator, _) = denominators(options.reduction, options.normalizer, options.empty_mean, own)?;

    let mut out = BinaryCrossEntropyReference {
        loss: 0.0,
        losses: vec![0.0; logits.len()],
        gradient: vec![0.0; logits.len()],
    };
    let mut loss_sum = 0.0;
    for (row, &upstream) in upstream.iter().enumerate() {
        for (c, i) in places(&rows, row).enumerate() {
            let (x, t): (f64, f64) = (logits[i].into(), targets[i].into());
            let w = match weight {
                MaskValues::Classes(values) => f64::from(values[c]),
                MaskValues::Full(values) => f64::from(values[i]),
                MaskValues::None | MaskValues::Causal { .. } => 1.0,
            };
            let (negative, positive) = (1.0 - t, weight_of(pos_weight, c) * t);
            let (loss, grad) = if x.is_nan() || t.is_nan() {
                (f64::NAN, f64::NAN)
            } else {
                (
                    weigh(negative, softplus(x)) + weigh(positive, softplus(-x)),
                    negative * sigmoid(x) - positive * sigmoid(-x),
                )
            };
            // A weight of 0 takes out what is infinite, and no NaN.
            let loss = if loss.is_nan() { loss } else { weigh(w, loss) };
            out.losses[i] = loss;
            out.gradient[i] = w * grad * divide(upstream, denominator);
            loss_sum += loss;
        }
    }
    if options.reduction != Reduction::None {
        out.loss = divide(loss_sum, denominator);
    }
    Ok(out)
}
