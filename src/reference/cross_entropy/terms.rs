//! Sums over the classes of a row.

use crate::reference::adjusted::weigh;
use crate::reference::row::Row;

/// For each of the numbers, the sum of all the others, without a subtraction.
pub(super) fn sums_of_others(numbers: &[f64]) -> Vec<f64> {
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
/// a weight other than 0, and less than nothing where the target has a negative one.
pub(super) fn loss_of(row: &Row, target: Option<(f64, usize)>, class_weights: &[f64], weight_sum: f64) -> f64 {
    let of_classes = class_weights.iter().copied().zip(0..);
    let is_absent = |(weight, c): (f64, usize)| weight != 0.0 && row.is_masked(c);
    match target {
        _ if weight_sum.is_nan() => f64::NAN,
        _ if of_classes.clone().any(is_absent) => f64::INFINITY,
        Some(target) if is_absent(target) => f64::INFINITY.copysign(target.0),
        _ => (target.into_iter().chain(of_classes))
            .map(|(weight, c)| weigh(weight, -row.log_probability(c)))
            .sum(),
    }
}

/// `Σ q (ln q − ln y)`, with the logarithms of q, which are −∞ where there is no q. Those of a teacher are summed as
/// `q (δ − 1 + e^−δ)`, δ = ln q − ln y: what that adds, y − q, sums to 0.
pub(super) fn divergence_of(row: &Row, q: &[f64], ln_q: &[f64], is_from_teacher: bool) -> f64 {
    let mut sum = 0.0;
    for (c, (&q, &ln_q)) in q.iter().zip(ln_q).enumerate() {
        let delta = ln_q - row.log_probability(c);
        sum += match (ln_q == f64::NEG_INFINITY, row.is_masked(c)) {
            _ if q.is_nan() => f64::NAN,
            (true, true) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) if is_from_teacher && delta < -1.0 => q * delta - q + row.probability(c),
            (false, false) if is_from_teacher && q > 0.0 => q * (delta + (-delta).exp_m1()),
            (_, false) if is_from_teacher => row.probability(c),
            (is_none, false) => weigh(f64::from(u8::from(!is_none)), weigh(q, delta)),
        };
    }
    sum
}
