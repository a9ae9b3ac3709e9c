//! What the tests share: the adapter under test (`WGPU_BACKEND` chooses it), inputs, comparisons.
#![allow(dead_code, unused_imports, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod buffers;

use std::sync::LazyLock;
pub use wgpu_softmax::testing::{CLASSES, Random, bits, ulp};
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
