//! The loss with its gradient in one pass, beside two.

use super::*;
use burn_wgpu_softmax::wgpu_softmax::Upstream;

/// The gradient of the loss times `factor`, with these options.
fn gradient(x: &Tensor<2>, factor: Option<f32>, options: &CrossEntropy) -> Vec<f32> {
    let x = x.clone().detach().require_grad();
    let [rows, classes] = x.dims();
    let loss = cross_entropy(x.clone(), targets(rows, classes), 1, options);
    let loss = match factor {
        Some(factor) => loss * factor,
        None => loss,
    };
    values(&x.grad(&loss.backward()).unwrap())
}

#[test]
fn one_pass_is_as_two() {
    let one = CrossEntropy::default();
    let two = CrossEntropy {
        upstream: Upstream::Buffer,
        ..CrossEntropy::default()
    };
    for shape in [[1, 1], [9, 33], [20, 64], [7, 1025]] {
        let x = random(shape);
        let batch = Rows::new(shape[0], shape[1]);
        let subject = || Subject::new::<f32>("cross_entropy in one pass beside two", batch, &one);
        let (got, expected) = (gradient(&x, None, &one), gradient(&x, None, &two));
        must(subject().bits("gradient", &got, &expected));
        // The product is rounded once more.
        let (got, expected) = (gradient(&x, Some(-2.7), &one), gradient(&x, Some(-2.7), &two));
        let expected: Vec<f64> = expected.iter().map(|&v| v.into()).collect();
        must(subject().within("gradient times -2.7", &got, &expected, |_, g| 3e-7 * g.abs() + 1e-37));
    }
}

#[test]
fn logits_that_are_used_elsewhere_stay() {
    let x = random([6, 20]).detach().require_grad();
    let logits = x.clone() * 1.0;
    let loss = cross_entropy(logits.clone(), targets(6, 20), 1, &CrossEntropy::default());
    let other = (logits.clone() * logits.clone()).sum();
    let both = values(&x.grad(&(loss.clone() + other).backward()).unwrap());
    near("the logits after the loss", logits.inner(), x.clone().inner(), 0.1);
    let alone = gradient(&x, None, &CrossEntropy::default());
    let expected: Vec<f64> = alone
        .iter()
        .zip(values(&x))
        .map(|(g, x)| f64::from(g + 2.0 * x))
        .collect();
    let subject = Subject::new::<f32>("cross_entropy and squares of the logits", Rows::new(6, 20), &());
    must(subject.within("gradient", &both, &expected, |_, g| 1e-5 * g.abs() + 1e-6));
}

#[test]
fn a_second_backward_pass_has_its_own_gradient() {
    // Two losses of the same logits, each multiplied by another number.
    let x = random([6, 20]).detach().require_grad();
    let loss = |x: &Tensor<2>| cross_entropy(x.clone(), targets(6, 20), 1, &CrossEntropy::default());
    let sum = loss(&x) * 2.0 + loss(&x) * 0.5;
    let both = values(&x.grad(&sum.backward()).unwrap());
    let alone = gradient(&x, None, &CrossEntropy::default());
    let expected: Vec<f64> = alone.iter().map(|g| 2.5 * f64::from(*g)).collect();
    let subject = Subject::new::<f32>("two losses of the same logits", Rows::new(6, 20), &());
    must(subject.within("gradient", &both, &expected, |_, g| 1e-6 * g.abs() + 1e-8));
}
