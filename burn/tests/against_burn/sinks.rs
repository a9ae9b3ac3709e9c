//! Softmax with sinks, beside Burn's softmax of one more class.

use super::half::same_of_f16;
use super::*;
use burn_wgpu_softmax::softmax_with_sink;
use burn_wgpu_softmax::wgpu_softmax::Sink;

fn log(log: bool) -> Softmax {
    Softmax {
        log,
        ..Softmax::default()
    }
}

/// Burn's softmax, or log-softmax, with the sinks as one more class that is cut off.
fn theirs<const D: usize>(x: Tensor<D>, sinks: Tensor<1>, dim: usize, log: bool) -> Tensor<D> {
    let (classes, mut one) = (x.dims()[dim], x.dims());
    one[dim] = 1;
    let all = Tensor::cat(vec![x, sinks.reshape(one)], dim);
    let all = match log {
        true => activation::log_softmax(all, dim),
        false => activation::softmax(all, dim),
    };
    all.narrow(dim, 0, classes)
}

#[test]
fn gradients_of_logits_and_of_sinks() {
    for [rows, classes] in SHAPES.into_iter().chain([[3, 1500]]) {
        let (x, sinks) = (random([rows, classes]), random([rows]));
        for is_log in [false, true] {
            let options = log(is_log);
            let what = format!("softmax_with_sink with log: {is_log}");
            same(
                &what,
                x.clone(),
                |x| softmax_with_sink(x, sinks.clone(), 1, &options),
                |x| theirs(x, sinks.clone(), 1, is_log),
            );
            same(
                &format!("{what}, by its sinks,"),
                sinks.clone(),
                |s| softmax_with_sink(x.clone(), s, 1, &options),
                |s| theirs(x.clone(), s, 1, is_log),
            );
        }
    }
}

#[test]
fn along_any_dimension_and_of_any_layout() {
    for (dim, rows) in [(0, 20), (1, 15), (2, 12)] {
        let (x, sinks) = (random([3, 4, 5]), random([2 * rows]));
        // Every other sink.
        let every_other = |s: Tensor<1>| s.reshape([rows, 2]).narrow(1, 1, 1).reshape([rows]);
        let swapped = |x: Tensor<3>| x.swap_dims(0, 2).swap_dims(0, 2) * 1.0;
        same(
            &format!("softmax_with_sink along dimension {dim}"),
            x.clone(),
            |x| softmax_with_sink(swapped(x), every_other(sinks.clone()), dim, &log(true)),
            |x| theirs(x, every_other(sinks.clone()), dim, true),
        );
        same(
            &format!("softmax_with_sink along dimension {dim}, by its sinks,"),
            sinks.clone(),
            |s| softmax_with_sink(x.clone(), every_other(s), dim, &log(false)),
            |s| theirs(x.clone(), every_other(s), dim, false),
        );
    }
}

#[test]
fn a_sink_for_each_head_of_attention() {
    // Both gradients of one backward pass; the gradient of a head's sink is the sum over its rows.
    let run = |is_ours: bool| {
        let scores = random([2, 3, 7, 9]).detach().require_grad();
        let sinks = random([3]).detach().require_grad();
        let of_rows = sinks.clone().reshape([1, 3, 1]).expand([2, 3, 7]).reshape([2 * 3 * 7]);
        let x = scores.clone() * 0.5;
        let y = match is_ours {
            true => softmax_with_sink(x, of_rows, 3, &log(false)),
            false => theirs(x, of_rows, 3, false),
        };
        let gradients = (y * random([2, 3, 7, 9])).sum().backward();
        (scores.grad(&gradients).unwrap(), sinks.grad(&gradients).unwrap())
    };
    let (ours, theirs) = (run(true), run(false));
    near("the gradient of scores with sinks", ours.0, theirs.0, 6.0);
    near("the gradient of sinks of heads", ours.1, theirs.1, 6.0);
}

