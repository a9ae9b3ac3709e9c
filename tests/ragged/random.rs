//! Offsets drawn at random, against rows alone.

use super::common::{Random, Subject, gpu, same_bits};
use super::{SCHEDULE, alone, logits, of_lengths, row};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use wgpu_softmax::Softmax;

/// Many short rows, some of about a chunk, and all at multiples of one, two or four elements.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        2 => Just(0usize),
        8 => 1..20usize,
        4 => 1..200usize,
        2 => 900..1050usize,
    ];
    let width = prop::sample::select(vec![1usize, 1, 2, 4]);
    (prop::collection::vec(length, 0..40), width)
        .prop_map(|(lengths, width)| lengths.into_iter().map(|length| length / width * width).collect())
}

proptest! {
    #![proptest_config(Config {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60),
        rng_seed: RngSeed::Fixed(44),
        failure_persistence: None,
        ..Config::default()
    })]

    /// What the library chooses for them all, and one schedule for each alone.
    #[test]
    fn rows_of_any_lengths_have_the_bits_that_they_have_alone(lengths in lengths(), seed in 0..1000u64) {
        let rows = of_lengths(&lengths);
        let x: Vec<f32> = logits(&mut Random(seed), &rows);
        let of = |schedule| Softmax { schedule, ..Softmax::default() };
        let y = gpu().softmax(&x, &rows, &of(None)).unwrap();
        for number in (0..lengths.len()).filter(|&number| lengths[number] > 0) {
            let alone = alone(lengths[number]);
            let expected = gpu().softmax(row(&x, &rows, number), alone, &of(SCHEDULE)).unwrap();
            let subject = Subject::new::<f32>("a row of many", alone, &lengths);
            same_bits(&subject, "y", row(&y, &rows, number), &expected);
        }
    }
}
