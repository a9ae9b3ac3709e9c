//! How far an f32 result may be from the exact one: in units in the last place of itself, however small it is.
//!
//! - A loss, a log-probability, an entropy and lse − m: 4 ULP. Their parts do not cancel: `ln d` is made of k and s, and
//!   neither `ln d` nor `m − a` is negative.
//! - A gradient: 6 ULP, the target's included, because a product or two with the upstream gradient, the weight and the
//!   denominator come after y. Where label smoothing, soft targets or a z-loss add terms that cancel, 6 ULP of the largest of
//!   them, since each is rounded as an f32 before they meet: what is in proportion to y, the class's own weight, and the
//!   target's (`LossScales::gradient_terms`).
//! - lse itself: half an ULP of it, since `m + ln d` must be rounded once and m may be large, and the 4 ULP of `ln d`.
//! - z-loss, `λ lse²`: what that error of lse does to the square, and 2 ULP for two products.
//! - Results below 2⁻¹²⁶ may be 0.
//!
//! Logits of 16 bits: `x − m` may be rounded once to f32, and nothing gives back what is lost, which is nothing unless the
//! exponents are more than 12 (f16) or 15 (bf16) apart. By so much a result may be off as well: [`LossBounds::of_stored`].
//! An output that is stored in 16 bits may be off by half a unit of that type more, which is left to the caller.

use super::subject::{Subject, Verdict};
use super::ulp::ulp_of;
use crate::dtype::{Dtype, Element};
use crate::ops::cross_entropy::CrossEntropy;
use crate::reference::{CrossEntropyReference, places};
use crate::rows::Rows;

/// ULP of a loss, a log-probability, an entropy, a `ln d`.
pub const LOSS_ULP: f64 = 4.0;
/// ULP of the largest term of a gradient.
pub const GRADIENT_ULP: f64 = 6.0;

/// How far off one number may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The distance.
    pub allowed: f64,
    /// The unit in which the distance is counted where it is printed.
    pub unit: f64,
}

impl Bound {
    /// `ulps` units in the last place of `size`, and `more`.
    pub fn new(exact: f64, ulps: f64, size: f64, more: f64) -> Self {
        let unit = ulp_of(size, Dtype::F32);
        let allowed = ulps * unit + more;
        // One that is a few ULP above 2^-126 may be computed as one below it.
        let least = f64::from(f32::MIN_POSITIVE) * 1.000_001;
        Self {
            allowed: if exact.abs() < least {
                allowed.max(least)
            } else {
                allowed
            },
            unit,
        }
    }

    /// `ulps` units in the last place of the number itself.
    pub fn of_itself(exact: f64, ulps: f64) -> Self {
        Self::new(exact, ulps, exact, 0.0)
    }

    /// An lse whose row has this `ln d`, which is off by `more` because its logits were rounded.
    pub fn of_lse(lse: f64, ln_sum: f64, more: f64) -> Self {
        let ln_sum_off = LOSS_ULP * ulp_of(ln_sum, Dtype::F32) + more;
        let unit = ulp_of(lse.abs() + ln_sum_off, Dtype::F32);
        Self {
            allowed: 0.5 * unit + ln_sum_off,
            unit,
        }
    }

    fn and(self, more: f64) -> Self {
        Self {
            allowed: self.allowed + more,
            ..self
        }
    }
}

/// What rounding to f32 takes from a number.
fn lost_of(x: f64) -> f64 {
    (f64::from(x as f32) - x).abs()
}

/// What may be lost of each `x − m` of a batch of 16-bit logits that are neither scaled nor capped nor masked: nothing of
/// f32, whose differences are exact.
#[derive(Debug, Clone)]
pub struct LostDifferences {
    /// Of each element.
    pub of_element: Vec<f64>,
    /// What `ln d` of each row is off by: the mean of its elements' losses, weighted by their probabilities.
    pub of_ln_sum: Vec<f64>,
    /// What the entropy of each row is off by.
    pub of_entropy: Vec<f64>,
}

impl LostDifferences {
    /// What is lost of the logits of these rows.
    pub fn new<T: Element>(logits: &[T], rows: Rows) -> Self {
        let mut lost = Self {
            of_element: vec![0.0; logits.len()],
            of_ln_sum: vec![0.0; rows.count()],
            of_entropy: vec![0.0; rows.count()],
        };
        if T::DTYPE == Dtype::F32 {
            return lost;
        }
        for row in 0..rows.count() {
            let x = |i: usize| -> f64 { logits[i].into() };
            let max = places(&rows, row).map(x).fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = places(&rows, row).map(|i| (x(i) - max).exp()).sum();
            for i in places(&rows, row).filter(|&i| x(i).is_finite() && max.is_finite()) {
                let shifted = x(i) - max;
                let off = lost_of(shifted);
                let y = shifted.exp() / sum;
                lost.of_element[i] = off;
                lost.of_ln_sum[row] += y * off;
                // The entropy's slope is −y (ln y + H), and H is at most ln C.
                lost.of_entropy[row] += y * off * (sum.ln() - shifted + (rows.classes() as f64).ln());
            }
        }
        lost
    }

    /// [`Self::of_log_prob`] of every element.
    pub fn of_element_and_row(&self, rows: Rows) -> Vec<f64> {
        let mut result = vec![0.0; self.of_element.len()];
        for row in 0..rows.count() {
            places(&rows, row).for_each(|i| result[i] = self.of_log_prob(row, i));
        }
        result
    }

    /// What a row's log-probabilities, or its probabilities in proportion to themselves, are off by.
    pub fn of_log_prob(&self, row: usize, element: usize) -> f64 {
        self.of_ln_sum[row] + self.of_element[element]
    }
}

