//! Empty batches, bad targets, and calls that cannot be done.

use super::*;
use burn_wgpu_softmax::{WeightTensors, cross_entropy_with, distillation, softmax_with_sink};

/// A message in which `part` is expected.
#[track_caller]
fn says(what: &str, message: &str, part: &str) {
    assert!(
        message.contains(part),
        "{what}: «{message}», but «{part}» is expected in it"
    );
}

#[test]
fn batches_of_nothing() {
    let x = Tensor::<2>::zeros([0, 5], &device());
    assert_eq!(softmax(x.clone(), 1).dims(), [0, 5], "the shape of softmax of [0, 5]");
    let none = Tensor::<1, Int>::zeros([0], &device());
    let loss = cross_entropy(x, none, 1, &CrossEntropy::default());
    let loss = values(&loss);
    assert!(
        loss[0].is_nan(),
        "the mean loss of [0, 5] is {loss:?}, but NaN is expected"
    );
}

/// The message of a panic.
fn message(f: Box<dyn FnOnce() + std::panic::UnwindSafe>) -> String {
    let panic = std::panic::catch_unwind(f).unwrap_err();
    let text = panic.downcast_ref::<String>().cloned();
    text.or(panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap()
}

#[test]
fn what_cannot_be_done_says_why() {
    let dim = message(Box::new(|| drop(softmax(random([2, 3]), 2))));
    assert_eq!(
        dim, "dimension 2 of a tensor of 2",
        "the message of softmax along dimension 2"
    );
    let shapes = message(Box::new(|| {
        drop(cross_entropy(
            random([2, 3]),
            targets(3, 3),
            1,
            &CrossEntropy::default(),
        ));
    }));
    says("3 targets for 2 rows", &shapes, "need targets of [2], not [3]");
    let loss = message(Box::new(|| {
        let loss = CrossEntropyLoss::from(CrossEntropyLossConfig::new().init(&device()));
        drop(loss.forward(random([2, 3]), targets(3, 3)));
    }));
    says(
        "3 targets for 2 rows of a module",
        &loss,
        "logits of 2 rows need a target for each",
    );
    let dtype = message(Box::new(|| drop(softmax(random([2, 3]).cast(DType::F64), 1))));
    says("softmax of f64", &dtype, "f32, f16 or bf16, not F64");
    let everything = CrossEntropy {
        lse: true,
        argmax: true,
        entropy: true,
        ..CrossEntropy::default()
    };
    let loss = values(&cross_entropy(random([2, 3]), targets(2, 3), 1, &everything));
    assert!(
        loss[0].is_finite(),
        "the loss of [2, 3] with every output is {loss:?}, but a number is expected"
    );
}

#[test]
fn numbers_of_rows_and_teachers_that_do_not_fit_say_why() {
    let sinks = message(Box::new(|| {
        let sinks = Tensor::zeros([3], &device());
        drop(softmax_with_sink(random([2, 3]), sinks, 1, &Softmax::default()));
    }));
    says(
        "3 sinks for 2 rows",
        &sinks,
        "have 2 rows, which need a sink each, not 3",
    );
    let weights = message(Box::new(|| {
        let weights = WeightTensors::of_rows(Tensor::zeros([3], &device()));
        drop(cross_entropy_with(
            random([2, 3]),
            targets(2, 3),
            1,
            &CrossEntropy::default(),
            weights,
        ));
    }));
    says(
        "3 weights for 2 rows",
        &weights,
        "have 2 rows, which need a weight each, not 3",
    );
    let teacher = message(Box::new(|| {
        drop(distillation(
            random([2, 3]),
            random([3, 2]),
            1,
            &CrossEntropy::default(),
            None,
        ));
    }));
    says(
        "a teacher of another shape",
        &teacher,
        "student and teacher have logits of one shape",
    );
}

#[test]
fn a_target_of_64_bits_is_no_other_class() {
    let x = random([3, 4]).detach();
    let options = CrossEntropy {
        reduction: Reduction::None,
        ..CrossEntropy::default()
    };
    let targets = TensorData::new(vec![1i64, (1 << 32) + 1, -100], [3]);
    let targets = Tensor::<1, Int>::from_data(targets, (&device(), DType::I64));
    let loss = values(&cross_entropy(x, targets, 1, &options));
    let is_right = loss[0].is_finite() && loss[1].is_nan() && loss[2] == 0.0;
    assert!(
        is_right,
        "losses of classes 1, 2^32 + 1 and -100: {loss:?}, but a number, NaN and 0 are expected"
    );
}

#[test]
fn no_target_no_gradient_from_a_bad_one() {
    let x = random([3, 4]).require_grad();
    let targets = Tensor::<1, Int>::from_ints([1, 9, 2], &device());
    let options = CrossEntropy {
        reduction: Reduction::None,
        ..CrossEntropy::default()
    };
    let loss = cross_entropy(x.clone(), targets, 1, &options);
    let gradient = x.grad(&loss.clone().sum().backward()).unwrap();
    let loss = values(&loss);
    let is_right = loss[0].is_finite() && loss[1].is_nan() && loss[2].is_finite();
    assert!(
        is_right,
        "losses of classes 1, 9 and 2 of 4: {loss:?}, but a number, NaN and a number are expected"
    );
    let gradient = values(&gradient);
    let is_nan: Vec<bool> = gradient.iter().map(|g| g.is_nan()).collect();
    let expected: Vec<bool> = (0..12).map(|i| (4..8).contains(&i)).collect();
    let subject = Subject::new::<f32>("cross_entropy of classes 1, 9 and 2", Rows::new(3, 4), &options);
    must(subject.each("whether the gradient is NaN", &is_nan, &expected));
}
