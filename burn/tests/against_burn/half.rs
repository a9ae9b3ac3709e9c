//! Tensors of 16 bits, beside what Burn computes of the same values in f32.

use super::*;
use burn_wgpu_softmax::wgpu_softmax::half::f16;

/// The values of `ours` of f16 and of `theirs` of f32, and the gradients of their sums with random weights, within `share` of the
/// largest. A loss is of f32, so that its weights are 2^10 times larger: f16 then holds small elements of the gradient.
#[track_caller]
pub(super) fn same_of_f16<const D: usize, const E: usize>(
    what: &str,
    x: Tensor<D>,
    ours: impl Fn(Tensor<D>) -> Tensor<E>,
    theirs: impl Fn(Tensor<D>) -> Tensor<E>,
    share: f64,
) {
    let narrow = x.detach().cast(DType::F16);
    let wide = narrow.clone().cast(DType::F32);
    let run = |x: Tensor<D>, f: &dyn Fn(Tensor<D>) -> Tensor<E>| {
        let x = x.detach().require_grad();
        let y = f(x.clone());
        let factor = if y.dtype() == DType::F16 { 1.0 } else { 1024.0 };
        let y = y.cast(DType::F32);
        let gradients = (y.clone() * random(y.dims()) * factor).sum().backward();
        let gradient = x.grad(&gradients).unwrap();
        assert_eq!(gradient.dtype(), x.dtype(), "the type of the gradient of {what}");
        let gradient = gradient.cast(DType::F32) / factor;
        (values(&y), values(&gradient), gradient.dims())
    };
    let ours = run(narrow, &ours);
    let theirs = run(wide, &theirs);
    let subject = Subject::new::<f16>(format!("{what} beside Burn's of f32"), rows_of(&ours.2), &());
    for (what, got, expected) in [("value", ours.0, theirs.0), ("gradient", ours.1, theirs.1)] {
        let expected: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
        let largest = expected.iter().fold(0.0f64, |max, v| max.max(v.abs()));
        assert!(largest > 0.0, "{what}: Burn's values are all 0, or NaN");
        must(subject.within(what, &got, &expected, |_, _| share * largest));
    }
}
