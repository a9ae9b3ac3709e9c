//! What the tests share: the adapter under test (`WGPU_BACKEND` chooses it), and comparisons whose failures say what was
//! computed, where, what came, what was expected, and how far off it may be: see [`Subject`].
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used
)]

pub mod buffers;
pub mod outputs;

use std::sync::LazyLock;
pub use wgpu_softmax::testing::{CLASSES, Random, Subject, Verdict, agrees, bits, must, places, ulp};
use wgpu_softmax::{Element, FullyMasked, Gpu, GpuOptions, Rows, half};

/// The adapter as it is, and without its subgroups where it has them: both families of reduction. Where `SUBGROUPS_ALONE` is set, an
/// adapter that has none runs the same tests besides.
pub static GPUS: LazyLock<Vec<Gpu>> = LazyLock::new(|| {
    let gpu = Gpu::new().expect("a test needs an adapter");
    println!("on {} ({:?})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let runs_both = std::env::var_os("SUBGROUPS_ALONE").is_none();
    let plain = (gpu.uses_subgroups() && runs_both).then(|| {
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

/// An operation's name, and which of the [`GPUS`] it ran on.
pub fn on(operation: &str, gpu: &Gpu) -> String {
    let subgroups = if gpu.uses_subgroups() { "with" } else { "without" };
    format!("{operation} {subgroups} subgroups")
}

pub const FULLY_MASKED: [FullyMasked; 3] = [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform];

/// An element type under test.
pub trait Stored: Element {
    /// What rounding to it may cost: relative to the value, and at least.
    const ROUNDING: (f64, f64);
    /// Its largest number.
    const MOST: f32;
}

impl Stored for f32 {
    const MOST: f32 = f32::MAX;
    const ROUNDING: (f64, f64) = (0.0, 0.0);
}

impl Stored for half::f16 {
    const MOST: f32 = 65504.0;
    const ROUNDING: (f64, f64) = (4.8828125e-4, 2.98e-8);
}

impl Stored for half::bf16 {
    const MOST: f32 = 3.389_531_4e38;
    const ROUNDING: (f64, f64) = (3.90625e-3, 0.0);
}

pub fn stored<T: Stored>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&v| T::nearest(v)).collect()
}

/// How far a `T` may be from the exact value: 2e-6 of the larger of 1 and that value, and what rounding to the type costs.
pub fn allowed<T: Stored>(exact: f64) -> f64 {
    2e-6 * exact.abs().max(1.0) + T::ROUNDING.0 * exact.abs() + T::ROUNDING.1
}

/// Every number as near the exact one as [`allowed`]; NaN and infinities exactly where they belong.
#[track_caller]
pub fn near<T: Stored>(subject: &Subject<'_>, output: &str, got: &[T], exact: &[f64]) {
    must(subject.within(output, got, exact, |_, exact| allowed::<T>(exact)));
}

/// As [`near`], but where a finite number is too large for the type, its largest number and infinity are both right.
#[track_caller]
pub fn alike<T: Stored>(subject: &Subject<'_>, output: &str, got: &[T], exact: &[f64]) {
    let got = got.iter().map(|&v| v.into()).collect();
    alike_as::<T>(subject, output, got, exact);
}

/// [`alike`] of numbers that were of the type.
#[track_caller]
pub fn alike_as<T: Stored>(subject: &Subject<'_>, output: &str, got: Vec<f64>, exact: &[f64]) {
    let most: f64 = T::MOST.into();
    let is_finite = |i: usize| exact.get(i).is_some_and(|v| v.is_finite());
    let clamped = |(i, v): (usize, f64)| if is_finite(i) { v.clamp(-most, most) } else { v };
    let got: Vec<f64> = got.into_iter().enumerate().map(clamped).collect();
    let exact: Vec<f64> = exact.iter().copied().enumerate().map(clamped).collect();
    must(subject.within(output, &got, &exact, |_, exact| allowed::<T>(exact)));
}

/// The same bits in every element.
#[track_caller]
pub fn same_bits<T: Element>(subject: &Subject<'_>, output: &str, got: &[T], expected: &[T]) {
    must(subject.bits(output, got, expected));
}

/// One value that belongs to the whole call.
#[track_caller]
pub fn equal<V: PartialEq + std::fmt::Debug>(subject: &Subject<'_>, output: &str, got: V, expected: V) {
    must(subject.equal(output, &got, &expected));
}

/// An error, or any other value, of the kind that `$pattern` says; else both are printed.
macro_rules! assert_is {
    ($what:expr, $got:expr, $pattern:pat $(if $guard:expr)?) => {
        match &$got {
            $pattern $(if $guard)? => {}
            got => panic!("{}: {got:?}, but {} is expected", $what, stringify!($pattern $(if $guard)?)),
        }
    };
}
