//! The calls on arrays of `ndarray` against those on slices: the same bits, of any layout, along any axis.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Random, Stored, bits, gpu, stored};
use ndarray::{Array, Array1, Array2, Array3, ArrayD, ArrayRef, Axis, Dimension, Ix0, IxDyn, ShapeBuilder, array, s};
use wgpu_softmax::half::{bf16, f16};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyArrays, CrossEntropyOutput, Element, EncodeError, Gradient, LogSumExp, Mask,
    Reduction, Rows, RunError, Softmax, SoftmaxGrad, Values,
};

fn logits<T: Stored>(shape: &[usize]) -> ArrayD<T> {
    let count = shape.iter().product();
    Array::from_shape_vec(shape, stored(&Random(21).logits(count, 3.0))).unwrap()
}

/// The elements in C order, as a slice's caller would have them.
fn flat<T: Copy, D: Dimension>(array: &ArrayRef<T, D>) -> Vec<T> {
    array.iter().copied().collect()
}

/// All that can be asked for.
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

fn same<T: Copy + PartialEq, D: Dimension>(what: &str, got: &Option<Array<T, D>>, want: Option<&[T]>, shape: &[usize]) {
    assert_eq!(got.as_ref().map(|a| a.shape()), want.map(|_| shape), "{what}");
    assert!(got.as_ref().map(|a| a.as_slice().unwrap()) == want, "{what}");
}

fn same_output<T: Element + PartialEq>(
    got: &CrossEntropyArrays<T, IxDyn>,
    want: &CrossEntropyOutput<T>,
    shape: &[usize],
    axis: usize,
) {
    let of_rows = [&shape[..axis], &shape[axis + 1..]].concat();
    assert_eq!((got.loss, got.z_loss), (want.loss, want.z_loss));
    assert_eq!((got.correct, got.counted), (want.correct, want.counted));
    same("losses", &got.row_losses, want.row_losses.as_deref(), &of_rows);
    same("z-losses", &got.row_z_losses, want.row_z_losses.as_deref(), &of_rows);
    same("lse", &got.lse, want.lse.as_deref(), &of_rows);
    same("log-probs", &got.log_prob, want.log_prob.as_deref(), &of_rows);
    same("entropies", &got.entropy, want.entropy.as_deref(), &of_rows);
    same("argmax", &got.argmax, want.argmax.as_deref(), &of_rows);
    same("gradient", &got.gradient, want.gradient.as_deref(), shape);
}

fn along_every_axis<T: Stored + PartialEq>(shapes: &[&[usize]]) {
    for &shape in shapes {
        let x = logits::<T>(shape);
        let g = x.map(|&v| T::nearest(0.5 * v.into() as f32));
        for (at, _) in shape.iter().enumerate() {
            let (axis, rows) = (Axis(at), Rows::of_shape(shape, at as isize).unwrap());
            let (flat_x, flat_g) = (x.as_slice().unwrap(), g.as_slice().unwrap());
            let y = gpu().softmax_array(&x, axis, &Softmax::log()).unwrap();
            assert_eq!(y.shape(), shape);
            let want = gpu().softmax(flat_x, rows, &Softmax::log()).unwrap();
            assert!(y.as_slice().unwrap() == want);

            let options = SoftmaxGrad::default();
            let dx = gpu().softmax_grad_array(&y, &g, None, axis, &options).unwrap();
            assert!(dx.into_raw_vec_and_offset().0 == gpu().softmax_grad(&want, flat_g, None, rows, &options).unwrap());
            let lse = gpu().logsumexp_array(&x, axis, &LogSumExp::default()).unwrap();
            let want = gpu().logsumexp(flat_x, rows, &LogSumExp::default()).unwrap();
            assert!(lse.shape() == x.raw_dim_without(at) && bits(lse.as_slice().unwrap()) == bits(&want));

            let targets = Random(3).targets(rows.count(), rows.classes());
            let in_shape = Array::from_shape_vec(x.raw_dim_without(at), targets.clone()).unwrap();
            for reduction in [Reduction::None, Reduction::Mean] {
                let options = everything(reduction);
                let out = gpu().cross_entropy_array(&x, &in_shape, axis, &options).unwrap();
                let want = gpu().cross_entropy(flat_x, &targets, rows, &options).unwrap();
                same_output(&out, &want, shape, at);
            }
            let options = CrossEntropy {
                log_prob: false,
                correct: false,
                ..everything(Reduction::Sum)
            };
            let q = gpu().softmax_array(&g, axis, &Softmax::default()).unwrap();
            let out = gpu().cross_entropy_soft_array(&x, &q, axis, &options).unwrap();
            let want = gpu()
                .cross_entropy_soft(flat_x, q.as_slice().unwrap(), rows, &options)
                .unwrap();
            same_output(&out, &want, shape, at);
        }
    }
}

/// The shape that rows have.
trait Without {
    fn raw_dim_without(&self, axis: usize) -> Vec<usize>;
}

