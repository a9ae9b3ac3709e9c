//! Mistakes that other samplers have made: ties at an edge, a share that is met exactly, one row's trouble in another.

use super::common::{Random, Subject, bits, equal, gpu, must};
use wgpu_softmax::{Allowed, LogProbs, NO_TOKEN, Rows, Sample, SampleOutput, SampleParams, half, reference};

const INF: f32 = f32::INFINITY;
const PLAIN: fn() -> SampleParams = SampleParams::default;

/// The rows' results, of which [`Few::classes`] tells what is kept.
struct Few {
    classes: usize,
    out: SampleOutput,
}

/// Parameters that need every kernel, for a last row that makes all batches run the same ones.
fn everything() -> SampleParams {
    SampleParams {
        temperature: 0.5,
        top_p: 0.9,
        min_p: 0.01,
        ..PLAIN()
    }
}

fn options(params: &[SampleParams]) -> Sample {
    Sample {
        log_probs: LogProbs::Final,
        kept: true,
        probs: true,
        ..Sample::per_row(params)
    }
}

/// Rows with up to `classes` classes; those after them are −∞, as if there were none.
fn sampled_of(classes: usize, rows: &[(Vec<f32>, SampleParams)]) -> Few {
    let mut rows = rows.to_vec();
    rows.push((vec![0.0, 1.0], everything()));
    let padded = |row: &Vec<f32>| {
        let mut row = row.clone();
        row.resize(classes, -INF);
        row
    };
    let logits: Vec<f32> = rows.iter().flat_map(|(row, _)| padded(row)).collect();
    let params: Vec<SampleParams> = rows.iter().map(|(_, params)| *params).collect();
    let shape = Rows::new(rows.len(), classes);
    let out = gpu().sample(&logits, shape, &options(&params)).unwrap();
    Few { classes, out }
}

fn sampled(rows: &[(Vec<f32>, SampleParams)]) -> Few {
    sampled_of(8, rows)
}

impl Few {
    /// The classes with a probability.
    fn classes(&self, row: usize) -> Vec<usize> {
        let probs = &self.out.probs.as_ref().unwrap()[row * self.classes..(row + 1) * self.classes];
        (0..self.classes).filter(|&c| probs[c] > 0.0).collect()
    }

    /// That these classes, and no others, are kept of a row, and that its token is one of them.
    #[track_caller]
    fn keeps(&self, row: usize, expected: &[usize]) {
        let rows = Rows::new(self.out.tokens.len(), self.classes);
        let subject = Subject::new::<f32>("sample", rows, &"see the test");
        equal(
            &subject,
            &format!("what is kept of row {row}"),
            self.classes(row),
            expected.to_vec(),
        );
        let count = self.out.kept.as_ref().unwrap()[row] as usize;
        equal(
            &subject,
            &format!("the number kept of row {row}"),
            count,
            expected.len(),
        );
        let token = self.out.tokens[row] as usize;
        assert!(
            expected.contains(&token),
            "row {row} has token {token}, but one of {expected:?} is expected"
        );
    }

    /// The words of everything about a row.
    fn words(&self, row: usize) -> Vec<u32> {
        let mut words = vec![self.out.tokens[row], self.out.kept.as_ref().unwrap()[row]];
        words.push(self.out.log_probs.as_ref().unwrap()[row].to_bits());
        words.extend(bits(
            &self.out.probs.as_ref().unwrap()[row * self.classes..(row + 1) * self.classes],
        ));
        words
    }
}

fn top_k(k: u32) -> SampleParams {
    SampleParams { top_k: k, ..PLAIN() }
}

fn top_p(p: f32) -> SampleParams {
    SampleParams { top_p: p, ..PLAIN() }
}

fn min_p(p: f32) -> SampleParams {
    SampleParams { min_p: p, ..PLAIN() }
}

