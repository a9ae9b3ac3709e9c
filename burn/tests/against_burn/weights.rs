//! Weights of rows, beside Burn's operations.

use super::half::same_of_f16;
use super::*;
use burn_wgpu_softmax::wgpu_softmax::{EmptyMean, Upstream, Values};
use burn_wgpu_softmax::{WeightTensors, cross_entropy_soft_with, cross_entropy_with};

/// Every seventh weight is 0.
fn row_weights(rows: usize) -> Tensor<1> {
    let weights: Vec<f32> = (0..rows).map(|row| (row % 7) as f32 * 0.25).collect();
    Tensor::from_data(TensorData::new(weights, [rows]), &device())
}

fn of_rows(rows: usize) -> WeightTensors {
    WeightTensors::of_rows(row_weights(rows))
}

fn reduced(reduction: Reduction) -> CrossEntropy {
    CrossEntropy {
        reduction,
        ..CrossEntropy::default()
    }
}

/// Burn's losses of rows times their weights; the mean is over all weights.
fn weighted(losses: Tensor<1>, weights: Tensor<1>, reduction: Reduction) -> Tensor<1> {
    let products = losses * weights.clone();
    match reduction {
        Reduction::None => products,
        Reduction::Sum => products.sum(),
        _ => products.sum() / weights.sum(),
    }
}

fn losses(x: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    let rows = x.dims()[0];
    let logs = activation::log_softmax(x, 1);
    logs.gather(1, targets.reshape([rows, 1])).neg().reshape([rows])
}

#[test]
fn of_every_reduction() {
    for [rows, classes] in [[5, 3], [70, 10], [9, 33], [3, 1500]] {
        let targets = targets(rows, classes);
        for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
            for upstream in [Upstream::default(), Upstream::Buffer] {
                let options = CrossEntropy {
                    upstream,
                    ..reduced(reduction)
                };
                same(
                    &format!("cross_entropy_with of rows, {reduction:?},"),
                    random([rows, classes]),
                    |x| cross_entropy_with(x, targets.clone(), 1, &options, of_rows(rows)),
                    |x| weighted(losses(x, targets.clone()), row_weights(rows), reduction),
                );
            }
        }
    }
}

#[test]
fn with_weights_of_classes() {
    let (rows, classes) = (20, 12);
    let targets = targets(rows, classes);
    let of_classes = Tensor::<1, Int>::arange(0..classes as i64, &device()).float();
    let weights = WeightTensors {
        classes: Some(of_classes.clone()),
        ..of_rows(rows)
    };
    let both = row_weights(rows) * of_classes.select(0, targets.clone());
    same(
        "cross_entropy_with of classes and rows",
        random([rows, classes]),
        |x| cross_entropy_with(x, targets.clone(), 1, &CrossEntropy::default(), weights.clone()),
        |x| weighted(losses(x, targets.clone()), both.clone(), Reduction::Mean),
    );
}

#[test]
fn of_images_and_of_soft_targets() {
    let rows = 2 * 5 * 6;
    let image_targets = targets(rows, 4).reshape([2, 5, 6]);
    same(
        "cross_entropy_with of images",
        random([2, 4, 5, 6]),
        |x| cross_entropy_with(x, image_targets.clone(), 1, &CrossEntropy::default(), of_rows(rows)),
        |x| {
            let index = image_targets.clone().reshape([2, 1, 5, 6]);
            let losses = activation::log_softmax(x, 1).gather(1, index).neg().reshape([rows]);
            weighted(losses, row_weights(rows), Reduction::Mean)
        },
    );
    let soft = activation::softmax(random([2, 4, 5]), 1);
    same(
        "cross_entropy_soft_with along dimension 1",
        random([2, 4, 5]),
        |x| cross_entropy_soft_with(x, soft.clone(), 1, &CrossEntropy::default(), of_rows(10)),
        |x| {
            let losses = (activation::log_softmax(x, 1) * soft.clone())
                .sum_dim(1)
                .neg()
                .reshape([10]);
            weighted(losses, row_weights(10), Reduction::Mean)
        },
    );
}

