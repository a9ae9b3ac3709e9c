//! Sums of exponentials as integers, whose order makes no difference: twin of shaders/sample/search.wgsl.

/// How many units of the upper 32 bits of a sum of exponentials are 1: the sum's own are of 2⁻⁴⁴, or 2⁻³⁷ for more than 2²⁰ classes.
fn upper_units(classes: usize) -> f32 {
    if classes > 1 << 20 { 32.0 } else { 4096.0 }
}

/// A number in units of a sum, rounded down.
pub(super) fn fixed_point(x: f32, classes: usize) -> u64 {
    let scaled = x * upper_units(classes);
    let high = scaled as u32;
    u64::from(high) << 32 | u64::from(((scaled - high as f32) * 2f32.powi(32)) as u32)
}

/// The number of such units.
pub(super) fn from_fixed_point(x: u64, classes: usize) -> f32 {
    let part = |shift: u32, unit: i32| (x >> shift & 0xffff) as f32 * 2f32.powi(unit);
    ((part(48, 16) + part(32, 0)) + (part(16, -16) + part(0, -32))) / upper_units(classes)
}
