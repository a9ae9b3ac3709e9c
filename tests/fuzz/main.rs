//! Calls drawn at random, against the f64 reference: shapes, strides, offsets, axes, options, schedules, targets out of
//! range, and logits of any bits. Each gives what the reference gives, or an error of the kind expected.
//!
//! `PROPTEST_CASES` says how many (by default ten thousand), and `PROPTEST_RNG_SEED` which. A case that fails is written to
//! `tests/fuzz/regressions`, and tried first from then on.
//!
//! Drivers take long to compile kernels, so options come from a fixed list and schedules are few.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod case;
mod device;

use common::{Stored, Subject, allowed, must};
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

/// Prints now and then how many cases have run, as a long run may be stopped.
fn count() {
    static RUN: AtomicUsize = AtomicUsize::new(0);
    let run = RUN.fetch_add(1, Ordering::Relaxed) + 1;
    if run.is_multiple_of(1000) {
        println!("{run} cases");
    }
}

/// As [`common::near`], but a finite number that the type cannot hold may be infinite.
#[track_caller]
fn alike<T: Stored>(subject: &Subject<'_>, output: &str, got: &[T], exact: &[f64]) {
    let max = if T::DTYPE == Dtype::F16 {
        65_520.0
    } else {
        f64::from(f32::MAX)
    };
    let is_finite = |i: usize| exact.get(i).is_some_and(|v| v.is_finite());
    let clamped = |(i, v): (usize, f64)| if is_finite(i) { v.clamp(-max, max) } else { v };
    let got: Vec<f64> = got.iter().map(|&v| v.into()).enumerate().map(clamped).collect();
    let exact: Vec<f64> = exact.iter().copied().enumerate().map(clamped).collect();
    must(subject.within(output, &got, &exact, |_, exact| allowed::<T>(exact)));
}
