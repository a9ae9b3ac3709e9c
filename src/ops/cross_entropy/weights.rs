//! Weights that are far from 1.

use super::options::CrossEntropy;
use crate::ops::loss::{Normalizer, Reduction};
use crate::ops::values::Values;

/// Where the largest weight is beyond 2 to this, or as far below 1, the weights of a mean get a factor, which takes none further below 1.
const FAR: i32 = 64;
/// The same where rows are weighted too, because a target's weight is the product of two.
const FAR_OF_TWO: i32 = 32;

/// The weights of classes and rows. A mean divides by the sum of weights again, so that they may all be multiplied by the same power of
/// two. Weights near the ends of f32's range are, since their products with losses, or their sum, would leave it. A z-loss is added to
/// what has been weighted, and the losses of the rows, where they are asked for, are weighted and not divided.
pub(super) fn balanced(options: &CrossEntropy) -> [Option<Values>; 2] {
    let is_mean = options.reduction == Reduction::Mean && options.normalizer == Normalizer::Rows;
    let is_divided = is_mean && !options.row_losses && options.z_loss == 0.0;
    let by_class = is_divided && !options.is_soft();
    let far = match (by_class, &options.weights, &options.row_weights) {
        (true, Some(_), Some(_)) => FAR_OF_TWO,
        _ => FAR,
    };
    [(&options.weights, by_class), (&options.row_weights, is_divided)]
        .map(|(weights, is_divided)| of_size_1(weights.as_ref(), far, is_divided))
}

/// The same numbers, by a factor if they need one and may have it.
fn of_size_1(weights: Option<&Values>, far: i32, may_change: bool) -> Option<Values> {
    let weights = weights?;
    let Values::Host(numbers) = weights else {
        return Some(weights.clone());
    };
    let Some(factor) = factor_of(numbers, far).filter(|_| may_change) else {
        return Some(weights.clone());
    };
    let scaled = |&weight: &f32| (f64::from(weight) * factor) as f32;
    Some(Values::from(numbers.iter().map(scaled).collect::<Vec<_>>()))
}

/// The factor that weights need, if they do.
fn factor_of(numbers: &[f32], far: i32) -> Option<f64> {
    let sizes = numbers.iter().map(|weight| weight.abs()).filter(|&size| size > 0.0);
    let (least, most) = sizes.fold((f32::MAX, 0f32), |(least, most), size| {
        (least.min(size), most.max(size))
    });
    let (beyond, below) = (f64::from(far).exp2(), f64::from(-far).exp2());
    let to_one = power_of_two(most).recip();
    match f64::from(most) {
        most if most > beyond => Some(to_one.max((below / power_of_two(least)).min(1.0))),
        most if most > 0.0 && most < below => Some(to_one),
        _ => None,
    }
}

/// The largest that is not above a number.
fn power_of_two(number: f32) -> f64 {
    f64::from(number).log2().floor().exp2()
}