#[test]
fn scale_and_softcap_leave_the_sink_alone() {
    let options = Softmax {
        adjust: Adjust {
            softcap: Some(2.0),
            ..Adjust::scaled(0.5)
        },
        ..Softmax::default()
    };
    let (x, sinks) = (random([6, 40]), random([6]));
    let capped = |x: Tensor<2>| (x * 0.5 / 2.0).tanh() * 2.0;
    same(
        "softmax_with_sink with a scale and a softcap",
        x.clone(),
        |x| softmax_with_sink(x, sinks.clone(), 1, &options),
        |x| theirs(capped(x), sinks.clone(), 1, false),
    );
    same(
        "softmax_with_sink with a scale and a softcap, by its sinks,",
        sinks.clone(),
        |s| softmax_with_sink(x.clone().require_grad(), s, 1, &options),
        |s| theirs(capped(x.clone()), s, 1, false),
    );
}

#[test]
fn a_sink_that_is_a_number() {
    for is_log in [false, true] {
        let options = Softmax {
            sink: Some(Sink::Number(1.5)),
            lse: true, // ignored
            ..log(is_log)
        };
        let sinks = Tensor::full([9], 1.5, &device());
        same(
            "softmax_with with a number as sink",
            random([9, 33]),
            |x| softmax_with(x, 1, &options),
            |x| theirs(x, sinks.clone(), 1, is_log),
        );
    }
}

#[test]
fn sinks_of_logits_of_16_bits() {
    let (x, sinks) = (random([8, 65]), random([8]));
    for is_log in [false, true] {
        let options = log(is_log);
        // A sink's gradient is f32, of a result that was rounded to f16; sinks of f16 get theirs in f16.
        let wide = x.clone().cast(DType::F16).cast(DType::F32);
        same_of_f16(
            "softmax_with_sink of f16",
            x.clone(),
            |x| softmax_with_sink(x, sinks.clone(), 1, &options),
            |x| theirs(x, sinks.clone(), 1, is_log),
            3e-3,
        );
        same_of_f16(
            "softmax_with_sink of f16, by its sinks,",
            sinks.clone(),
            |s| softmax_with_sink(x.clone().cast(DType::F16), s, 1, &options),
            |s| theirs(wide.clone(), s, 1, is_log),
            3e-3,
        );
    }
}

#[test]
fn a_result_in_the_logits_memory_is_the_same() {
    let (x, sinks) = (random([9, 33]).inner(), random([9]).inner());
    let apart = softmax_with_sink(x.clone(), sinks.clone(), 1, &log(false));
    let in_place = softmax_with_sink(x * 1.0, sinks, 1, &log(false));
    in_place.into_data().assert_eq(&apart.into_data(), true);
}

#[test]
fn special_sinks_and_rows() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let x = Tensor::<2>::from_floats([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [-inf, -inf]], &device());
    let sinks = Tensor::<1>::from_floats([-inf, inf, nan, 0.0], &device()).require_grad();
    let x = x.require_grad();
    let y = softmax_with_sink(x.clone(), sinks.clone(), 1, &log(false));
    let gradients = (y.clone() * Tensor::from_floats([[1.0, 2.0]], &device()))
        .sum()
        .backward();
    let (y, gradient) = (values(&y), values(&x.grad(&gradients).unwrap()));
    assert!((y[0] + y[1] - 1.0).abs() < 1e-6, "with a sink of -inf: {y:?}");
    assert!(y[2..6].iter().all(|y| y.is_nan()), "with sinks of +inf and NaN: {y:?}");
    assert_eq!(y[6..], [0.0, 0.0], "a row of -inf alone with a sink");
    assert_eq!(
        gradient[6..],
        [0.0, 0.0],
        "the gradient of a row of -inf alone with a sink"
    );
    let of_sinks = values(&sinks.grad(&gradients).unwrap());
    assert_eq!(of_sinks[0], 0.0, "the gradient of a sink of -inf");
    assert!(
        of_sinks[1..3].iter().all(|g| g.is_nan()),
        "the gradients of sinks of +inf and NaN: {of_sinks:?}"
    );
    assert_eq!(of_sinks[3], 0.0, "the gradient of the sink of a row of -inf alone");

    let none = softmax_with_sink(
        Tensor::<2>::zeros([0, 5], &device()),
        Tensor::zeros([0], &device()),
        1,
        &log(false),
    );
    assert_eq!(none.dims(), [0, 5], "the shape of softmax_with_sink of [0, 5]");
}
