//! Values worked out by hand, and every gradient against central differences.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::{BinaryCrossEntropy, CrossEntropy, EmptyMean, Input, Normalizer, Reduction, Softmax, Upstream};

const INF: f64 = f64::INFINITY;

/// Numbers in −2 ..= 2, always the same.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

fn values(numbers: &[f64]) -> Values {
    let numbers: Vec<f32> = numbers.iter().map(|&v| v as f32).collect();
    Values::from(numbers)
}

/// Central differences of f.
fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let h = 1e-5;
    let at = |i: usize, by: f64| {
        let mut moved = x.to_vec();
        moved[i] += by;
        f(&moved)
    };
    (0..x.len()).map(|i| (at(i, h) - at(i, -h)) / (2.0 * h)).collect()
}

fn assert_close(got: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    for (i, (a, b)) in got.iter().zip(wanted).enumerate() {
        let same = (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() < 1e-8;
        assert!(same, "{what}, element {i}: {a} is not {b}");
    }
}

fn shapes() -> [Rows; 3] {
    [
        Rows::new(4, 5),
        Rows::new(4, 5).with_row_stride(7),
        Rows::of_shape(&[2, 5, 2], 1).unwrap(),
    ]
}

fn adjusts(rows: &Rows) -> Vec<Adjust> {
    let mut full = numbers(rows.elements().unwrap(), 5);
    full[2] = -INF;
    vec![
        Adjust::default(),
        Adjust {
            scale: Scale::Number(-1.5),
            bias: Some(values(&numbers(5, 3))),
            softcap: Some(1.75),
            mask: Mask::Classes(values(&[0.5, -1.0, 0.0, -INF, 2.0])),
        },
        Adjust {
            scale: Scale::PerRow(values(&numbers(rows.count(), 4))),
            softcap: Some(3.0),
            mask: Mask::Causal { group: 2, offset: 2 },
            ..Adjust::default()
        },
        Adjust {
            mask: Mask::Full(values(&full)),
            ..Adjust::default()
        },
    ]
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| weigh(*a, *b)).sum()
}

#[test]
fn softmax_gradients_are_the_differences() {
    for rows in shapes() {
        let x = numbers(rows.elements().unwrap(), 1);
        let g = numbers(x.len(), 2);
        for adjust in adjusts(&rows) {
            for log in [false, true] {
                let options = Softmax {
                    log,
                    adjust: adjust.clone(),
                    ..Softmax::default()
                };
                let y = |x: &[f64]| softmax(x, rows, &options).unwrap();
                // What a masked class is multiplied by must not matter.
                let present = |y: &[f64]| y.iter().map(|&v| if v == -INF { 0.0 } else { v }).collect::<Vec<_>>();
                let gradient = softmax_grad(&y(&x), &g, rows, log, Some((&x, &adjust))).unwrap();
                let wanted = differences(&x, |x| dot(&g, &present(&y(x))));
                assert_close(&gradient, &wanted, &format!("log {log}, {rows:?}, {adjust:?}"));

                let jacobian = softmax_jacobian(&x, rows, &options).unwrap();
                for row in 0..rows.count() {
                    for (i, place) in places(&rows, row).enumerate() {
                        let all = differences(&x, |x| present(&y(x))[place]);
                        let wanted: Vec<f64> = places(&rows, row).map(|p| all[p]).collect();
                        let start = (row * 5 + i) * 5;
                        assert_close(&jacobian[start..start + 5], &wanted, "jacobian");
                    }
                }
            }
            let per_row = numbers(rows.count(), 6);
            let lse = |x: &[f64]| logsumexp(x, rows, &adjust, FullyMasked::Nan).unwrap();
            let gradient = logsumexp_grad(&x, &per_row, rows, &adjust, FullyMasked::Nan).unwrap();
            let wanted = differences(&x, |x| dot(&per_row, &lse(x)));
            assert_close(&gradient, &wanted, &format!("logsumexp, {rows:?}, {adjust:?}"));
        }
    }
}

fn cross_entropies(rows: &Rows) -> Vec<CrossEntropy> {
    let mut all = Vec::new();
    let weights = values(&[0.5, 2.0, 1.0, 0.0, 1.5]);
    for adjust in adjusts(rows) {
        for (weights, label_smoothing, z_loss) in [
            (None, 0.0, 0.0),
            (None, 0.25, 0.0),
            (Some(weights.clone()), 0.0, 0.125),
            (Some(weights.clone()), 0.25, 0.125),
        ] {
            for (reduction, normalizer) in [
                (Reduction::Sum, Normalizer::Rows),
                (Reduction::Mean, Normalizer::Rows),
                (Reduction::Mean, Normalizer::Number(7.0)),
            ] {
                all.push(CrossEntropy {
                    adjust: adjust.clone(),
                    weights: weights.clone(),
                    label_smoothing,
                    z_loss,
                    reduction,
                    normalizer,
                    upstream: Upstream::Number(0.75),
                    ..CrossEntropy::default()
                });
            }
        }
    }
    all
}

