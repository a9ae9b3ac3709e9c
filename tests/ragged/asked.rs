//! Sinks, divergences and Hessians of rows of unequal length.

use super::common::{Random, Subject, gpu, same_bits};
use super::{SCHEDULE, alone, of_lengths, row};
use wgpu_softmax::{CrossEntropy, Gradient, Reduction, Rows, Sink, Softmax};

const LENGTHS: [usize; 7] = [1, 5, 0, 64, 1030, 3, 2050];

#[test]
fn options_have_the_bits_that_they_have_alone() {
    let rows = of_lengths(&LENGTHS);
    let mut random = Random(451);
    let x = random.logits(rows.elements(), 4.0);
    let (teacher, v) = (random.logits(x.len(), 4.0), random.logits(x.len(), 1.0));
    let softmax = Softmax {
        sink: Some(Sink::Number(1.5)),
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let loss = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        z_loss: 0.125,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    };
    let y = gpu().softmax(&x, &rows, &softmax).unwrap();
    let distilled = gpu().distillation(&x, &teacher, &rows, &loss).unwrap();
    let losses = distilled.row_losses.unwrap();
    let gradient = distilled.gradient.unwrap();
    let targets: Vec<i64> = LENGTHS
        .iter()
        .map(|&n| if n == 0 { -100 } else { n as i64 - 1 })
        .collect();
    let product = gpu()
        .cross_entropy_hvp(&x, &targets, &v, &rows, &loss)
        .unwrap()
        .gradient
        .unwrap();
    let subject = Subject::new::<f32>("rows of unequal length", Rows::new(1, x.len()), &loss);
    for (number, &length) in LENGTHS.iter().enumerate().filter(|(_, length)| **length > 0) {
        let of = |all: &[f32]| row(all, &rows, number).to_vec();
        let same = |what: &str, got: &[f32], expected: &[f32]| {
            same_bits(&subject, &format!("{what} of row {number}"), got, expected);
        };
        let (x, teacher, v, alone) = (of(&x), of(&teacher), of(&v), alone(length));
        same("y", &of(&y), &gpu().softmax(&x, alone, &softmax).unwrap());
        let expected = gpu().distillation(&x, &teacher, alone, &loss).unwrap();
        same(
            "the divergence",
            &losses[number..=number],
            &expected.row_losses.unwrap(),
        );
        same("its gradient", &of(&gradient), &expected.gradient.unwrap());
        let expected = gpu()
            .cross_entropy_hvp(&x, &targets[number..=number], &v, alone, &loss)
            .unwrap();
        same("the product", &of(&product), &expected.gradient.unwrap());
    }
}
