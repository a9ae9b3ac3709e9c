//! Calls drawn at random, against the f64 reference: shapes, strides, offsets, axes, options, schedules, targets out of
//! range, and logits of any bits. Each gives what the reference gives, or an error of the kind expected.
//!
//! `PROPTEST_CASES` says how many (by default ten thousand), and `PROPTEST_RNG_SEED` which. With `FUZZ_SHARES` of several adapters, each
//! has its share of the ten thousand, of its own seed: `cargo xtask test` tries them all once. A case that fails is written to
//! `tests/fuzz/regressions`, and tried first from then on.
//!
//! Drivers take long to compile kernels, so options come from a fixed list and schedules are few.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

mod asked;
mod calls;
mod case;
mod device;

use common::alike;
use proptest::test_runner::{Config, FileFailurePersistence, RngSeed};
use std::sync::atomic::{AtomicUsize, Ordering};

fn config() -> Config {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let shares = number("FUZZ_SHARES").unwrap_or(1).max(1);
    Config {
        cases: 10_000_u32.div_ceil(shares),
        rng_seed: RngSeed::Fixed(5 + u64::from(number("FUZZ_SHARE").unwrap_or(0))),
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
