//! Results and gradients beside Burn's own, on the same device.
#![allow(clippy::unwrap_used)]

#[path = "against_burn/distilled.rs"]
mod distilled;
#[path = "against_burn/edges.rs"]
mod edges;
#[path = "against_burn/half.rs"]
mod half;
#[path = "against_burn/one_pass.rs"]
mod one_pass;
#[path = "against_burn/sampling.rs"]
mod sampling;
#[path = "against_burn/sinks.rs"]
mod sinks;
#[path = "against_burn/weights.rs"]
mod weights;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{DType, Device, Int, Tensor, TensorData, Tolerance, activation};
use burn_wgpu_softmax::wgpu_softmax::testing::{Random, Subject, must};
use burn_wgpu_softmax::wgpu_softmax::{Adjust, CrossEntropy, Gpu, Gradient, Reduction, Rows, Softmax, twin};
use burn_wgpu_softmax::{CrossEntropyLoss, cross_entropy, cross_entropy_soft, log_softmax, softmax, softmax_with};
use std::sync::LazyLock;

static DEVICE: LazyLock<Device> = LazyLock::new(|| burn_wgpu_softmax::device().unwrap());

/// One class, and numbers of lanes ± 1. (Over 50,257 classes Burn's own probabilities are off by 4e-4, so that there ours are
/// only compared with their twin's bits.)
const SHAPES: [[usize; 2]; 6] = [[1, 1], [5, 3], [70, 10], [9, 31], [9, 33], [20, 65]];

