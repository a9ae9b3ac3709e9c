//! Inputs that are the same everywhere.

/// Marsaglia's xorshift generator.
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
        (self.bits() % n as u64) as usize
    }

    /// An approximately normal number: the sum of four uniform ones, with a standard deviation of `spread`.
    pub fn normal(&mut self, spread: f32) -> f32 {
        let sum: f64 = (0..4).map(|_| self.bits() as f64 / (1u64 << 40) as f64 - 0.5).sum();
        (sum * 3f64.sqrt()) as f32 * spread
    }

    /// `n` normal numbers.
    pub fn logits(&mut self, n: usize, spread: f32) -> Vec<f32> {
        (0..n).map(|_| self.normal(spread)).collect()
    }

    /// A class for each of `n` rows.
    pub fn targets(&mut self, n: usize, classes: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(classes) as u32).collect()
    }
}
