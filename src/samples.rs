//! Inputs for tests, the same everywhere, and how far results are from exact ones.

use crate::dtype::Dtype;

/// xorshift.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    /// 40 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 24
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() as usize) % n
    }

    /// About normal: the sum of four uniform numbers, of standard deviation `spread`.
    pub fn normal(&mut self, spread: f32) -> f32 {
        let sum: f64 = (0..4).map(|_| self.bits() as f64 / (1u64 << 40) as f64 - 0.5).sum();
        (sum * 3f64.sqrt()) as f32 * spread
    }

    /// So many normal numbers.
    pub fn logits(&mut self, n: usize, spread: f32) -> Vec<f32> {
        (0..n).map(|_| self.normal(spread)).collect()
    }

    /// So many classes.
    pub fn targets(&mut self, n: usize, classes: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(classes) as u32).collect()
    }
}

/// Classes at the seams: fewer than a quad, a quad, one more; lanes of 4, 8, 32, 64 quads and one class more or less; a
/// chunk and one more; two chunks; odd and even vocabularies.
pub const CLASSES: &[usize] = &[
    1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 256, 257, 1000, 1023, 1024, 1025, 2048,
    4099,
];

/// A unit in the last place of `exact` as it is stored; the smallest normal number's where it is smaller.
pub fn ulp_of(exact: f64, dtype: Dtype) -> f64 {
    let (digits, least) = match dtype {
        Dtype::F32 => (23, -126),
        Dtype::F16 => (10, -14),
        Dtype::Bf16 => (7, -126),
    };
    let exponent = exact.abs().max(2f64.powi(least)).log2().floor() as i32;
    2f64.powi(exponent - digits)
}

/// The error of `got` in units in the last place of `exact` as an f32; 2^-126 counts as the smallest.
pub fn ulp(got: f32, exact: f64) -> f64 {
    if got.is_nan() && exact.is_nan() || f64::from(got) == exact {
        return 0.0;
    }
    (f64::from(got) - exact).abs() / ulp_of(exact, Dtype::F32)
}
