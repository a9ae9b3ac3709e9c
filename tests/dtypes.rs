//! f16 and bf16: each of their numbers is read exactly, and results are rounded to the nearest.
#![allow(clippy::unwrap_used)]

mod common;

use common::{GPUS, Stored, Subject, must, on};
use half::{bf16, f16};
use wgpu_softmax::{CrossEntropy, Gradient, Input, LogSumExp, Reduction, Rows, Upstream};

/// The logsumexp of one class is that class.
fn every_value_is_read_exactly<T: Stored>(from_bits: fn(u16) -> T) {
    let x: Vec<T> = (0..=u16::MAX).map(from_bits).collect();
    let (rows, options) = (Rows::new(x.len(), 1), LogSumExp::default());
    // A row with +inf has no lse, nor by default has a row of only -inf.
    let expected = |x: &T| -> f64 { Some((*x).into()).filter(|x: &f64| !x.is_infinite()).unwrap_or(f64::NAN) };
    let expected: Vec<f64> = x.iter().map(expected).collect();
    for gpu in GPUS.iter() {
        let lse = gpu.logsumexp(&x, rows, &options).unwrap();
        let subject = Subject::new::<T>(on("logsumexp", gpu), rows, &options);
        // As numbers: the lse of -0 is -0 + ln 1, which is +0.
        must(subject.within("lse", &lse, &expected, |_, _| 0.0));
    }
}

/// The gradient of the negative log-likelihood of one class is -1 times the upstream gradient: each number of the type, the
/// middle between it and the next, and the f32 to either side of that middle.
fn every_value_is_written_as_the_nearest<T: Stored>(from_bits: fn(u16) -> T) {
    let finite = |bits: u16| -> f64 { from_bits(bits).into() };
    let mut upstream = vec![f32::INFINITY, f32::MAX, f32::MIN_POSITIVE];
    for bits in (0..0x7fffu16).take_while(|&bits| finite(bits + 1).is_finite()) {
        let middle = ((finite(bits) + finite(bits + 1)) / 2.0) as f32;
        upstream.extend([finite(bits) as f32, middle.next_down(), middle, middle.next_up()]);
    }
    // An adapter may take what is smaller for 0.
    upstream.retain(|v| !v.is_subnormal());
    let nan = upstream.len();
    upstream.push(f32::NAN);
    let rows = Rows::new(upstream.len(), 1);
    let options = CrossEntropy {
        input: Input::LogProbs,
        reduction: Reduction::None,
        gradient: Gradient::Apart,
        upstream: Upstream::PerRow(upstream.clone()),
        ..CrossEntropy::default()
    };
    let x = vec![T::nearest(0.0); upstream.len()];
    let expected: Vec<T> = upstream.iter().map(|&v| T::nearest(-v)).collect();
    for gpu in GPUS.iter() {
        let out = gpu.cross_entropy(&x, &vec![0u32; x.len()], rows, &options).unwrap();
        let got = out.gradient.unwrap();
        let subject = Subject::new::<T>(on("nll_loss", gpu), rows, &options);
        must(subject.bits("gradient", &got[..nan], &expected[..nan]));
        must(subject.within("gradient of NaN", &got[nan..], &[f64::NAN], |_, _| 0.0));
    }
}

#[test]
fn every_f16_is_read_exactly() {
    every_value_is_read_exactly(f16::from_bits);
}

#[test]
fn every_bf16_is_read_exactly() {
    every_value_is_read_exactly(bf16::from_bits);
}

#[test]
fn f16_results_are_the_nearest() {
    every_value_is_written_as_the_nearest(f16::from_bits);
}

#[test]
fn bf16_results_are_the_nearest() {
    every_value_is_written_as_the_nearest(bf16::from_bits);
}
