//! Offsets drawn at random, against rows alone.

use super::common::{Random, Subject, bits, gpu, must, same_bits};
use super::{SCHEDULE, alone, logits, of_lengths, row};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use wgpu_softmax::{CrossEntropy, Gradient, Reduction};

/// Many short rows, some of one or a few chunks, and all at multiples of one, two or four elements.
fn lengths() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![
        2 => Just(0usize),
        8 => 1..20usize,
        4 => 1..200usize,
        2 => 1000..1050usize,
        1 => 1..5000usize,
    ];
    (
        prop::collection::vec(length, 0..40),
        prop::sample::select(vec![1usize, 1, 2, 4]),
    )
        .prop_map(|(lengths, width)| lengths.into_iter().map(|length| length / width * width).collect())
}

proptest! {
    #![proptest_config(Config {
        cases: 60,
        rng_seed: RngSeed::Fixed(44),
        failure_persistence: None,
        ..Config::default()
    })]

    /// What the library chooses for them all, and one schedule for each alone.
    #[test]
    fn rows_of_any_lengths_have_the_bits_that_they_have_alone(lengths in lengths(), seed in 0..1000u64) {
        let rows = of_lengths(&lengths);
        let x: Vec<f32> = logits(&mut Random(seed), &rows);
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            reduction: Reduction::None,
            lse: true,
            ..CrossEntropy::default()
        };
        let target = |&length: &usize| if length == 0 { -100 } else { seed as i64 % length as i64 };
        let targets: Vec<i64> = lengths.iter().map(target).collect();
        let all = gpu().cross_entropy(&x, &targets, &rows, &options).unwrap();
        let (losses, lse, gradient) = (all.row_losses.unwrap(), all.lse.unwrap(), all.gradient.unwrap());
        let forced = CrossEntropy { schedule: SCHEDULE, ..options };
        for number in (0..lengths.len()).filter(|&number| lengths[number] > 0) {
            let alone = alone(lengths[number]);
            let target = &targets[number..=number];
            let expected = gpu().cross_entropy(row(&x, &rows, number), target, alone, &forced).unwrap();
            let subject = Subject::new::<f32>("a row of many", alone, &lengths);
            let [loss, lse_alone] = [expected.row_losses, expected.lse].map(|list| list.unwrap()[0]);
            must(subject.each("loss and lse", &bits(&[losses[number], lse[number]]), &bits(&[loss, lse_alone])));
            same_bits(&subject, "gradient", row(&gradient, &rows, number), &expected.gradient.unwrap());
        }
    }
}
