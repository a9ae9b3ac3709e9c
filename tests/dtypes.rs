//! f16 and bf16: every one of them is read exactly, and results are rounded to the nearest.
#![allow(clippy::unwrap_used)]

mod common;

use common::{GPUS, Stored};
use half::{bf16, f16};
use wgpu_softmax::{CrossEntropy, Gradient, Input, LogSumExp, Reduction, Rows, Upstream};

/// The logsumexp of one class is that class.
fn every_value_is_read_exactly<T: Stored>(from_bits: fn(u16) -> T) {
    let x: Vec<T> = (0..=u16::MAX).map(from_bits).collect();
    for gpu in GPUS.iter() {
        let lse = gpu.logsumexp(&x, Rows::new(x.len(), 1), &LogSumExp::default()).unwrap();
        for (&x, lse) in x.iter().zip(lse) {
            let x: f64 = x.into();
            // A row with +inf in it has no lse, nor by default has one of -inf alone.
            let expected = if x.is_infinite() { f64::NAN } else { x };
            let lse = f64::from(lse);
            assert!(lse == expected || lse.is_nan() && expected.is_nan(), "{lse} for {x}");
        }
    }
}

/// The gradient of the negative log-likelihood of one class is -1 times the upstream gradient: each number there is, what
/// lies half-way to the next, and the f32 to either side of that.
fn every_value_is_written_as_the_nearest<T: Stored>(from_bits: fn(u16) -> T) {
    let finite = |bits: u16| -> f64 { from_bits(bits).into() };
    let mut upstream = vec![f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE];
    for bits in (0..0x7fffu16).take_while(|&bits| finite(bits + 1).is_finite()) {
        let middle = ((finite(bits) + finite(bits + 1)) / 2.0) as f32;
        upstream.extend([finite(bits) as f32, middle.next_down(), middle, middle.next_up()]);
    }
    // An adapter may take what is smaller for 0.
    upstream.retain(|v| !v.is_subnormal());
    let rows = Rows::new(upstream.len(), 1);
    let options = CrossEntropy {
        input: Input::LogProbs,
        reduction: Reduction::None,
        gradient: Gradient::Apart,
        upstream: Upstream::PerRow(upstream.clone()),
        ..CrossEntropy::default()
    };
    let x = vec![T::nearest(0.0); upstream.len()];
    for gpu in GPUS.iter() {
        let out = gpu.cross_entropy(&x, &vec![0u32; x.len()], rows, &options).unwrap();
        for (&upstream, got) in upstream.iter().zip(out.gradient.unwrap()) {
            let (got, expected): (f64, f64) = (got.into(), T::nearest(-upstream).into());
            assert!(
                got == expected || got.is_nan() && expected.is_nan(),
                "{got} for -{upstream}"
            );
        }
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
