//! Means over nothing, bad targets, and calls that cannot be done.

use super::*;
use burn_wgpu_softmax::wgpu_softmax::EmptyMean;

#[test]
fn means_over_nothing() {
    let (hidden, weight, _) = inputs(false);
    let hidden = hidden.detach().require_grad();
    let nothing = Tensor::<1, Int>::full([ROWS], -100, &device());
    for (empty_mean, expected) in [(EmptyMean::Nan, f32::NAN), (EmptyMean::Zero, 0.0)] {
        let options = CrossEntropy {
            empty_mean,
            ..CrossEntropy::default()
        };
        let loss = linear_cross_entropy(hidden.clone(), weight.clone(), None, nothing.clone(), &options, 20_000);
        let gradient = values(&hidden.grad(&loss.clone().backward()).unwrap());
        let loss = values(&loss)[0];
        assert_eq!(
            loss.to_bits() << 1,
            expected.to_bits() << 1,
            "{empty_mean:?}: {loss}, but {expected} is expected"
        );
        assert!(
            gradient.iter().all(|g| *g == 0.0),
            "{empty_mean:?}: the gradient of ignored rows is not 0"
        );
        let none = Tensor::<2>::zeros([0, FEATURES], &device());
        let targets = Tensor::<1, Int>::zeros([0], &device());
        let loss = values(&linear_cross_entropy(
            none,
            weight.clone(),
            None,
            targets,
            &options,
            20_000,
        ))[0];
        assert_eq!(
            loss.to_bits() << 1,
            expected.to_bits() << 1,
            "{empty_mean:?} of no rows: {loss}"
        );
    }
}

#[test]
fn a_bad_target_is_nan_in_its_own_row() {
    let (hidden, weight, _) = inputs(false);
    let hidden = hidden.detach().require_grad();
    let mut classes = vec![1i32; ROWS];
    classes[4] = CLASSES as i32;
    let targets = Tensor::<1, Int>::from_data(TensorData::new(classes, [ROWS]), &device());
    let loss = linear_cross_entropy(hidden.clone(), weight, None, targets, &CrossEntropy::default(), 20_000);
    let gradient = values(&hidden.grad(&loss.clone().backward()).unwrap());
    assert!(
        values(&loss)[0].is_nan(),
        "the mean with a target that is no class is a number"
    );
    let is_nan: Vec<bool> = gradient
        .chunks(FEATURES)
        .map(|row| row.iter().all(|g| g.is_nan()))
        .collect();
    let expected: Vec<bool> = (0..ROWS).map(|row| row == 4).collect();
    assert_eq!(is_nan, expected, "rows whose gradient is NaN");
}

/// The message of a panic.
fn message(f: impl FnOnce() -> Tensor<1> + std::panic::UnwindSafe) -> String {
    let panic = std::panic::catch_unwind(|| drop(f())).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.or(panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

#[test]
fn what_cannot_be_done_says_why() {
    let options = CrossEntropy::default();
    let call = |hidden: [usize; 2], weight: [usize; 2], bias: usize, budget: usize, options: CrossEntropy| {
        message(move || {
            let zeros = |shape| Tensor::<2>::zeros(shape, &device());
            let bias = Tensor::<1>::zeros([bias], &device());
            linear_cross_entropy(zeros(hidden), zeros(weight), Some(bias), targets(), &options, budget)
        })
    };
    let [fewest, _] = linear_cross_entropy_bytes(ROWS, [FEATURES, CLASSES], 4);
    let (hidden, weight) = ([ROWS, FEATURES], [FEATURES, CLASSES]);
    let of_a_buffer = CrossEntropy {
        reduction: Reduction::Sum,
        normalizer: Normalizer::Buffer,
        ..options.clone()
    };
    let of_rows = CrossEntropy {
        row_weights: Some(vec![1.0; ROWS].into()),
        ..options.clone()
    };
    for (message, part) in [
        (
            call(hidden, [11, 37], 37, UNLIMITED, options.clone()),
            "[21, 10] need a weight of [10, classes], not [11, 37]",
        ),
        (
            call([20, 10], weight, 37, UNLIMITED, options.clone()),
            "need targets of [20], not [21]",
        ),
        (
            call(hidden, weight, 36, UNLIMITED, options.clone()),
            "needs a bias of [37] of that type, not [36]",
        ),
        (
            call(hidden, weight, 37, fewest - 1, options),
            &format!("a budget of {} bytes", fewest - 1),
        ),
        (call(hidden, weight, 37, UNLIMITED, of_a_buffer), "normalizer: Buffer"),
        (call(hidden, weight, 37, UNLIMITED, of_rows), "cannot have row_weights"),
    ] {
        assert!(message.contains(part), "«{message}», but «{part}» is expected in it");
    }
}