#[test]
fn ties_at_the_edge_of_top_k_keep_exactly_k_and_the_smaller_classes() {
    let row = vec![1.0, 2.0, 1.0, 3.0, 1.0, 1.0];
    let rows: Vec<_> = (1..7).map(|k| (row.clone(), top_k(k))).collect();
    let few = sampled(&rows);
    let order = [3, 1, 0, 2, 4, 5];
    for k in 1..7 {
        let mut kept = order[..k].to_vec();
        kept.sort_unstable();
        few.keeps(k - 1, &kept);
    }
    // And where the equal ones are in several chunks.
    let few = sampled_of(2050, &[(vec![0.5; 2050], top_k(1500)), (vec![-0.5; 2050], top_p(0.5))]);
    few.keeps(0, &(0..1500).collect::<Vec<_>>());
    few.keeps(1, &(0..1025).collect::<Vec<_>>());
}

#[test]
fn a_share_that_is_met_exactly_needs_no_further_class() {
    let halves = vec![2f32.ln(), 0.0, 0.0];
    let quarters = vec![3.0; 4];
    let mut rows = Vec::new();
    let cases = [
        (0.0, 1, 1),
        (0.25, 1, 1),
        (0.5, 1, 2),
        (0.500_000_1, 2, 3),
        (0.75, 2, 3),
        (0.750_000_1, 3, 4),
        (1.0, 3, 4),
    ];
    for (share, ..) in cases {
        rows.push((halves.clone(), top_p(share)));
        rows.push((quarters.clone(), top_p(share)));
    }
    let few = sampled(&rows);
    for (i, (_, of_halves, of_quarters)) in cases.into_iter().enumerate() {
        few.keeps(2 * i, &(0..of_halves).collect::<Vec<_>>());
        few.keeps(2 * i + 1, &(0..of_quarters).collect::<Vec<_>>());
    }
}

#[test]
fn a_top_k_of_1_is_greedy_whatever_the_other_filters_say() {
    let row = vec![0.0, 4.0, 1.0, 4.0];
    let shares = [0.0, 0.3, 0.9, 1.0];
    let rows: Vec<_> = (shares.into_iter())
        .flat_map(|share| {
            [
                (
                    row.clone(),
                    SampleParams {
                        top_k: 1,
                        ..top_p(share)
                    },
                ),
                (
                    row.clone(),
                    SampleParams {
                        top_k: 1,
                        ..min_p(share)
                    },
                ),
            ]
        })
        .collect();
    let few = sampled(&rows);
    (0..rows.len()).for_each(|row| few.keeps(row, &[1]));
}

#[test]
fn a_min_p_of_1_keeps_all_maxima_and_never_nothing() {
    let rows = [
        (vec![1.0, 7.0, 7.0, 6.999_999], min_p(1.0)),
        (vec![-3e38, 3e38, -3e38], min_p(1.0)),
        (vec![-7.25; 5], min_p(1.0)),
        (vec![1.0, 0.0, 1.0, -0.5, 0.0], min_p(0.3)),
        (vec![1e-30, 0.0, -0.0, -1e30], min_p(1.0)),
    ];
    let few = sampled(&rows);
    few.keeps(0, &[1, 2]);
    few.keeps(1, &[1]);
    few.keeps(2, &[0, 1, 2, 3, 4]);
    few.keeps(3, &[0, 1, 2, 4]);
    // exp(-1e-30) is 1 in f32, but less than 1.
    few.keeps(4, &[0]);
}

#[test]
fn a_row_without_candidates_has_no_token_and_changes_no_other_row() {
    let good = |seed| (vec![0.3, 1.5, -2.0, 0.7], everything().at(seed, 5));
    let few = sampled(&[
        good(1),
        (vec![0.0, f32::NAN, 1.0], everything()),
        good(2),
        (vec![0.0, INF, 1.0], PLAIN()),
        good(3),
        (vec![-INF; 8], SampleParams::greedy()),
        (vec![f32::NAN; 8], SampleParams::greedy()),
        good(4),
    ]);
    let subject = Subject::new::<f32>("sample", Rows::new(9, 8), &"see the test");
    for row in [1, 3, 5, 6] {
        equal(
            &subject,
            &format!("the token of row {row}"),
            few.out.tokens[row],
            NO_TOKEN,
        );
        equal(
            &subject,
            &format!("kept of row {row}"),
            few.out.kept.as_ref().unwrap()[row],
            0,
        );
        assert!(
            few.words(row)[2..].iter().all(|&word| f32::from_bits(word).is_nan()),
            "row {row} is not NaN throughout"
        );
    }
    for (row, seed) in [(0, 1), (2, 2), (4, 3), (7, 4)] {
        let alone = sampled(&[good(seed)]);
        must(subject.each(&format!("the words of row {row}"), &few.words(row), &alone.words(0)));
    }
}

