//! Units in the last place.

use crate::dtype::Dtype;

/// A unit in the last place of `exact` as it is stored, and that of the smallest normal number where `exact` is
/// smaller.
pub fn ulp_of(exact: f64, dtype: Dtype) -> f64 {
    let (digits, least) = match dtype {
        Dtype::F32 => (23, -126),
        Dtype::F16 => (10, -14),
        Dtype::Bf16 => (7, -126),
    };
    let exponent = exact.abs().max(2f64.powi(least)).log2().floor() as i32;
    2f64.powi(exponent - digits)
}

/// The error of `got` in units in the last place of `exact` as an f32, the smallest of which is 2^-149; NaN if exactly
/// one of the two is NaN.
pub fn ulp(got: f32, exact: f64) -> f64 {
    if got.is_nan() && exact.is_nan() || f64::from(got) == exact {
        return 0.0;
    }
    (f64::from(got) - exact).abs() / ulp_of(exact, Dtype::F32)
}
