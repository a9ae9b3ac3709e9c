//! Empty arrays, and shapes and axes that do not fit.

use crate::common::{Subject, equal, gpu, must};
use crate::{everything, without};
use ndarray::{Array, Array1, Array2, Array3, Axis, Ix0, IxDyn, array};
use std::fmt::Debug;
use wgpu_softmax::{CrossEntropy, EncodeError, LogSumExp, Reduction, Rows, RunError, Softmax, SoftmaxGrad};

#[test]
fn arrays_of_nothing() {
    for (shape, at) in [([0, 3, 2], 1), ([2, 3, 0], 1), ([2, 0, 3], 0), ([0, 0, 4], 2)] {
        let x = Array::<f32, _>::zeros(IxDyn(&shape));
        let rows = Rows::of_shape(&shape, at as isize).unwrap();
        let y = gpu().softmax_array(&x, Axis(at), &Softmax::default()).unwrap();
        let subject = Subject::new::<f32>(format!("softmax_array of {shape:?}"), rows, &());
        equal(&subject, "the shape of y", y.shape(), &shape[..]);
        let of_rows = without(&shape, at);
        let targets = Array::<u8, _>::zeros(of_rows.clone());
        let options = everything(Reduction::None);
        let out = gpu().cross_entropy_array(&x, &targets, Axis(at), &options).unwrap();
        let subject = Subject::new::<f32>(format!("cross_entropy_array of {shape:?}"), rows, &options);
        equal(
            &subject,
            "the shape of the gradient",
            out.gradient.unwrap().shape(),
            &shape[..],
        );
        equal(
            &subject,
            "the shape of the row losses",
            out.row_losses.unwrap().shape(),
            &of_rows[..],
        );
        equal(
            &subject,
            "the shape of argmax",
            out.argmax.unwrap().shape(),
            &of_rows[..],
        );
    }
    let none = Array3::<f32>::zeros((2, 0, 3));
    let result = gpu().softmax_array(&none, Axis(1), &Softmax::default());
    fails(
        "softmax_array of [2, 0, 3] along axis 1",
        result,
        RunError::Encode(EncodeError::NoClasses),
    );
}

fn wrong(what: &'static str, expected: &[usize], got: &[usize]) -> RunError {
    let (expected, got) = (expected.to_vec(), got.to_vec());
    RunError::WrongShape { what, expected, got }
}

/// That a call gave this error.
#[track_caller]
fn fails<R: Debug>(what: &str, result: Result<R, RunError>, expected: RunError) {
    assert_eq!(result.err(), Some(expected), "the error of {what}");
}

#[test]
fn shapes_that_do_not_fit_are_errors_with_numbers() {
    let x = Array3::<f32>::zeros((2, 5, 3));
    let options = CrossEntropy::default();
    let with = |targets: Array2<u8>| gpu().cross_entropy_array(&x, &targets, Axis(1), &options);
    // The same number of elements in another shape, then other numbers of them.
    fails(
        "targets of [3, 2]",
        with(Array2::zeros((3, 2))),
        wrong("targets", &[2, 3], &[3, 2]),
    );
    fails(
        "targets of [2, 5]",
        with(Array2::zeros((2, 5))),
        wrong("targets", &[2, 3], &[2, 5]),
    );
    let error = with(Array2::zeros((2, 0))).unwrap_err();
    assert_eq!(error.to_string(), "targets: shape [2, 0], but [2, 3] is needed");

    let dynamic = x.clone().into_dyn();
    let flat = Array::<u8, _>::zeros(IxDyn(&[6]));
    let result = gpu().cross_entropy_array(&dynamic, &flat, Axis(1), &options);
    fails("targets of [6]", result, wrong("targets", &[2, 3], &[6]));

    let other = Array3::zeros((2, 3, 5));
    let result = gpu().cross_entropy_soft_array(&x, &other, Axis(1), &options);
    fails("soft targets", result, wrong("probabilities", &[2, 5, 3], &[2, 3, 5]));
    let grad = SoftmaxGrad::default();
    let result = gpu().softmax_grad_array(&x, &other, None, Axis(1), &grad);
    fails(
        "an upstream gradient",
        result,
        wrong("upstream", &[2, 5, 3], &[2, 3, 5]),
    );
    let result = gpu().softmax_grad_array(&x, &x, Some(&other), Axis(1), &grad);
    fails("logits", result, wrong("logits", &[2, 5, 3], &[2, 3, 5]));
}

#[test]
fn a_target_without_dimensions_is_that_of_one_row() {
    let one = Array1::<f32>::zeros(4);
    let target = Array::<u8, Ix0>::zeros(());
    let options = CrossEntropy::default();
    let loss = gpu()
        .cross_entropy_array(&one, &target, Axis(0), &options)
        .unwrap()
        .loss;
    let subject = Subject::new::<f32>("cross_entropy_array", Rows::new(1, 4), &options);
    must(subject.within("loss", &[loss.unwrap()], &[4f64.ln()], |_, _| 9e-7));
}

#[test]
fn axes_that_are_not_there_are_errors_with_numbers() {
    let x = Array3::<f32>::zeros((2, 5, 3));
    let no_axis = |axis, dims| RunError::Encode(EncodeError::AxisOutOfRange { axis, dims });
    let targets = Array2::<u8>::zeros((2, 3));
    let result = gpu().cross_entropy_array(&x, &targets, Axis(3), &CrossEntropy::default());
    fails("cross_entropy_array along axis 3", result, no_axis(3, 3));
    for (axis, named) in [(3, 3), (usize::MAX, isize::MAX)] {
        let result = gpu().softmax_array(&x, Axis(axis), &Softmax::default());
        fails(&format!("softmax_array along axis {axis}"), result, no_axis(named, 3));
        let result = gpu().logsumexp_array(&x, Axis(axis), &LogSumExp::default());
        fails(&format!("logsumexp_array along axis {axis}"), result, no_axis(named, 3));
    }
    let number = Array::<f32, _>::zeros(IxDyn(&[]));
    let result = gpu().softmax_array(&number, Axis(0), &Softmax::default());
    fails("softmax_array of no dimensions", result, no_axis(0, 0));
}

#[test]
fn a_bad_target_is_named_by_its_row() {
    let x = Array3::<f32>::zeros((2, 5, 3));
    let bad = array![[0u8, 1, 2], [3, 5, 4]];
    let result = gpu().cross_entropy_array(&x, &bad, Axis(1), &CrossEntropy::default());
    let expected = RunError::TargetOutOfRange {
        row: 4,
        target: 5,
        classes: 5,
        count: 1,
    };
    fails("a target of 5 in row 4", result, expected);
}