#[test]
fn cross_entropy_gradients_are_the_differences() {
    for rows in shapes() {
        let x = numbers(rows.elements().unwrap(), 7);
        let targets = [1, 0, -100, 2];
        let q: Vec<f64> = numbers(x.len(), 8).iter().map(|v| v.abs() / 5.0).collect();
        for options in cross_entropies(&rows) {
            let infinite = |loss: f64| loss == INF;
            let loss = |x: &[f64]| 0.75 * cross_entropy(x, &targets, rows, &options).unwrap().loss;
            let out = cross_entropy(&x, &targets, rows, &options).unwrap();
            assert_eq!(out.counted, 3);
            if !infinite(out.loss) {
                assert_close(&out.gradient, &differences(&x, loss), &format!("{rows:?}, {options:?}"));
            }
            let loss = |x: &[f64]| 0.75 * cross_entropy_soft(x, &q, rows, &options).unwrap().loss;
            let out = cross_entropy_soft(&x, &q, rows, &options).unwrap();
            if !infinite(out.loss) {
                assert_close(
                    &out.gradient,
                    &differences(&x, loss),
                    &format!("soft, {rows:?}, {options:?}"),
                );
            }
            let options = CrossEntropy {
                input: Input::LogProbs,
                z_loss: 0.0,
                ..options
            };
            let loss = |x: &[f64]| 0.75 * cross_entropy(x, &targets, rows, &options).unwrap().loss;
            let out = cross_entropy(&x, &targets, rows, &options).unwrap();
            if !infinite(out.loss) {
                assert_close(
                    &out.gradient,
                    &differences(&x, loss),
                    &format!("nll, {rows:?}, {options:?}"),
                );
            }
        }
    }
}

#[test]
fn one_upstream_gradient_a_row() {
    let rows = Rows::new(3, 4);
    let (x, g) = (numbers(12, 9), [0.5f32, -1.0, 2.0]);
    let options = CrossEntropy {
        reduction: Reduction::None,
        upstream: Upstream::PerRow(g.to_vec()),
        label_smoothing: 0.1,
        z_loss: 0.01,
        ..CrossEntropy::default()
    };
    let out = |x: &[f64]| cross_entropy(x, &[3, 2, 0], rows, &options).unwrap();
    let wanted = differences(&x, |x| dot(&out(x).row_losses, &g.map(f64::from)));
    assert_close(&out(&x).gradient, &wanted, "per row");
    assert_eq!(out(&x).loss, 0.0);
}

#[test]
fn soft_targets_of_one_class_are_that_class() {
    let rows = Rows::new(2, 3);
    let x = [0.5, -INF, 2.0, 1e6, 1e6 + 1.0, 1e6 - 3.0];
    let options = CrossEntropy {
        z_loss: 0.25,
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    let hard = cross_entropy(&x, &[2u8, 1], rows, &options).unwrap();
    let soft = cross_entropy_soft(&x, &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0], rows, &options).unwrap();
    assert_close(&soft.gradient, &hard.gradient, "gradient");
    assert_close(&soft.row_losses, &hard.row_losses, "losses");
    assert_eq!((hard.correct, soft.correct, soft.counted), (2, 0, 2));
    assert_eq!(hard.gradient[1], 0.0);
    let wanted = -(1f64 + 1f64.exp() + (-3f64).exp()).ln() + 1.0;
    assert!((hard.log_probs[1] - wanted).abs() < 1e-15);
}

#[test]
fn rows_that_are_not_ordinary() {
    let rows = Rows::new(6, 2);
    #[rustfmt::skip]
    let x = [f64::NAN, 0.0, INF, 0.0, -INF, -INF, f64::NAN, 0.0, 1.0, 2.0, -INF, 0.0];
    let targets = [0, 0, 0, -100, 5, 0];
    for (fully_masked, loss, gradient, lse) in [
        (FullyMasked::Nan, f64::NAN, [f64::NAN; 2], f64::NAN),
        (FullyMasked::Zeros, 0.0, [0.0; 2], -INF),
        (FullyMasked::Uniform, 2f64.ln(), [-0.5, 0.5], -(2f64.ln())),
    ] {
        let options = CrossEntropy {
            fully_masked,
            reduction: Reduction::None,
            ..CrossEntropy::default()
        };
        let out = cross_entropy(&x, &targets, rows, &options).unwrap();
        let nan = f64::NAN;
        assert_close(&out.row_losses, &[nan, nan, loss, 0.0, nan, INF], "losses");
        let [a, b] = gradient;
        let wanted = [nan, nan, nan, nan, a, b, 0.0, 0.0, nan, nan, -1.0, 1.0];
        assert_close(&out.gradient, &wanted, "gradient");
        let ordinary = 2.0 + (1.0 + (-1f64).exp()).ln();
        assert_close(&out.lse, &[nan, nan, lse, nan, ordinary, 0.0], "lse");
        assert_close(
            &out.row_z_losses,
            &[nan, nan, if loss.is_nan() { nan } else { 0.0 }, 0.0, nan, 0.0],
            "z",
        );
        assert_eq!((out.counted, out.correct), (4, 3));
        assert_eq!(out.log_probs[3], 0.0);
        assert!(out.log_probs[4].is_nan() && out.log_probs[5] == -INF);
    }
    let smooth = CrossEntropy {
        label_smoothing: 0.5,
        ..CrossEntropy::default()
    };
    assert_eq!(
        cross_entropy(&[-INF, 0.0], &[1], Rows::new(1, 2), &smooth)
            .unwrap()
            .loss,
        INF
    );
}

