//! The loss of a linear layer beside Burn's matmul and losses, on the same device.
#![allow(clippy::unwrap_used)]

#[path = "linear/edges.rs"]
mod edges;

use burn::nn::loss::CrossEntropyLossConfig;
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_wgpu_softmax::wgpu_softmax::testing::{Random, Subject, must};
use burn_wgpu_softmax::wgpu_softmax::{Adjust, CrossEntropy, Normalizer, Reduction, Rows};
use burn_wgpu_softmax::{LinearCrossEntropyLoss, cross_entropy, linear_cross_entropy, linear_cross_entropy_bytes};
use std::sync::LazyLock;

static DEVICE: LazyLock<Device> = LazyLock::new(|| burn_wgpu_softmax::device().unwrap());

const ROWS: usize = 21;
const FEATURES: usize = 10;
const CLASSES: usize = 37;
/// The largest budget: all rows in one piece.
const UNLIMITED: usize = usize::MAX;

fn device() -> Device {
    DEVICE.clone().autodiff()
}

fn random<const D: usize>(shape: [usize; D], spread: f32) -> Tensor<D> {
    let seed = shape.iter().fold(5, |all, &n| all * 31 + n as u64);
    let values = Random(seed).logits(shape.iter().product(), spread);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// Classes of which every fifth is −100.
fn targets() -> Tensor<1, Int> {
    let class = |row: usize| {
        if row % 5 == 3 {
            -100
        } else {
            (row * 7919 % CLASSES) as i32
        }
    };
    let classes: Vec<i32> = (0..ROWS).map(class).collect();
    Tensor::from_data(TensorData::new(classes, [ROWS]), &device())
}

fn values<const D: usize>(x: &Tensor<D>) -> Vec<f32> {
    x.clone().cast(DType::F32).into_data().try_to_vec().unwrap()
}

/// Within `tolerance` of the largest value.
#[track_caller]
fn near(what: &str, got: &[f32], expected: &[f32], tolerance: f64) {
    let subject = Subject::new::<f32>(what.to_string(), Rows::new(1, expected.len()), &());
    must(subject.equal("how many values", &got.len(), &expected.len()));
    let finite = expected.iter().all(|x| x.is_finite());
    must(subject.equal("whether what is expected is finite", &finite, &true));
    let max = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
    let wide: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
    must(subject.within("the value", got, &wide, |_, _| tolerance * f64::from(max)));
}

/// Hidden states, weight and bias.
type Inputs = (Tensor<2>, Tensor<2>, Option<Tensor<1>>);

fn inputs(has_bias: bool) -> Inputs {
    let bias = has_bias.then(|| random([CLASSES], 1.0));
    (random([ROWS, FEATURES], 1.0), random([FEATURES, CLASSES], 1.0), bias)
}

/// A loss as a function of a layer.
type Loss<'a> = &'a dyn Fn(Inputs) -> Tensor<1>;

/// The loss, and the gradients of a sum with differing weights.
fn run(inputs: &Inputs, loss: Loss<'_>) -> Vec<(&'static str, Vec<f32>)> {
    let (hidden, weight, bias) = inputs.clone();
    let (hidden, weight) = (hidden.detach().require_grad(), weight.detach().require_grad());
    let bias = bias.map(|bias| bias.detach().require_grad());
    let y = loss((hidden.clone(), weight.clone(), bias.clone()));
    let factors: Vec<f32> = (0..y.dims()[0]).map(|i| 3.0 - (i % 7) as f32).collect();
    let gradients = (y.clone() * Tensor::<1>::from_floats(&factors[..], &device()))
        .sum()
        .backward();
    let mut all = vec![
        ("the loss", values(&y)),
        (
            "the gradient of the hidden states",
            values(&hidden.grad(&gradients).unwrap()),
        ),
        ("the gradient of the weight", values(&weight.grad(&gradients).unwrap())),
    ];
    all.extend(bias.map(|bias| ("the gradient of the bias", values(&bias.grad(&gradients).unwrap()))));
    all
}

/// From one row at a time to all at once.
fn budgets() -> [usize; 5] {
    let [fewest, most] = linear_cross_entropy_bytes(ROWS, [FEATURES, CLASSES], 4);
    [fewest, fewest + 400, 2 * fewest, most - 1, UNLIMITED]
}

#[track_caller]
fn same(what: &str, inputs: &Inputs, ours: impl Fn(Inputs, usize) -> Tensor<1>, theirs: Loss<'_>) {
    let expected = run(inputs, theirs);
    for budget in budgets() {
        let got = run(inputs, &|inputs| ours(inputs, budget));
        for ((name, got), (_, expected)) in got.iter().zip(&expected) {
            near(&format!("{name} of {what} in {budget} bytes"), got, expected, 1e-5);
        }
    }
}

fn logits((hidden, weight, bias): Inputs) -> Tensor<2> {
    let logits = hidden.matmul(weight);
    match bias {
        Some(bias) => logits + bias.unsqueeze(),
        None => logits,
    }
}

#[test]
fn options_and_budgets() {
    let weights: Vec<f32> = (0..CLASSES).map(|c| 0.5 + (c % 5) as f32).collect();
    let base = CrossEntropy::default;
    let all_options = [
        base(),
        CrossEntropy {
            label_smoothing: 0.1,
            ..base()
        },
        CrossEntropy { z_loss: 0.01, ..base() },
        CrossEntropy {
            weights: Some(weights.clone().into()),
            ..base()
        },
        CrossEntropy {
            weights: Some(weights.into()),
            label_smoothing: 0.2,
            z_loss: 0.02,
            ..base()
        },
        CrossEntropy {
            reduction: Reduction::Sum,
            ..base()
        },
        CrossEntropy {
            reduction: Reduction::None,
            z_loss: 0.01,
            ..base()
        },
        CrossEntropy {
            normalizer: Normalizer::Number(7.0),
            z_loss: 0.01,
            ..base()
        },
        CrossEntropy {
            ignore_index: 7919 % CLASSES as i64,
            reduction: Reduction::Sum,
            ..base()
        },
        CrossEntropy {
            adjust: Adjust {
                softcap: Some(3.0),
                ..Adjust::scaled(0.7)
            },
            ..base()
        },
    ];
    for options in all_options {
        for has_bias in [false, true] {
            // Every target must be a class or ignored.
            let targets = targets().clamp_min(if options.ignore_index == -100 { -100 } else { 0 });
            same(
                &format!("linear_cross_entropy with {options:?}, bias: {has_bias},"),
                &inputs(has_bias),
                |(hidden, weight, bias), budget| {
                    linear_cross_entropy(hidden, weight, bias, targets.clone(), &options, budget)
                },
                &|inputs| cross_entropy(logits(inputs), targets.clone(), 1, &options),
            );
        }
    }
}

#[test]
fn the_module_in_the_place_of_burns() {
    let weights: Vec<f32> = (0..CLASSES).map(|c| 0.5 + (c % 5) as f32).collect();
    let pads = vec![CLASSES, 7919 % CLASSES, 0];
    let targets = targets().clamp_min(0);
    for config in [
        CrossEntropyLossConfig::new(),
        CrossEntropyLossConfig::new().with_smoothing(Some(0.1)),
        CrossEntropyLossConfig::new()
            .with_weights(Some(weights))
            .with_smoothing(Some(0.2)),
        CrossEntropyLossConfig::new().with_pad_tokens(Some(pads)),
    ] {
        let theirs = config.init(&device());
        let layer = |(_, weight, bias): &Inputs| {
            let config = LinearConfig::new(FEATURES, CLASSES).with_initializer(Initializer::Zeros);
            let mut layer: Linear = config.init(&device());
            layer.weight = burn::module::Param::initialized(layer.weight.id, weight.clone());
            layer.bias = layer
                .bias
                .zip(bias.clone())
                .map(|(b, bias)| burn::module::Param::initialized(b.id, bias));
            layer
        };
        let ours = |inputs: Inputs, budget| {
            LinearCrossEntropyLoss::new(theirs.clone(), budget).forward(&layer(&inputs), inputs.0, targets.clone())
        };
        same(
            &format!("LinearCrossEntropyLoss of {config:?}"),
            &inputs(true),
            ours,
            &|inputs| theirs.forward(layer(&inputs).forward(inputs.0), targets.clone()),
        );
    }
}

#[test]
fn only_the_gradients_that_are_asked_for() {
    let (hidden, weight, bias) = inputs(true);
    let options = CrossEntropy::default();
    let [fewest, _] = linear_cross_entropy_bytes(ROWS, [FEATURES, CLASSES], 4);
    let loss = |hidden: &Tensor<2>, weight: &Tensor<2>| {
        linear_cross_entropy(
            hidden.clone(),
            weight.clone(),
            bias.clone(),
            targets(),
            &options,
            fewest,
        )
    };
    let frozen = weight.clone().detach();
    let hidden = hidden.detach().require_grad();
    let gradients = loss(&hidden, &frozen).backward();
    let alone = values(&hidden.grad(&gradients).unwrap());
    assert!(
        frozen.grad(&gradients).is_none(),
        "a weight that is not tracked has a gradient"
    );

    let weight = weight.detach().require_grad();
    let gradients = loss(&hidden, &weight).backward();
    let both = values(&hidden.grad(&gradients).unwrap());
    assert_eq!(
        alone, both,
        "the gradient of the hidden states with a frozen weight, and without"
    );

    let plain = values(&loss(&hidden.clone().inner(), &frozen.inner()));
    let tracked = values(&loss(&hidden, &weight));
    // Without gradients the chunks are larger, and the sums of them others.
    near("the loss without gradients", &plain, &tracked, 1e-6);
}

#[test]
fn sixteen_bits() {
    let options = CrossEntropy {
        label_smoothing: 0.1,
        ..CrossEntropy::default()
    };
    let wide = inputs(true);
    for dtype in [DType::F16, DType::BF16] {
        if !DEVICE.supports_dtype(dtype) {
            println!("skipped: {dtype:?}, which the adapter has not");
            continue;
        }
        let narrow: Inputs = (
            wide.0.clone().cast(dtype),
            wide.1.clone().cast(dtype),
            wide.2.clone().map(|b| b.cast(dtype)),
        );
        let rounded: Inputs = (
            narrow.0.clone().cast(DType::F32),
            narrow.1.clone().cast(DType::F32),
            narrow.2.clone().map(|b| b.cast(DType::F32)),
        );
        let expected = run(&rounded, &|inputs| {
            cross_entropy(logits(inputs), targets(), 1, &options)
        });
        let [fewest, _] = linear_cross_entropy_bytes(ROWS, [FEATURES, CLASSES], 2);
        for budget in [fewest, 4 * fewest, UNLIMITED] {
            let got = run(&narrow, &|(hidden, weight, bias)| {
                let loss = linear_cross_entropy(hidden, weight, bias, targets(), &options, budget);
                assert_eq!(loss.dtype(), DType::F32, "the type of the loss of {dtype:?}");
                loss
            });
            let tolerance = if dtype == DType::F16 { 4e-3 } else { 3e-2 };
            for ((name, got), (_, expected)) in got.iter().zip(&expected) {
                near(
                    &format!("{name} of {dtype:?} in {budget} bytes"),
                    got,
                    expected,
                    tolerance,
                );
            }
        }
    }
}