#[test]
fn a_row_that_may_have_nothing_has_no_token() {
    let params = [
        everything(),
        everything(),
        PLAIN(),
        SampleParams::greedy(),
        SampleParams::greedy(),
    ];
    let options = Sample {
        allowed: Some(Allowed::PerRow(vec![0xff, 0, 0, 0, 0x84].into())),
        ..options(&params)
    };
    let logits = [3f32, 2.0, 2.5, 0.0, -1.0, 1.0, 0.0, 2.5].repeat(5);
    let rows = Rows::new(5, 8);
    let out = gpu().sample(&logits, rows, &options).unwrap();
    let subject = Subject::new::<f32>("sample", rows, &options);
    must(subject.each("tokens", &out.tokens[1..], &[NO_TOKEN, NO_TOKEN, NO_TOKEN, 2]));
    assert!(out.tokens[0] < 8, "row 0 has token {}", out.tokens[0]);
    must(subject.each("kept", &out.kept.unwrap()[1..], &[0, 0, 0, 1]));
    let log_probs = out.log_probs.unwrap();
    assert!(
        log_probs[1..4].iter().all(|x| x.is_nan()),
        "{log_probs:?} should have three NaN"
    );
    equal(&subject, "the log-probability of a certain token", log_probs[4], 0.0);
}

#[test]
fn a_rows_seed_and_position_are_its_own() {
    let (count, mut random) = (256, Random(71));
    let row = vec![0.0; 8];
    let params: Vec<SampleParams> = (0..count).map(|_| PLAIN().at(random.bits(), random.bits())).collect();
    let of = |params: &[SampleParams]| {
        sampled(&params.iter().map(|&params| (row.clone(), params)).collect::<Vec<_>>())
            .out
            .tokens
    };
    let tokens = of(&params);
    let subject = Subject::new::<f32>("sample", Rows::new(count + 1, 8), &"see the test");
    let mut backwards = of(&params.iter().rev().copied().collect::<Vec<_>>())[..count].to_vec();
    backwards.reverse();
    must(subject.each("tokens of the rows in another order", &backwards, &tokens[..count]));
    // Each of eight classes is expected 32 times: fewer than eight, or more than 64, would be 4 standard deviations off.
    for class in 0..8 {
        let times = tokens[..count].iter().filter(|&&token| token == class).count();
        assert!((8..=64).contains(&times), "class {class} is drawn {times} times of 256");
    }
    let same = of(&vec![params[0]; 64]);
    must(subject.each("tokens of equal rows", &same[..64], &vec![tokens[0]; 64]));
    let next: Vec<u32> = of(&(0..64)
        .map(|i| params[0].at(params[0].seed(), i << 32))
        .collect::<Vec<_>>());
    assert!(
        next[..64].iter().any(|&token| token != next[0]),
        "upper words of positions make no difference"
    );
    let next: Vec<u32> = of(&(0..64).map(|i| params[0].at(i << 32, 0)).collect::<Vec<_>>());
    assert!(
        next[..64].iter().any(|&token| token != next[0]),
        "upper words of seeds make no difference"
    );
}

#[test]
fn greedy_rows_have_their_first_largest_class_among_rows_that_are_not() {
    let few = sampled(&[
        (vec![0.0, 2.0, 2.0, 1.0], SampleParams::greedy()),
        (vec![0.0; 6], top_p(0.4)),
        (vec![-0.0, 0.0], SampleParams::greedy()),
        (vec![0.0, -0.0], SampleParams::greedy()),
        (vec![-1.0, 0.0, -0.0], top_k(1)),
        (vec![-1.0, -0.0, 0.0, -0.0], top_k(2)),
        (vec![f32::MIN, -INF, f32::MIN], SampleParams::greedy()),
    ]);
    few.keeps(0, &[1]);
    few.keeps(1, &[0, 1, 2]);
    few.keeps(2, &[0]);
    few.keeps(3, &[0]);
    few.keeps(4, &[1]);
    few.keeps(5, &[1, 2]);
    few.keeps(6, &[0]);
}