#[test]
fn a_mean_over_nothing() {
    let rows = Rows::new(1, 2);
    let mut options = CrossEntropy {
        z_loss: 1.0,
        ..CrossEntropy::default()
    };
    let out = cross_entropy(&[0.0, 1.0], &[-100], rows, &options).unwrap();
    assert!(out.loss.is_nan());
    assert_eq!(out.gradient, [0.0, 0.0]);
    options.empty_mean = EmptyMean::Zero;
    assert_eq!(cross_entropy(&[0.0, 1.0], &[-100], rows, &options).unwrap().loss, 0.0);
    options.weights = Some(values(&[0.0, 0.0]));
    let out = cross_entropy(&[0.0, 1.0], &[1], rows, &options).unwrap();
    assert_eq!((out.loss, out.gradient), (0.0, vec![0.0, 0.0]));
}

#[test]
fn infinite_logits_pass_the_softcap_and_hidden_classes_hide_no_nan() {
    let rows = Rows::new(2, 3);
    let adjust = Adjust {
        softcap: Some(2.0),
        scale: Scale::Number(-1.0),
        mask: Mask::Causal { group: 2, offset: 0 },
        ..Adjust::default()
    };
    let x = [1.0, -5.0, INF, INF, -3.0, f64::NAN];
    let a = adjusted(&x, rows, &adjust).unwrap();
    let capped = |v: f64| 2.0 * (v / 2.0).tanh();
    assert_close(&a, &[capped(-1.0), -INF, -INF, -INF, capped(3.0), f64::NAN], "values");
    let g = logsumexp_grad(&x, &[1.0, 1.0], rows, &adjust, FullyMasked::Nan).unwrap();
    let slope = -(1.0 - 0.5f64.tanh().powi(2));
    assert_close(&g, &[slope, 0.0, 0.0, f64::NAN, f64::NAN, f64::NAN], "gradient");
    let mask = Adjust {
        mask: Mask::Classes(values(&[-INF, f64::NAN, INF])),
        ..Adjust::default()
    };
    let a = adjusted(&[INF, 0.0, 0.0], Rows::new(1, 3), &mask).unwrap();
    assert!(a[0].is_nan() && a[1].is_nan() && a[2] == INF);
}

#[test]
fn wrong_lengths_and_buffers_are_errors() {
    let adjust = Adjust {
        bias: Some(values(&[1.0])),
        ..Adjust::default()
    };
    let wrong = EncodeError::WrongLength {
        what: "adjust.bias",
        expected: 2,
        got: 1,
    };
    assert_eq!(adjusted(&[0.0, 0.0], Rows::new(1, 2), &adjust), Err(wrong));
    let adjust = Adjust {
        scale: Scale::PerRow(Values::Buffer),
        ..Adjust::default()
    };
    let got = adjusted(&[0.0, 0.0], Rows::new(1, 2), &adjust);
    assert!(matches!(got, Err(EncodeError::Conflict { .. })));
}

#[test]
fn binary_gradients_are_the_differences() {
    for rows in shapes() {
        let x: Vec<f64> = numbers(rows.elements().unwrap(), 11).iter().map(|v| v * 5.0).collect();
        let t: Vec<f64> = numbers(x.len(), 12).iter().map(|v| v.abs() / 2.0).collect();
        for weight in [
            Mask::None,
            Mask::Classes(values(&numbers(5, 13))),
            Mask::Full(values(&numbers(x.len(), 14))),
        ] {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let options = BinaryCrossEntropy {
                    weight: weight.clone(),
                    pos_weight: Some(values(&[0.5, 2.0, 1.0, 0.0, 3.0])),
                    reduction,
                    upstream: Upstream::Number(-2.0),
                    ..BinaryCrossEntropy::default()
                };
                let out = |x: &[f64]| binary_cross_entropy_with_logits(x, &t, rows, &options).unwrap();
                let wanted = differences(&x, |x| -2.0 * out(x).loss);
                assert_close(&out(&x).gradient, &wanted, &format!("{rows:?}, {options:?}"));
            }
        }
    }
}

#[test]
fn binary_values_at_the_ends() {
    let options = BinaryCrossEntropy {
        reduction: Reduction::None,
        ..BinaryCrossEntropy::default()
    };
    let x = [0.0, INF, INF, -INF, -INF, f64::NAN, 0.0];
    let t = [0.5, 1.0, 0.5, 0.0, 0.5, 0.0, f64::NAN];
    let out = binary_cross_entropy_with_logits(&x, &t, Rows::new(7, 1), &options).unwrap();
    let nan = f64::NAN;
    assert_close(&out.losses, &[2f64.ln(), 0.0, INF, 0.0, INF, nan, nan], "losses");
    assert_close(&out.gradient, &[0.0, 0.0, 0.5, 0.0, -0.5, nan, nan], "gradient");
}