/// The bounds of all outputs of a loss: logits that are neither scaled nor capped nor masked, and no saved lse, which has
/// been rounded. Weights are not negative.
#[derive(Debug, Clone)]
pub struct LossBounds {
    /// Of the reduced loss, and of its part that is the z-loss.
    pub loss: Bound,
    /// Of `CrossEntropyReference::z_loss`.
    pub z_loss: Bound,
    /// One for each row.
    pub row_losses: Vec<Bound>,
    /// One for each row.
    pub row_z_losses: Vec<Bound>,
    /// One for each row.
    pub lse: Vec<Bound>,
    /// One for each row.
    pub log_probs: Vec<Bound>,
    /// One for each row.
    pub entropies: Vec<Bound>,
    /// Laid out as the logits are.
    pub gradient: Vec<Bound>,
}

impl LossBounds {
    /// The bounds of logits stored as f32.
    pub fn new(options: &CrossEntropy, exact: &CrossEntropyReference) -> Self {
        let itself = |values: &[f64]| values.iter().map(|&v| Bound::of_itself(v, LOSS_ULP)).collect();
        let lse: Vec<Bound> = (exact.lse.iter().zip(&exact.scales.ln_sums))
            .map(|(&lse, &ln_sum)| Bound::of_lse(lse, ln_sum, 0.0))
            .collect();
        let lambda = f64::from(options.z_loss).abs();
        let z_losses = exact.row_z_losses.iter().zip(exact.lse.iter().zip(&lse));
        let row_z_losses: Vec<Bound> = z_losses
            .map(|(&z, (&lse, &Bound { allowed: off, .. }))| {
                let of_square = if z == 0.0 {
                    0.0
                } else {
                    lambda * off * (2.0 * lse.abs() + off)
                };
                Bound::new(z, 2.0, z, of_square)
            })
            .collect();
        let row_losses =
            (exact.row_losses.iter().zip(&exact.row_z_losses).zip(&row_z_losses)).map(|((&loss, &z), z_bound)| {
                Bound::new(loss, LOSS_ULP, loss, if z == 0.0 { 0.0 } else { z_bound.allowed })
            });
        let z_off: f64 = if lambda == 0.0 {
            0.0
        } else {
            row_z_losses.iter().map(|z| z.allowed).sum()
        };
        let gradient = exact.gradient.iter().zip(&exact.scales.gradient_terms);
        Self {
            loss: Bound::new(exact.loss, LOSS_ULP, exact.loss, z_off / exact.scales.z_denominator),
            z_loss: Bound::new(exact.z_loss, LOSS_ULP, exact.z_loss, z_off),
            row_losses: row_losses.collect(),
            log_probs: itself(&exact.log_probs),
            entropies: itself(&exact.entropies),
            gradient: gradient
                .map(|(&g, &term)| Bound::new(g, GRADIENT_ULP, term, 0.0))
                .collect(),
            row_z_losses,
            lse,
        }
    }

    /// The bounds of logits as they are stored, for the sum of the losses, whose gradient says how a loss follows its logits.
    pub fn of_stored<T: Element>(
        logits: &[T],
        rows: Rows,
        options: &CrossEntropy,
        exact: &CrossEntropyReference,
    ) -> Self {
        let (mut bounds, lost) = (Self::new(options, exact), LostDifferences::new(logits, rows));
        let mut loss_off = 0.0;
        for row in 0..rows.count() {
            let ln_sum_off = lost.of_ln_sum[row];
            let mut row_off = 0.0;
            for i in places(&rows, row) {
                let y_term = exact.scales.y_terms[i];
                bounds.gradient[i] = bounds.gradient[i].and(y_term * lost.of_log_prob(row, i));
                // The loss is Q ln d − Σ q (x − m), and Q y − q is the gradient, from which q is had.
                row_off += (2.0 * y_term + exact.gradient[i].abs()) * lost.of_element[i];
            }
            loss_off += row_off;
            let target_shifted = exact.log_probs[row] + exact.scales.ln_sums[row];
            let target_off = lost_of(target_shifted);
            bounds.row_losses[row] = bounds.row_losses[row].and(row_off);
            bounds.log_probs[row] = bounds.log_probs[row].and(ln_sum_off + target_off);
            bounds.lse[row] = bounds.lse[row].and(ln_sum_off);
            bounds.entropies[row] = bounds.entropies[row].and(lost.of_entropy[row]);
        }
        bounds.loss = bounds.loss.and(loss_off);
        bounds
    }

    /// Checks that the gradient of each row sums to 0, as it does where there is no z-loss: within [`GRADIENT_ULP`] of the
    /// row's largest term, and in 16 bits what rounding its elements costs.
    ///
    /// # Errors
    /// The first row of which it does not.
    pub fn gradient_sums_to_zero<T: Element>(
        &self,
        subject: &Subject<'_>,
        gradient: &[T],
        exact: &CrossEntropyReference,
    ) -> Verdict {
        let rows = subject.rows();
        let each_row = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..rows.count()).map(|row| places(&rows, row).map(of).sum()).collect()
        };
        let sums = each_row(&|i| gradient.get(i).map_or(f64::NAN, |&g| g.into()));
        let rounding = each_row(&|i| match T::DTYPE {
            Dtype::F32 => 0.0,
            dtype => 0.5 * ulp_of(exact.gradient[i], dtype),
        });
        let largest = |row| {
            let terms = places(&rows, row).map(|i| exact.scales.gradient_terms[i]);
            GRADIENT_ULP * ulp_of(terms.fold(0.0, f64::max), Dtype::F32)
        };
        subject.within("the gradient's sum", &sums, &vec![0.0; sums.len()], |row, _| {
            largest(row) + rounding[row]
        })
    }
}
