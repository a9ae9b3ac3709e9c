//! Distillation, beside Burn's softmax and log-softmax.

use super::half::same_of_f16;
use super::*;
use burn_wgpu_softmax::distillation;
use burn_wgpu_softmax::wgpu_softmax::Upstream;

fn at(temperature: f32, times_squared_temperature: bool) -> CrossEntropy {
    CrossEntropy {
        temperature,
        times_squared_temperature,
        ..CrossEntropy::default()
    }
}

/// The divergences of the rows, times T² where the options say so.
fn divergences<const D: usize>(
    student: Tensor<D>,
    teacher: Tensor<D>,
    dim: usize,
    options: &CrossEntropy,
) -> Tensor<1> {
    let t = options.temperature;
    let teacher = teacher.detach() / t;
    let (q, ln_q) = (
        activation::softmax(teacher.clone(), dim),
        activation::log_softmax(teacher, dim),
    );
    let ln_y = activation::log_softmax(student / t, dim);
    let factor = if options.times_squared_temperature { t * t } else { 1.0 };
    let divergences = (q * (ln_q - ln_y)).sum_dim(dim) * factor;
    let rows = divergences.dims().iter().product::<usize>();
    divergences.reshape([rows])
}

/// Other logits than [`random`]'s.
fn teacher<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    random(shape).flip([0, D as isize - 1]) * 0.7
}

#[test]
fn beside_burns() {
    for shape in [[5, 3], [70, 10], [9, 33], [3, 1500]] {
        for (temperature, squared) in [(1.0, false), (2.0, false), (2.0, true), (0.5, true)] {
            for upstream in [Upstream::default(), Upstream::Buffer] {
                let options = CrossEntropy {
                    upstream,
                    ..at(temperature, squared)
                };
                same(
                    &format!("distillation at {temperature}, times its square: {squared},"),
                    random(shape),
                    |x| distillation(x, teacher(shape), 1, &options, None),
                    |x| divergences(x, teacher(shape), 1, &options).mean(),
                );
            }
        }
    }
}

#[test]
fn of_every_reduction_along_another_dimension() {
    let shape = [3, 5, 4];
    let weights = Tensor::<1, Int>::arange(0..12, &device()).float();
    for reduction in [Reduction::Mean, Reduction::Sum, Reduction::None] {
        let options = CrossEntropy {
            reduction,
            ..at(3.0, true)
        };
        for is_weighted in [false, true] {
            let weights = is_weighted.then(|| weights.clone());
            same(
                &format!("distillation along dimension 1, {reduction:?}, weighted: {is_weighted},"),
                random(shape),
                |x| distillation(x, teacher(shape), 1, &options, weights.clone()),
                |x| {
                    let weights = weights.clone().unwrap_or_else(|| Tensor::ones([12], &device()));
                    let products = divergences(x, teacher(shape), 1, &options) * weights.clone();
                    match reduction {
                        Reduction::None => products,
                        Reduction::Sum => products.sum(),
                        _ => products.sum() / weights.sum(),
                    }
                },
            );
        }
    }
}

#[test]
fn of_logits_of_16_bits() {
    let options = at(2.0, true);
    // A teacher of f32 is rounded to the student's type.
    let rounded = teacher([8, 65]).cast(DType::F16).cast(DType::F32);
    same_of_f16(
        "distillation of f16",
        random([8, 65]),
        |x| distillation(x, teacher([8, 65]), 1, &options, None),
        |x| divergences(x, rounded.clone(), 1, &options).mean(),
        1e-3,
    );
}

#[test]
fn the_teacher_has_no_gradient() {
    let (student, teacher) = (random([6, 9]).require_grad(), teacher([6, 9]).detach().require_grad());
    let loss = distillation(student.clone(), teacher.clone(), 1, &at(2.0, false), None);
    let gradients = loss.backward();
    assert!(student.grad(&gradients).is_some(), "the student has no gradient");
    assert!(teacher.grad(&gradients).is_none(), "the teacher has a gradient");
}

#[test]
fn from_itself_it_is_0() {
    // One tensor is both, and stays as it is.
    let x = random([6, 40]).detach().require_grad();
    let both = x.clone() * 1.0;
    let loss = distillation(both.clone(), both.clone(), 1, &at(2.0, true), None);
    let gradient = x.grad(&loss.clone().backward()).unwrap();
    assert_eq!(values(&loss), [0.0], "the divergence from itself");
    assert!(
        values(&gradient).iter().all(|g| *g == 0.0),
        "the gradient of the divergence from itself is not 0"
    );
    near("logits that are their own teacher", both.inner(), x.inner(), 0.1);
}
