//! Products of Hessians and vectors.

use crate::common::{GPUS, Random, Subject, equal, must, on, same_bits};
use wgpu_softmax::{
    Adjust, CrossEntropy, EncodeError, Gradient, Rows, RunError, Scale, Schedule, Softmax, SoftmaxGrad, reference,
};

const COUNT: usize = 5;

fn schedules(classes: usize) -> Vec<Schedule> {
    let mut all = vec![Schedule::Held { lanes: 32 }, Schedule::Chunked { lanes: 32 }];
    all.extend((classes > 1024).then_some(Schedule::Split { lanes: 32, pieces: 2 }));
    all
}

#[test]
fn hessians_of_losses_are_the_references_under_every_schedule() {
    for classes in [130, 2500] {
        let rows = Rows::new(COUNT, classes);
        let mut random = Random(441);
        let mut x = random.logits(COUNT * classes, 3.0);
        (x[1], x[classes..2 * classes][0]) = (f32::NEG_INFINITY, f32::NAN);
        let v = random.logits(COUNT * classes, 1.0);
        let targets: Vec<i64> = vec![0, 2, -100, 7, 100];
        let with = |schedule| CrossEntropy {
            adjust: Adjust {
                scale: Scale::PerRow(vec![1.0, 2.0, 0.5, -1.5, 0.25].into()),
                ..Adjust::default()
            },
            z_loss: 0.125,
            row_weights: Some(vec![1.0, 0.5, 3.0, 2.0, 0.0].into()),
            schedule: Some(schedule),
            ..CrossEntropy::default()
        };
        let exact = reference::cross_entropy_hvp(&x, &targets, &v, rows, &with(Schedule::Held { lanes: 32 })).unwrap();
        let mut expected = None;
        for gpu in GPUS.iter() {
            for schedule in schedules(classes) {
                let options = with(schedule);
                let got = gpu
                    .cross_entropy_hvp(&x, &targets, &v, rows, &options)
                    .unwrap()
                    .gradient
                    .unwrap();
                let subject = Subject::new::<f32>(on("cross_entropy_hvp", gpu), rows, &options);
                must(subject.within("the product", &got, &exact.gradient, |_, exact| {
                    2e-6 * exact.abs().max(1.0)
                }));
                same_bits(
                    &subject,
                    "the product",
                    &got,
                    expected.get_or_insert_with(|| got.clone()),
                );
            }
        }
    }
}

#[test]
fn hessians_of_softmax_are_the_references_under_every_schedule() {
    for (classes, log) in [(130, false), (130, true), (2500, false), (2500, true)] {
        let rows = Rows::new(COUNT, classes);
        let mut random = Random(442);
        let mut x = random.logits(COUNT * classes, 3.0);
        x[2] = f32::NEG_INFINITY;
        let (g, v) = (random.logits(x.len(), 1.0), random.logits(x.len(), 1.0));
        let forward = Softmax {
            log,
            ..Softmax::default()
        };
        let y: Vec<f32> = reference::softmax(&x, rows, &forward)
            .unwrap()
            .iter()
            .map(|&y| y as f32)
            .collect();
        let exact = reference::softmax_hvp(&y, &g, &v, rows, log).unwrap();
        let mut expected = None;
        for gpu in GPUS.iter() {
            for schedule in schedules(classes) {
                let options = SoftmaxGrad {
                    log,
                    schedule: Some(schedule),
                    ..SoftmaxGrad::default()
                };
                let got = gpu.softmax_hvp(&y, &g, &v, rows, &options).unwrap();
                let subject = Subject::new::<f32>(on("softmax_hvp", gpu), rows, &options);
                let size = if log { 100.0 } else { 10.0 };
                must(subject.within("the product", &got, &exact, |_, _| 2e-6 * size));
                same_bits(
                    &subject,
                    "the product",
                    &got,
                    expected.get_or_insert_with(|| got.clone()),
                );
            }
        }
    }
}

/// The product is what the gradient changes by along the direction.
#[test]
fn the_references_hessians_are_differences_of_gradients() {
    let (rows, step) = (Rows::new(2, 4), 1e-5);
    let x = [0.5, -1.0, 2.0, 0.25, 1.0, 1.5, -0.5, 0.0];
    let v: [f64; 8] = [1.0, -0.5, 0.25, 2.0, -1.0, 0.5, 0.75, 1.25];
    let options = CrossEntropy {
        adjust: Adjust::scaled(1.5),
        weights: Some(vec![1.0, 2.0, 0.5, 1.5].into()),
        row_weights: Some(vec![0.75, 2.0].into()),
        label_smoothing: 0.25,
        z_loss: 0.125,
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let at = |t: f64| {
        let moved: Vec<f64> = x.iter().zip(v).map(|(x, v)| x + t * v).collect();
        reference::cross_entropy(&moved, &[2u8, 0], rows, &options)
            .unwrap()
            .gradient
    };
    let expected: Vec<f64> = at(step)
        .iter()
        .zip(at(-step))
        .map(|(a, b)| (a - b) / (2.0 * step))
        .collect();
    let product = reference::cross_entropy_hvp(&x, &[2u8, 0], &v, rows, &options)
        .unwrap()
        .gradient;
    let subject = Subject::new::<f32>("reference::cross_entropy_hvp", rows, &options);
    must(subject.within("the product", &product, &expected, |_, _| 1e-8));
}

#[test]
fn what_has_no_hessian_here_is_an_error() {
    let (gpu, rows, x) = (&GPUS[0], Rows::new(1, 3), [0.0f32; 3]);
    let softcap = CrossEntropy {
        adjust: Adjust {
            softcap: Some(3.0),
            ..Adjust::default()
        },
        ..CrossEntropy::default()
    };
    let error = gpu.cross_entropy_hvp(&x, &[0u8], &x, rows, &softcap).err();
    let is_conflict = |error: &Option<RunError>| {
        matches!(
            error,
            Some(RunError::Encode(EncodeError::Conflict { b: "softcap", .. }))
        )
    };
    assert!(is_conflict(&error), "{error:?}");
    let missing = CrossEntropy {
        hessian_vector: true,
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let subject = Subject::new::<f32>("cross_entropy", rows, &missing);
    let error = gpu.cross_entropy(&x, &[0u8], rows, &missing).err();
    let expected = EncodeError::MissingBuffer {
        buffer: "direction",
        option: "hessian_vector",
    };
    equal(&subject, "the error", error, Some(RunError::Encode(expected)));
}
