//! What the tests share: the adapter under test (`WGPU_BACKEND` chooses it), inputs, comparisons.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;
use wgpu_softmax::{Element, Gpu, GpuOptions, half};

/// The adapter as it is, and without its subgroups where it has them: both families of reduction.
pub static GPUS: LazyLock<Vec<Gpu>> = LazyLock::new(|| {
    let gpu = Gpu::new().expect("a test needs an adapter");
    println!("on {} ({:?})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let plain = gpu.uses_subgroups().then(|| {
        let options = GpuOptions {
            subgroups: false,
            ..GpuOptions::default()
        };
        Gpu::with_options(&options).expect("the same adapter")
    });
    std::iter::once(gpu).chain(plain).collect()
});

/// The adapter as a user gets it.
pub fn gpu() -> &'static Gpu {
    &GPUS[0]
}

/// xorshift: the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 24
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() as usize) % n
    }

    /// About normal: the sum of four uniform numbers, of standard deviation `spread`.
    pub fn normal(&mut self, spread: f32) -> f32 {
        let sum: f64 = (0..4).map(|_| self.bits() as f64 / (1u64 << 40) as f64 - 0.5).sum();
        (sum * 3f64.sqrt()) as f32 * spread
    }

    pub fn logits(&mut self, n: usize, spread: f32) -> Vec<f32> {
        (0..n).map(|_| self.normal(spread)).collect()
    }

    pub fn targets(&mut self, n: usize, classes: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(classes) as u32).collect()
    }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// The error of `got` in units in the last place of `exact` as an f32; 2^-126 counts as the smallest.
pub fn ulp(got: f32, exact: f64) -> f64 {
    if got.is_nan() && exact.is_nan() || f64::from(got) == exact {
        return 0.0;
    }
    let (_, exponent) = frexp(exact.abs().max(2f64.powi(-126)));
    (f64::from(got) - exact).abs() / 2f64.powi(exponent - 24)
}

fn frexp(x: f64) -> (f64, i32) {
    let exponent = x.log2().floor() as i32 + 1;
    (x / 2f64.powi(exponent), exponent)
}

/// Classes at the seams: fewer than a quad, a quad, one more; lanes of 4, 8, 32, 64 quads and one class more or less; a
/// chunk and one more; two chunks; odd and even vocabularies.
pub const CLASSES: &[usize] = &[
    1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 256, 257, 1000, 1023, 1024, 1025, 2048,
    4099,
];

/// Values of the twin as this adapter can give them: SwiftShader has none under 2^-126 (tests/known_issues.rs).
pub fn flushed(gpu: &Gpu, mut values: Vec<f32>) -> Vec<f32> {
    if gpu.adapter_info().name.contains("SwiftShader") {
        values
            .iter_mut()
            .filter(|v| v.is_subnormal())
            .for_each(|v| *v = 0.0f32.copysign(*v));
    }
    values
}

/// Those sizes that the adapter under test gets through in reasonable time: all, or with `SMALL_CASES` set, as
/// `cargo xtask test --all` does for SwiftShader, those up to 33.
pub fn sizes(all: &[usize]) -> impl Iterator<Item = usize> {
    let largest = if std::env::var_os("SMALL_CASES").is_some() {
        33
    } else {
        usize::MAX
    };
    all.iter().copied().filter(move |&size| size <= largest)
}

/// An element type under test.
pub trait Stored: Element {
    /// What rounding to it may cost: relative to the value, and at least.
    const ROUNDING: (f64, f64);
}

impl Stored for f32 {
    const ROUNDING: (f64, f64) = (0.0, 0.0);
}

impl Stored for half::f16 {
    const ROUNDING: (f64, f64) = (4.8828125e-4, 2.98e-8);
}

impl Stored for half::bf16 {
    const ROUNDING: (f64, f64) = (3.90625e-3, 0.0);
}

pub fn stored<T: Stored>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&v| T::nearest(v)).collect()
}

/// Within 2e-6 of the larger of 1 and the exact value, and of what rounding to the type costs; NaN and infinities alike.
#[track_caller]
pub fn near<T: Stored>(what: &str, got: &[T], exact: &[f64]) {
    assert_eq!(got.len(), exact.len(), "{what}");
    for (i, (&got, &exact)) in got.iter().zip(exact).enumerate() {
        let got: f64 = got.into();
        let allowed = 2e-6 * exact.abs().max(1.0) + T::ROUNDING.0 * exact.abs() + T::ROUNDING.1;
        let alike = got == exact || got.is_nan() && exact.is_nan();
        assert!(
            alike || (got - exact).abs() <= allowed,
            "{what}, element {i}: {got} for {exact}"
        );
    }
}
