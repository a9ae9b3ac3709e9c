//! The calls on arrays of `ndarray` against those on slices: the same bits, of any layout, along any axis.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "arrays/shapes.rs"]
mod shapes;

use common::{Random, Stored, Subject, equal, gpu, must, same_bits, stored};
use ndarray::{Array, Array1, Array2, Array3, ArrayD, ArrayRef, Axis, Dimension, IxDyn, ShapeBuilder, array, s};
use wgpu_softmax::half::{bf16, f16};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyArrays, CrossEntropyOutput, Element, Gradient, LogSumExp, Mask, Reduction, Rows,
    Softmax, SoftmaxGrad, Values,
};

fn logits<T: Stored>(shape: &[usize]) -> ArrayD<T> {
    let count = shape.iter().product();
    Array::from_shape_vec(shape, stored(&Random(21).logits(count, 3.0))).unwrap()
}

/// The elements in C order, as a slice's caller would have them.
fn flat<T: Copy, D: Dimension>(array: &ArrayRef<T, D>) -> Vec<T> {
    array.iter().copied().collect()
}

/// Every output of class indices.
fn everything(reduction: Reduction) -> CrossEntropy {
    CrossEntropy {
        reduction,
        gradient: Gradient::Apart,
        z_loss: 0.125,
        row_z_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    }
}

/// An array of the shape expected, in C order with the bits expected.
#[track_caller]
fn same<T: Element, D: Dimension>(
    subject: &Subject<'_>,
    output: &str,
    got: &ArrayRef<T, D>,
    expected: &[T],
    shape: &[usize],
) {
    equal(subject, &format!("the shape of {output}"), got.shape(), shape);
    same_bits(subject, output, got.as_slice().unwrap(), expected);
}

/// Every output has its shape, and the bits of the call on slices.
#[track_caller]
fn same_output<T: Element>(
    subject: &Subject<'_>,
    got: CrossEntropyArrays<T, IxDyn>,
    expected: &CrossEntropyOutput<T>,
    shape: &[usize],
    axis: usize,
) {
    fn slices<T: Clone>(
        subject: &Subject<'_>,
        output: &str,
        array: Option<ArrayD<T>>,
        shape: &[usize],
    ) -> Option<Vec<T>> {
        let array = array?;
        equal(subject, &format!("the shape of {output}"), array.shape(), shape);
        Some(array.as_slice().unwrap().to_vec())
    }
    let of_rows = without(shape, axis);
    let got = CrossEntropyOutput {
        loss: got.loss,
        z_loss: got.z_loss,
        row_losses: slices(subject, "row losses", got.row_losses, &of_rows),
        row_z_losses: slices(subject, "row z-losses", got.row_z_losses, &of_rows),
        gradient: slices(subject, "gradient", got.gradient, shape),
        lse: slices(subject, "lse", got.lse, &of_rows),
        log_prob: slices(subject, "log_prob", got.log_prob, &of_rows),
        entropy: slices(subject, "entropy", got.entropy, &of_rows),
        argmax: slices(subject, "argmax", got.argmax, &of_rows),
        correct: got.correct,
        counted: got.counted,
    };
    must(subject.same_outputs(&got, expected));
}

/// The shape that rows have.
fn without(shape: &[usize], axis: usize) -> Vec<usize> {
    [&shape[..axis], &shape[axis + 1..]].concat()
}

fn along_every_axis<T: Stored>(shapes: &[&[usize]]) {
    for &shape in shapes {
        let x = logits::<T>(shape);
        let g = x.map(|&v| T::nearest(0.5 * v.into() as f32));
        for axis in 0..shape.len() {
            softmax_along(&x, &g, axis);
            losses_along(&x, &g, axis);
        }
    }
}

fn softmax_along<T: Stored>(x: &ArrayD<T>, g: &ArrayD<T>, at: usize) {
    let (axis, shape) = (Axis(at), x.shape());
    let rows = Rows::of_shape(shape, at as isize).unwrap();
    let (flat_x, flat_g) = (x.as_slice().unwrap(), g.as_slice().unwrap());
    let options = Softmax::log();
    let y = gpu().softmax_array(x, axis, &options).unwrap();
    let flat_y = gpu().softmax(flat_x, rows, &options).unwrap();
    let subject = Subject::new::<T>(format!("softmax_array along axis {at}"), rows, &options);
    same(&subject, "y", &y, &flat_y, shape);

    let options = SoftmaxGrad::default();
    let dx = gpu().softmax_grad_array(&y, g, None, axis, &options).unwrap();
    let expected = gpu().softmax_grad(&flat_y, flat_g, None, rows, &options).unwrap();
    let subject = Subject::new::<T>(format!("softmax_grad_array along axis {at}"), rows, &options);
    same(&subject, "dx", &dx, &expected, shape);

    let options = LogSumExp::default();
    let lse = gpu().logsumexp_array(x, axis, &options).unwrap();
    let expected = gpu().logsumexp(flat_x, rows, &options).unwrap();
    let subject = Subject::new::<T>(format!("logsumexp_array along axis {at}"), rows, &options);
    same(&subject, "lse", &lse, &expected, &without(shape, at));
}