#[test]
fn logits_that_a_temperature_takes_beyond_f32_are_its_largest_numbers() {
    let cold = |params: SampleParams| SampleParams {
        temperature: 1e-30,
        ..params
    };
    let few = sampled(&[
        (vec![-3e38, 2.9e38, 3e38, 0.0], cold(min_p(0.5))),
        (vec![-3e38, -2.9e38], cold(top_k(1))),
        (vec![-3e38, -2.9e38, -INF], cold(min_p(0.5))),
        (vec![3e38, 2.9e38], min_p(0.5)),
    ]);
    few.keeps(0, &[1, 2]);
    few.keeps(1, &[1]);
    few.keeps(2, &[0, 1]);
    few.keeps(3, &[0]);
}

#[test]
fn one_class_is_always_drawn() {
    let params = [everything(), SampleParams::greedy(), top_p(0.0), min_p(1.0), PLAIN()];
    let options = options(&params);
    let rows = Rows::new(5, 1);
    let out = gpu()
        .sample(&[-7f32, 3e38, -3e38, 0.0, f32::NAN], rows, &options)
        .unwrap();
    let subject = Subject::new::<f32>("sample", rows, &options);
    must(subject.each("tokens", &out.tokens, &[0, 0, 0, 0, NO_TOKEN]));
    must(subject.each("kept", &out.kept.unwrap(), &[1, 1, 1, 1, 0]));
    must(subject.each("probs", &out.probs.unwrap()[..4], &[1.0; 4]));
    must(subject.each("log_probs", &out.log_probs.unwrap()[..4], &[0.0; 4]));
}

#[test]
fn logits_of_16_bits_are_sampled_as_the_same_numbers_in_32() {
    let (rows, mut random) = (Rows::new(9, 8), Random(72));
    let x = random.logits(72, 3.0);
    let params: Vec<SampleParams> = (0..9).map(|i| everything().at(i, i)).collect();
    let options = options(&params);
    let wide = |x: &[f32]| gpu().sample(x, rows, &options).unwrap();
    let half: Vec<half::f16> = x.iter().map(|&x| half::f16::from_f32(x)).collect();
    let brain: Vec<half::bf16> = x.iter().map(|&x| half::bf16::from_f32(x)).collect();
    let of_half = wide(&half.iter().map(|x| x.to_f32()).collect::<Vec<_>>());
    let of_brain = wide(&brain.iter().map(|x| x.to_f32()).collect::<Vec<_>>());
    let subject = Subject::new::<half::f16>("sample", rows, &options);
    equal(
        &subject,
        "the output",
        gpu().sample(&half, rows, &options).unwrap(),
        of_half,
    );
    let subject = Subject::new::<half::bf16>("sample", rows, &options);
    equal(
        &subject,
        "the output",
        gpu().sample(&brain, rows, &options).unwrap(),
        of_brain,
    );
}

#[test]
fn padding_between_rows_is_no_class() {
    let (dense, padded) = (Rows::new(4, 8), Rows::new(4, 8).with_row_stride(11));
    let x = Random(73).logits(32, 2.0);
    let params: Vec<SampleParams> = (0..4).map(|i| everything().at(i, 3)).collect();
    let options = options(&params);
    let mut spread = vec![INF; padded.elements().unwrap()];
    for (row, logits) in x.chunks(8).enumerate() {
        spread[11 * row..11 * row + 8].copy_from_slice(logits);
    }
    let subject = Subject::new::<f32>("sample", padded, &options);
    let expected = gpu().sample(&x, dense, &options).unwrap();
    equal(
        &subject,
        "the output",
        gpu().sample(&spread, padded, &options).unwrap(),
        expected,
    );
    let exact = [(&x, dense), (&spread, padded)].map(|(x, rows)| reference::sample(x, rows, &options).unwrap());
    equal(&subject, "the reference", &exact[0], &exact[1]);
}
