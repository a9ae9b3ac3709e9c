//! Calls drawn at random, against the f64 reference: shapes, strides, offsets, axes, options, schedules, targets that are
//! none, and logits of any bits. Each gives what the reference gives, or an error of the kind that it must be.
//!
//! `PROPTEST_CASES` says how many (ten thousand unless said otherwise), `PROPTEST_RNG_SEED` which. A case that fails is
//! written to `tests/fuzz/regressions`, and tried first from then on.
//!
//! What takes long is a driver's compiling of kernels, so options come from a fixed list and schedules are few.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod case;
mod device;

use common::Stored;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};
use std::sync::atomic::{AtomicUsize, Ordering};
use wgpu_softmax::Dtype;

fn config() -> Config {
    Config {
        cases: 10_000,
        rng_seed: RngSeed::Fixed(5),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/fuzz/regressions"))),
        ..Config::default()
    }
}

proptest::proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_call_gives_what_the_reference_gives(case in case::cases()) {
        case.run();
        count();
    }
}

/// Says now and then how far it is: long runs are cut short.
fn count() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed) + 1;
    if run.is_multiple_of(1000) {
        println!("{run} cases");
    }
}

/// As [`common::near`], but a finite number that the type cannot hold may be infinite.
#[track_caller]
fn alike<T: Stored>(what: &str, got: &[T], exact: &[f64]) {
    let most = if T::DTYPE == Dtype::F16 {
        65_520.0
    } else {
        f64::from(f32::MAX)
    };
    assert_eq!(got.len(), exact.len(), "{what}");
    for (i, (&got, &exact)) in got.iter().zip(exact).enumerate() {
        let got: f64 = got.into();
        let (g, e) = if exact.is_finite() {
            (got.clamp(-most, most), exact.clamp(-most, most))
        } else {
            (got, exact)
        };
        let allowed = 2e-6 * e.abs().max(1.0) + T::ROUNDING.0 * e.abs() + T::ROUNDING.1;
        let same = g == e || g.is_nan() && e.is_nan();
        assert!(
            same || (g - e).abs() <= allowed,
            "{what}, element {i}: {got} for {exact}"
        );
    }
}