fn losses_along<T: Stored>(x: &ArrayD<T>, g: &ArrayD<T>, at: usize) {
    let (axis, shape, flat_x) = (Axis(at), x.shape(), x.as_slice().unwrap());
    let rows = Rows::of_shape(shape, at as isize).unwrap();
    let targets = Random(3).targets(rows.count(), rows.classes());
    let in_shape = Array::from_shape_vec(without(shape, at), targets.clone()).unwrap();
    for reduction in [Reduction::None, Reduction::Mean] {
        let options = everything(reduction);
        let out = gpu().cross_entropy_array(x, &in_shape, axis, &options).unwrap();
        let expected = gpu().cross_entropy(flat_x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<T>(format!("cross_entropy_array along axis {at}"), rows, &options);
        same_output(&subject, out, &expected, shape, at);
    }
    let options = CrossEntropy {
        log_prob: false,
        correct: false,
        ..everything(Reduction::Sum)
    };
    let q = gpu().softmax_array(g, axis, &Softmax::default()).unwrap();
    let out = gpu().cross_entropy_soft_array(x, &q, axis, &options).unwrap();
    let expected = gpu()
        .cross_entropy_soft(flat_x, q.as_slice().unwrap(), rows, &options)
        .unwrap();
    let subject = Subject::new::<T>(format!("cross_entropy_soft_array along axis {at}"), rows, &options);
    same_output(&subject, out, &expected, shape, at);
}

#[test]
fn every_axis_has_the_bits_of_slices() {
    // Few numbers of classes: each takes kernels of its own, which take long to compile.
    along_every_axis::<f32>(&[&[4], &[3, 4], &[3, 4, 3], &[2, 3, 4, 3]]);
    along_every_axis::<f16>(&[&[3, 4]]);
    along_every_axis::<bf16>(&[&[3, 4]]);
}

#[test]
fn views_of_any_layout() {
    let x: Array3<f32> = logits(&[4, 6, 5]).into_dimensionality().unwrap();
    let mut fortran = Array3::zeros(x.raw_dim().f());
    fortran.assign(&x);
    let row = Array1::from_iter([0.5f32, -1.0, 2.0]);
    let options = Softmax::default();
    for (what, view) in [
        ("as it is", x.view()),
        ("Fortran", fortran.view()),
        ("transposed", x.view().permuted_axes([2, 0, 1])),
        ("backwards", x.slice(s![..;-1, .., ..;-1])),
        ("with gaps", x.slice(s![1..3, ..;2, 1..])),
        ("from a later row on", x.slice(s![2.., .., ..])),
        ("one element", x.slice(s![..1, ..1, ..1])),
        ("broadcast", row.broadcast((2, 4, 3)).unwrap()),
    ] {
        let flat_x = flat(&view);
        for at in 0..3 {
            let rows = Rows::of_shape(view.shape(), at as isize).unwrap();
            let y = gpu().softmax_array(&view, Axis(at), &options).unwrap();
            let expected = gpu().softmax(&flat_x, rows, &options).unwrap();
            let subject = Subject::new::<f32>(format!("softmax_array of a view {what}, axis {at}"), rows, &options);
            same(&subject, "y", &y, &expected, view.shape());
        }
    }
    // Targets may lie in another order than logits.
    let targets = Array2::from_shape_fn((4, 6), |(i, j)| ((i + j) % 3) as i16);
    let transposed = targets.t().as_standard_layout().into_owned();
    let options = everything(Reduction::Mean);
    let dynamic = x.clone().into_dyn();
    let out = gpu()
        .cross_entropy_array(&dynamic, &transposed.t().into_dyn(), Axis(2), &options)
        .unwrap();
    let rows = Rows::of_shape(x.shape(), 2).unwrap();
    let expected = gpu()
        .cross_entropy(x.as_slice().unwrap(), targets.as_slice().unwrap(), rows, &options)
        .unwrap();
    let subject = Subject::new::<f32>("cross_entropy_array of transposed targets", rows, &options);
    same_output(&subject, out, &expected, x.shape(), 2);
}

#[test]
fn a_mask_is_in_c_order_of_the_shape_given() {
    let x = array![[0f32, 0.0], [0.0, 0.0], [0.0, 0.0]];
    let mut mask = [0.0; 6];
    mask[1] = f32::NEG_INFINITY;
    let options = Softmax {
        adjust: Adjust {
            mask: Mask::Full(Values::from(mask.to_vec())),
            ..Adjust::default()
        },
        ..Softmax::default()
    };
    let y = gpu().softmax_array(&x.t(), Axis(1), &options).unwrap();
    let subject = Subject::new::<f32>("softmax_array of a transposed view", Rows::new(2, 3), &options);
    must(subject.bits("y of row 0", &y.row(0).to_vec(), &[0.5, 0.0, 0.5]));
}