#[test]
fn of_the_module() {
    let [rows, classes] = [30, 7];
    let weights: Vec<f32> = (0..classes).map(|c| 0.5 + (c % 5) as f32).collect();
    let config = CrossEntropyLossConfig::new().with_weights(Some(weights.clone()));
    let ours = CrossEntropyLoss::from(config.init(&device()));
    let targets = targets(rows, classes);
    let of_classes = Tensor::<1>::from_floats(&weights[..], &device()).select(0, targets.clone());
    same(
        "CrossEntropyLoss::forward_with",
        random([rows, classes]),
        |x| ours.forward_with(x, targets.clone(), row_weights(rows)),
        |x| {
            weighted(
                losses(x, targets.clone()),
                row_weights(rows) * of_classes.clone(),
                Reduction::Mean,
            )
        },
    );
}

#[test]
fn of_logits_of_16_bits() {
    let targets = targets(8, 65);
    same_of_f16(
        "cross_entropy_with of rows of f16",
        random([8, 65]),
        |x| {
            let weights = WeightTensors::of_rows(row_weights(8).cast(DType::F16));
            cross_entropy_with(x, targets.clone(), 1, &CrossEntropy::default(), weights)
        },
        |x| weighted(losses(x, targets.clone()), row_weights(8), Reduction::Mean),
        1e-3,
    );
}

#[test]
fn on_the_host_they_have_the_same_bits() {
    let targets = targets(9, 33);
    let run = |options: &CrossEntropy, weights: WeightTensors| {
        let x = random([9, 33]).require_grad();
        let loss = cross_entropy_with(x.clone(), targets.clone(), 1, options, weights);
        let gradient = x.grad(&loss.clone().backward()).unwrap();
        [values(&loss), values(&gradient)].concat()
    };
    let on_host = CrossEntropy {
        row_weights: Some(Values::from(values(&row_weights(9)))),
        ..CrossEntropy::default()
    };
    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
    let of_tensor = run(&CrossEntropy::default(), of_rows(9));
    assert_eq!(
        bits(of_tensor),
        bits(run(&on_host, WeightTensors::default())),
        "loss and gradient with weights of rows on the host"
    );
}

#[test]
fn rows_of_weight_0_take_no_part() {
    let x = Tensor::<2>::from_floats([[f32::NAN, 0.0], [0.0, 0.0]], &device()).require_grad();
    let targets = Tensor::<1, Int>::from_ints([77, 1], &device());
    let weights = Tensor::<1>::from_floats([0.0, 3.0], &device()).require_grad();
    let loss = cross_entropy_with(
        x.clone(),
        targets.clone(),
        1,
        &CrossEntropy::default(),
        WeightTensors::of_rows(weights.clone()),
    );
    let gradients = loss.clone().backward();
    assert!(
        (values(&loss)[0] - 2f32.ln()).abs() < 1e-6,
        "the mean without the row of weight 0"
    );
    assert_eq!(
        values(&x.grad(&gradients).unwrap()),
        [0.0, 0.0, 0.5, -0.5],
        "the gradient without the row of weight 0"
    );
    assert!(weights.grad(&gradients).is_none(), "weights of rows have a gradient");
    for (empty_mean, is_nan) in [(EmptyMean::Nan, true), (EmptyMean::Zero, false)] {
        let options = CrossEntropy {
            empty_mean,
            ..CrossEntropy::default()
        };
        let nothing = WeightTensors::of_rows(Tensor::zeros([2], &device()));
        let loss = values(&cross_entropy_with(x.clone(), targets.clone(), 1, &options, nothing));
        assert_eq!(loss[0].is_nan(), is_nan, "{empty_mean:?} of weights of 0: {loss:?}");
    }
}