impl<T> Without for ArrayD<T> {
    fn raw_dim_without(&self, axis: usize) -> Vec<usize> {
        [&self.shape()[..axis], &self.shape()[axis + 1..]].concat()
    }
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
    let targets = Array2::from_shape_fn((4, 6), |(i, j)| ((i + j) % 3) as i16);
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
            let y = gpu().softmax_array(&view, Axis(at), &Softmax::default()).unwrap();
            let want = gpu().softmax(&flat_x, rows, &Softmax::default()).unwrap();
            assert_eq!(y.shape(), view.shape(), "{what}");
            assert_eq!(bits(y.as_slice().unwrap()), bits(&want), "{what}, axis {at}");
        }
    }
    // Targets lie otherwise, too.
    let transposed = targets.t().as_standard_layout().into_owned();
    let options = everything(Reduction::Mean);
    let out = gpu()
        .cross_entropy_array(&x, &transposed.t(), Axis(2), &options)
        .unwrap();
    let rows = Rows::of_shape(x.shape(), 2).unwrap();
    let want = gpu()
        .cross_entropy(x.as_slice().unwrap(), targets.as_slice().unwrap(), rows, &options)
        .unwrap();
    assert_eq!((out.loss, out.correct), (want.loss, want.correct));
    assert_eq!(
        bits(out.gradient.unwrap().as_slice().unwrap()),
        bits(&want.gradient.unwrap())
    );
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
    assert_eq!(y.row(0).to_vec(), [0.5, 0.0, 0.5]);
}

#[test]
fn arrays_of_nothing() {
    for (shape, at) in [([0, 3, 2], 1), ([2, 3, 0], 1), ([2, 0, 3], 0), ([0, 0, 4], 2)] {
        let x = Array::<f32, _>::zeros(IxDyn(&shape));
        let y = gpu().softmax_array(&x, Axis(at), &Softmax::default()).unwrap();
        assert_eq!(y.shape(), shape);
        let of_rows = x.raw_dim_without(at);
        let targets = Array::<u8, _>::zeros(of_rows.clone());
        let out = gpu()
            .cross_entropy_array(&x, &targets, Axis(at), &everything(Reduction::None))
            .unwrap();
        assert_eq!(out.gradient.unwrap().shape(), shape);
        assert_eq!(out.row_losses.unwrap().shape(), of_rows);
        assert_eq!(out.argmax.unwrap().shape(), of_rows);
    }
    let none = Array3::<f32>::zeros((2, 0, 3));
    let error = gpu().softmax_array(&none, Axis(1), &Softmax::default()).unwrap_err();
    assert_eq!(error, RunError::Encode(EncodeError::NoClasses));
}

fn wrong(what: &'static str, expected: &[usize], got: &[usize]) -> RunError {
    let (expected, got) = (expected.to_vec(), got.to_vec());
    RunError::WrongShape { what, expected, got }
}

#[test]
fn shapes_that_do_not_fit_are_errors_with_numbers() {
    let x = Array3::<f32>::zeros((2, 5, 3));
    let options = CrossEntropy::default();
    let with = |targets: Array2<u8>| gpu().cross_entropy_array(&x, &targets, Axis(1), &options).unwrap_err();
    // As many elements, but others.
    assert_eq!(with(Array2::zeros((3, 2))), wrong("targets", &[2, 3], &[3, 2]));
    assert_eq!(with(Array2::zeros((2, 5))), wrong("targets", &[2, 3], &[2, 5]));
    let error = with(Array2::zeros((2, 0)));
    assert_eq!(error.to_string(), "targets: shape [2, 0], but [2, 3] is needed");

    let dynamic = x.clone().into_dyn();
    let flat = Array::<u8, _>::zeros(IxDyn(&[6]));
    let error = gpu()
        .cross_entropy_array(&dynamic, &flat, Axis(1), &options)
        .unwrap_err();
    assert_eq!(error, wrong("targets", &[2, 3], &[6]));
    let one = Array1::<f32>::zeros(4);
    let loss = gpu()
        .cross_entropy_array(&one, &Array::<u8, Ix0>::zeros(()), Axis(0), &options)
        .unwrap()
        .loss;
    assert!((loss.unwrap() - 4f32.ln()).abs() < 1e-6);

    let other = Array3::zeros((2, 3, 5));
    let error = gpu()
        .cross_entropy_soft_array(&x, &other, Axis(1), &options)
        .unwrap_err();
    assert_eq!(error, wrong("probabilities", &[2, 5, 3], &[2, 3, 5]));
    let grad = SoftmaxGrad::default();
    let error = gpu().softmax_grad_array(&x, &other, None, Axis(1), &grad).unwrap_err();
    assert_eq!(error, wrong("upstream", &[2, 5, 3], &[2, 3, 5]));
    let error = gpu()
        .softmax_grad_array(&x, &x, Some(&other), Axis(1), &grad)
        .unwrap_err();
    assert_eq!(error, wrong("logits", &[2, 5, 3], &[2, 3, 5]));

    let no_axis = |axis, dims| RunError::Encode(EncodeError::AxisOutOfRange { axis, dims });
    let targets = Array2::<u8>::zeros((2, 3));
    let error = gpu().cross_entropy_array(&x, &targets, Axis(3), &options).unwrap_err();
    assert_eq!(error, no_axis(3, 3));
    for (axis, named) in [(3, 3), (usize::MAX, isize::MAX)] {
        assert_eq!(
            gpu().softmax_array(&x, Axis(axis), &Softmax::default()).unwrap_err(),
            no_axis(named, 3)
        );
        assert_eq!(
            gpu()
                .logsumexp_array(&x, Axis(axis), &LogSumExp::default())
                .unwrap_err(),
            no_axis(named, 3)
        );
    }
    let number = Array::<f32, _>::zeros(IxDyn(&[]));
    assert_eq!(
        gpu().softmax_array(&number, Axis(0), &Softmax::default()).unwrap_err(),
        no_axis(0, 0)
    );

    let bad = array![[0u8, 1, 2], [3, 5, 4]];
    let error = gpu().cross_entropy_array(&x, &bad, Axis(1), &options).unwrap_err();
    assert_eq!(
        error,
        RunError::TargetOutOfRange {
            row: 4,
            target: 5,
            classes: 5,
            count: 1
        }
    );
}
