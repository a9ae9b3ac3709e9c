//! Compares the references with values worked out by hand, and every gradient with central differences.
#![allow(clippy::unwrap_used)]

use super::adjusted::*;
use super::*;
use crate::error::EncodeError;
use crate::ops::adjust::{Adjust, Mask, Scale};
use crate::ops::row_op::FullyMasked;
use crate::ops::values::Values;
use crate::rows::Rows;
use crate::testing::{Subject, must};
use crate::{BinaryCrossEntropy, CrossEntropy, EmptyMean, Input, LogSumExp, Normalizer, Reduction, Softmax, Upstream};

mod confident;
mod loss;

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

/// Compares what a reference gives with values computed in another way.
#[track_caller]
fn close(subject: &Subject<'_>, output: &str, got: &[f64], expected: &[f64]) {
    must(subject.within(output, got, expected, |_, _| 9.9e-9));
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

/// `y`, with 0 for a masked class, so that the factor of such a class does not matter.
fn zero_where_masked(y: &[f64]) -> Vec<f64> {
    y.iter().map(|&v| if v == -INF { 0.0 } else { v }).collect()
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
                let y = |x: &[f64]| zero_where_masked(&softmax(x, rows, &options).unwrap());
                let result = softmax(&x, rows, &options).unwrap();
                let gradient = softmax_grad(&result, &g, rows, log, Some((&x, &adjust))).unwrap();
                let expected = differences(&x, |x| dot(&g, &y(x)));
                close(
                    &Subject::reference("softmax_grad", rows, &options),
                    "dx",
                    &gradient,
                    &expected,
                );

                let jacobian = softmax_jacobian(&x, rows, &options).unwrap();
                let derivatives = |row: usize, place: usize| {
                    let all = differences(&x, |x| y(x)[place]);
                    places(&rows, row).map(move |j| all[j])
                };
                let expected: Vec<f64> = (0..rows.count())
                    .flat_map(|row| {
                        places(&rows, row)
                            .flat_map(|i| derivatives(row, i))
                            .collect::<Vec<f64>>()
                    })
                    .collect();
                let subject = Subject::reference("softmax_jacobian", rows, &options);
                close(&subject, "the derivative", &jacobian, &expected);
            }
            let per_row = numbers(rows.count(), 6);
            let lse = |x: &[f64]| logsumexp(x, rows, &adjusted_lse(&adjust)).unwrap();
            let gradient = logsumexp_grad(&x, &per_row, rows, &adjusted_lse(&adjust)).unwrap();
            let expected = differences(&x, |x| dot(&per_row, &lse(x)));
            close(
                &Subject::reference("logsumexp_grad", rows, &adjust),
                "dx",
                &gradient,
                &expected,
            );
        }
    }
}

#[test]
fn infinite_logits_pass_the_softcap_and_masked_classes_keep_their_nan() {
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
    let expected = [capped(-1.0), -INF, -INF, -INF, capped(3.0), f64::NAN];
    close(&Subject::reference("adjusted", rows, &adjust), "a", &a, &expected);
    let dx = logsumexp_grad(&x, &[1.0, 1.0], rows, &adjusted_lse(&adjust)).unwrap();
    let da_dx = -(1.0 - 0.5f64.tanh().powi(2));
    let expected = [da_dx, 0.0, 0.0, f64::NAN, f64::NAN, f64::NAN];
    close(
        &Subject::reference("logsumexp_grad", rows, &adjust),
        "dx",
        &dx,
        &expected,
    );
    let adjust = Adjust {
        mask: Mask::Classes(values(&[-INF, f64::NAN, INF])),
        ..Adjust::default()
    };
    let rows = Rows::new(1, 3);
    let a = adjusted(&[INF, 0.0, 0.0], rows, &adjust).unwrap();
    close(
        &Subject::reference("adjusted", rows, &adjust),
        "a",
        &a,
        &[f64::NAN, f64::NAN, INF],
    );
}

#[test]
fn wrong_lengths_and_buffers_are_errors() {
    let rows = Rows::new(1, 2);
    let adjust = Adjust {
        bias: Some(values(&[1.0])),
        ..Adjust::default()
    };
    let wrong = EncodeError::WrongLength {
        what: "adjust.bias",
        expected: 2,
        got: 1,
    };
    let got = adjusted(&[0.0, 0.0], rows, &adjust);
    must(Subject::reference("adjusted", rows, &adjust).equal("the outcome", &got, &Err(wrong)));
    let adjust = Adjust {
        scale: Scale::PerRow(Values::Buffer),
        ..Adjust::default()
    };
    let got = adjusted(&[0.0, 0.0], rows, &adjust);
    must(Subject::reference("adjusted", rows, &adjust).equal(
        "the outcome",
        &got,
        &Err(no_buffer("Values::Buffer", "there is no buffer; use Values::Host")),
    ));
}

fn adjusted_lse(adjust: &Adjust) -> LogSumExp {
    LogSumExp {
        adjust: adjust.clone(),
        ..LogSumExp::default()
    }
}