fn device() -> Device {
    DEVICE.clone().autodiff()
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let seed = shape.iter().fold(9, |all, &n| all * 31 + n as u64);
    let values = Random(seed).logits(shape.iter().product(), 6.0);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn targets(rows: usize, classes: usize) -> Tensor<1, Int> {
    let labels: Vec<i32> = (0..rows).map(|row| (row * 7919 % classes) as i32).collect();
    Tensor::from_data(TensorData::new(labels, [rows]), &device())
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.clone().into_data().try_to_vec().unwrap()
}

/// A tensor of two dimensions as rows; of another number, as one row of all its elements.
fn rows_of(dims: &[usize]) -> Rows {
    match dims {
        &[rows, classes] => Rows::new(rows, classes),
        _ => Rows::new(1, dims.iter().product()),
    }
}

/// Within 1e-5 of the largest value, or of `terms` where the values are differences of terms as large as that: Burn's exp is
/// the adapter's own, which on lavapipe is 4e-6 off.
#[track_caller]
fn near<const D: usize>(what: &str, got: Tensor<D>, expected: Tensor<D>, terms: f32) {
    let dims = expected.dims();
    let subject = Subject::new::<f32>(
        format!("{what} beside Burn's, in a tensor of {dims:?},"),
        rows_of(&dims),
        &(),
    );
    must(subject.equal("the shape", &got.dims(), &dims));
    let (got, expected) = (values(&got), values(&expected));
    // An infinity would make every number near.
    must(subject.equal(
        "the first value of Burn's that is not finite",
        &expected.iter().position(|x| !x.is_finite()),
        &None,
    ));
    let max = expected.iter().fold(terms, |max, x| max.max(x.abs()));
    let wide: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
    must(subject.within("the value", &got, &wide, |_, _| (1e-5 * max).into()));
}

/// The values of `ours` and `theirs`, and the gradients of their sums with random weights.
#[track_caller]
fn same<const D: usize, const E: usize>(
    what: &str,
    x: Tensor<D>,
    ours: impl Fn(Tensor<D>) -> Tensor<E>,
    theirs: impl Fn(Tensor<D>) -> Tensor<E>,
) {
    let both = [&ours as &dyn Fn(Tensor<D>) -> Tensor<E>, &theirs];
    let mut weights = None;
    let [ours, theirs] = both.map(|f| {
        let x = x.clone().detach().require_grad();
        let y = f(x.clone());
        let weights = weights.get_or_insert_with(|| random(y.dims())).clone();
        let gradients = (y.clone() * weights).sum().backward();
        (y, x.grad(&gradients).unwrap())
    });
    let sums = (theirs.1.dims()[0] / theirs.0.dims()[0]).max(1);
    near(what, ours.0, theirs.0, 0.1);
    // The gradient of a mean of so many losses has terms that are as many times smaller.
    let upstream = values(&weights.unwrap()).iter().fold(0.0f32, |max, w| max.max(w.abs()));
    near(
        &format!("the gradient of {what}"),
        ours.1,
        theirs.1,
        upstream / sums as f32,
    );
}

#[test]
fn softmax_and_its_gradient() {
    for shape in SHAPES {
        same(
            "softmax",
            random(shape),
            |x| softmax(x, 1),
            |x| activation::softmax(x, 1),
        );
        let theirs = |x| activation::log_softmax(x, 1);
        same("log_softmax", random(shape), |x| log_softmax(x, 1), theirs);
    }
}

#[test]
fn the_bits_are_those_of_wgpu_softmax() {
    for [rows, classes] in SHAPES.into_iter().chain([[4, 1025], [2, 50_257]]) {
        let x = random([rows, classes]).require_grad();
        let host = values(&x);
        let y = values(&softmax(x.clone(), 1));
        let expected: Vec<f32> = host.chunks(classes).flat_map(twin::softmax).collect();
        let batch = Rows::new(rows, classes);
        must(Subject::new::<f32>("softmax of Burn's tensor", batch, &Softmax::default()).bits("y", &y, &expected));

        let targets: Vec<u32> = (0..rows).map(|row| (row * 7919 % classes) as u32).collect();
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            ..CrossEntropy::default()
        };
        let loss = cross_entropy(x.clone(), self::targets(rows, classes), 1, &CrossEntropy::default());
        let gradient = x.grad(&loss.clone().backward()).unwrap();
        let gpu = Gpu::new().unwrap();
        let expected = gpu.cross_entropy(&host, &targets, batch, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy of Burn's tensor", batch, &options);
        must(subject.bits("loss", &values(&loss), &[expected.loss.unwrap()]));
        must(subject.bits("gradient", &values(&gradient), &expected.gradient.unwrap()));
    }
}

#[test]
fn any_dimension_and_layout() {
    for dim in 0..3 {
        let what = format!("softmax along dimension {dim}");
        same(
            &what,
            random([3, 4, 5]),
            |x| softmax(x, dim),
            |x| activation::softmax(x, dim),
        );
        let swapped = |x: Tensor<3>| x.swap_dims(0, 2).slice([1..4, 0..4, 0..2]);
        same(
            &format!("log_softmax of a part of swapped dimensions along dimension {dim}"),
            random([3, 4, 5]),
            |x| log_softmax(swapped(x), dim),
            |x| activation::log_softmax(swapped(x), dim),
        );
    }
}

#[test]
fn options_reach_the_kernel() {
    let options = Softmax {
        adjust: Adjust {
            softcap: Some(2.0),
            ..Adjust::scaled(0.5)
        },
        ..Softmax::default()
    };
    let theirs = |x: Tensor<2>| activation::softmax((x * 0.5 / 2.0).tanh() * 2.0, 1);
    same(
        "softmax with a scale and a softcap",
        random([6, 40]),
        |x| softmax_with(x, 1, &options),
        theirs,
    );
}

#[test]
fn the_loss_in_the_place_of_burns() {
    for [rows, classes] in SHAPES {
        let weights: Vec<f32> = (0..classes).map(|c| 0.5 + (c % 5) as f32).collect();
        for config in [
            CrossEntropyLossConfig::new(),
            CrossEntropyLossConfig::new().with_smoothing(Some(0.1)),
            CrossEntropyLossConfig::new().with_weights(Some(weights.clone())),
            CrossEntropyLossConfig::new()
                .with_weights(Some(weights))
                .with_smoothing(Some(0.2)),
            CrossEntropyLossConfig::new().with_pad_tokens(Some(vec![classes, 7919 % classes, 0])),
        ] {
            if rows == 1 && config.pad_tokens.is_some() {
                continue; // nothing would be left
            }
            let theirs = config.init(&device());
            let ours = CrossEntropyLoss::from(theirs.clone());
            let targets = targets(rows, classes);
            same(
                &format!("CrossEntropyLoss of {config:?}"),
                random([rows, classes]),
                |x| ours.forward(x, targets.clone()),
                |x| theirs.forward(x, targets.clone()),
            );
        }
    }
}

#[test]
fn probabilities_for_logits_are_burns_own() {
    let theirs = CrossEntropyLossConfig::new().with_logits(false).init(&device());
    let ours = CrossEntropyLoss::from(theirs.clone());
    let (targets, probs) = (targets(5, 4), activation::softmax(random([5, 4]), 1));
    near(
        "CrossEntropyLoss of probabilities",
        ours.forward(probs.clone(), targets.clone()),
        theirs.forward(probs, targets),
        0.1,
    );
}

#[test]
fn losses_of_rows_and_of_images() {
    let (rows, classes) = (2 * 5 * 6, 4);
    let image_targets = targets(rows, classes).reshape([2, 5, 6]);
    let options = CrossEntropy {
        reduction: Reduction::None,
        ..CrossEntropy::default()
    };
    same(
        "cross_entropy of images",
        random([2, classes, 5, 6]),
        |x| cross_entropy(x, image_targets.clone(), 1, &options),
        |x| {
            let logs = activation::log_softmax(x, 1);
            let index = image_targets.clone().reshape([2, 1, 5, 6]);
            logs.gather(1, index).neg().reshape([rows])
        },
    );
}

#[test]
fn targets_that_are_probabilities() {
    let soft = activation::softmax(random([7, 12]), 1);
    let options = CrossEntropy {
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    same(
        "cross_entropy_soft",
        random([7, 12]),
        |x| cross_entropy_soft(x, soft.clone(), 1, &options),
        |x| (activation::log_softmax(x, 1) * soft.clone()).sum().neg(),
    );
}

#[test]
fn between_burns_own_operations() {
    // Each of our operations reads what the one before wrote, with no wait between them.
    let (x, targets) = (random([33, 20]), targets(33, 20));
    let chain = |x: Tensor<2>, ours: bool| {
        let mut x = x;
        for _ in 0..5 {
            let y = if ours {
                softmax(x.clone(), 1)
            } else {
                activation::softmax(x.clone(), 1)
            };
            x = x * 1.5 + y.exp();
        }
        let loss = if ours {
            cross_entropy(x, targets.clone(), 1, &CrossEntropy::default())
        } else {
            CrossEntropyLossConfig::new()
                .init(&device())
                .forward(x, targets.clone())
        };
        loss * 3.0 + 1.0
    };
    same("a chain of operations", x, |x| chain(x, true), |x| chain(x, false));
}

#[test]
fn a_tensor_that_others_hold_stays_as_it_is() {
    let x = random([5, 6]).detach();
    let before = x.clone().into_data();
    let (held, y) = (x.clone(), softmax(x.clone(), 1));
    y.into_data();
    held.into_data().assert_eq(&before, true);
}

#[test]
fn tensors_from_other_threads() {
    let x = random([9, 17]).detach();
    let expected = activation::softmax(x.clone(), 1);
    let theirs: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| softmax(softmax(x.clone() * 1.0, 1).log(), 1)))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    for y in theirs {
        near(
            "softmax in another thread",
            softmax((y + 1e-30).log(), 1),
            expected.clone(),
            0.1,
        );
    }
}

