//! The losses of all rows, reduced to one on the host.

use wgpu_softmax::{EmptyMean, twin};

/// The sum in the library's canonical order: 1,024 rows at a time, then their sums.
pub(crate) fn sum(losses: &[f32]) -> f32 {
    twin::total(losses)
}

/// The mean from a sum, as shaders/loss/finish.wgsl makes it.
pub(crate) fn mean(sum: f32, denominator: f32, empty: EmptyMean) -> f32 {
    if sum.is_nan() {
        f32::NAN
    } else if denominator == 0.0 {
        match empty {
            EmptyMean::Zero => 0.0,
            _ => f32::NAN,
        }
    } else {
        sum / denominator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_over_nothing_are_what_the_options_say() {
        assert_eq!(mean(0.0, 0.0, EmptyMean::Zero), 0.0);
        assert!(mean(0.0, 0.0, EmptyMean::Nan).is_nan());
        assert!(mean(f32::NAN, 0.0, EmptyMean::Zero).is_nan());
        assert_eq!(mean(3.0, 2.0, EmptyMean::Nan), 1.5);
        assert_eq!(sum(&[1.0; 3000]), 3000.0);
    }
}