#[test]
fn half_precision() {
    let x = random([8, 65]).detach();
    let y = softmax(x.clone().cast(DType::F16), 1);
    assert_eq!(y.dtype(), DType::F16, "the type of softmax of f16");
    let tolerance = Tolerance::<f32>::absolute(2e-3);
    let expected = activation::softmax(x.clone(), 1).into_data();
    y.cast(DType::F32)
        .into_data()
        .assert_approx_eq::<f32>(&expected, tolerance);

    let x = x.cast(DType::F16).require_grad();
    let targets = targets(8, 65);
    let loss = cross_entropy(x.clone(), targets.clone(), 1, &CrossEntropy::default());
    assert_eq!(loss.dtype(), DType::F32, "the type of cross_entropy of f16");
    // The loss is multiplied by 2^12, so that f16 holds small elements of the gradient: they are rounded only after that.
    let gradient = x.grad(&(loss * 4096.0).backward()).unwrap();
    assert_eq!(
        gradient.dtype(),
        DType::F16,
        "the type of the gradient of cross_entropy of f16"
    );
    let wide = x.clone().inner().cast(DType::F32);
    let wide = Tensor::<2>::from_data(wide.into_data(), &device()).require_grad();
    let theirs = CrossEntropyLossConfig::new()
        .init(&device())
        .forward(wide.clone(), targets);
    let expected = wide.grad(&(theirs * 4096.0).backward()).unwrap();
    let expected: Vec<f64> = values(&expected).iter().map(|&v| v.into()).collect();
    let subject = Subject::new::<burn_wgpu_softmax::wgpu_softmax::half::f16>(
        "cross_entropy times 4096, beside Burn's of f32",
        Rows::new(8, 65),
        &(),
    );
    let got = values(&gradient.cast(DType::F32));
    must(subject.within("gradient", &got, &expected, |_, expected| 1e-3 * expected.abs() + 0.01));
}

#[test]
fn under_gradient_checkpointing() {
    let device = device().gradient_checkpointing();
    let x = Tensor::<2>::from_data(random([6, 21]).into_data(), &device).require_grad();
    let targets = Tensor::<1, Int>::from_data(targets(6, 21).into_data(), &device);
    let before = |x: Tensor<2>| (x * 0.5).exp() + 1.0;
    let loss = cross_entropy(before(x.clone()), targets.clone(), 1, &CrossEntropy::default());
    let ours = x.grad(&loss.backward()).unwrap();
    let loss = CrossEntropyLossConfig::new()
        .init(&device)
        .forward(before(x.clone()), targets);
    let theirs = x.grad(&loss.backward()).unwrap();
    near("cross_entropy with gradient checkpointing", ours, theirs, 0.1);
}
