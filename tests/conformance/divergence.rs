//! Divergences from a teacher's logits and from probabilities.

use crate::common::{GPUS, Random, Subject, equal, must, on, same_bits};
use wgpu_softmax::testing::{Bound, LossBounds};
use wgpu_softmax::{CrossEntropy, Gradient, Rows, Schedule, Softmax, reference};

const COUNT: usize = 5;
/// What rounding does to the logarithms of both denominators: it counts with its square, and where they are those of one of several chunks
/// with how far apart the two distributions are, about the root of twice the divergence.
const LOGARITHM: f64 = 1.0 / 16_777_216.0;

fn options() -> CrossEntropy {
    CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    }
}

/// A student's logits and its teacher's, which differ by about `distance`.
fn both(classes: usize, distance: f32, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let mut random = Random(seed);
    let teacher = random.logits(COUNT * classes, 4.0);
    let noise = random.logits(COUNT * classes, distance);
    let student = teacher.iter().zip(noise).map(|(t, n)| t + n + 3.0).collect();
    (student, teacher)
}

/// However near the two are: a divergence of 1e-9 has its digits too, where a difference of entropies would have none. Kernels of these
/// take long to compile.
#[test]
fn small_divergences_have_all_their_digits() {
    for (classes, schedule) in [
        (2, Schedule::Held { lanes: 1 }),
        (37, Schedule::Held { lanes: 8 }),
        (1000, Schedule::Chunked { lanes: 32 }),
        (5000, Schedule::Split { lanes: 32, pieces: 3 }),
    ] {
        let rows = Rows::new(COUNT, classes);
        for distance in [1e-3, 1e-2, 0.3, 3.0] {
            let (x, teacher) = both(classes, distance, 431);
            let options = CrossEntropy {
                schedule: Some(schedule),
                ..options()
            };
            let exact = reference::distillation(&x, &teacher, rows, &options).unwrap();
            for gpu in GPUS.iter() {
                let out = gpu.distillation(&x, &teacher, rows, &options).unwrap();
                let subject = Subject::new::<f32>(on(&format!("distillation at {distance}"), gpu), rows, &options);
                let losses = out.row_losses.unwrap();
                must(subject.within("row losses", &losses, &exact.row_losses, |_, exact| {
                    let apart = if classes > 1024 {
                        (2.0 * exact).sqrt()
                    } else {
                        LOGARITHM
                    };
                    Bound::of_itself(exact, 12.0).allowed + LOGARITHM * apart
                }));
                let bounds = LossBounds::new(&options, &exact);
                let gradient = out.gradient.unwrap();
                must(subject.within("gradient", &gradient, &exact.gradient, |i, _| {
                    bounds.gradient[i].allowed
                }));
            }
        }
    }
}

#[test]
fn every_schedule_has_the_same_bits() {
    for classes in [37, 2100] {
        let rows = Rows::new(COUNT, classes);
        let (x, teacher) = both(classes, 0.5, 432);
        let with = |schedule| CrossEntropy {
            schedule: Some(schedule),
            lse: true,
            entropy: true,
            temperature: 2.0,
            ..options()
        };
        let mut expected = None;
        for gpu in GPUS.iter() {
            for schedule in [
                Schedule::Held {
                    lanes: if classes == 37 { 8 } else { 32 },
                },
                Schedule::Chunked { lanes: 32 },
                Schedule::Split { lanes: 32, pieces: 1 },
            ] {
                let options = with(schedule);
                let out = gpu.distillation(&x, &teacher, rows, &options).unwrap();
                let subject = Subject::new::<f32>(on("distillation", gpu), rows, &options);
                let expected = expected.get_or_insert_with(|| out.clone());
                same_bits(
                    &subject,
                    "row losses",
                    &out.row_losses.unwrap(),
                    expected.row_losses.as_ref().unwrap(),
                );
                same_bits(
                    &subject,
                    "gradient",
                    &out.gradient.unwrap(),
                    expected.gradient.as_ref().unwrap(),
                );
            }
        }
    }
}

#[test]
fn a_student_that_is_its_teacher_has_a_divergence_of_0() {
    for classes in [3, 100, 2050] {
        let rows = Rows::new(COUNT, classes);
        let mut x = Random(433).logits(COUNT * classes, 5.0);
        x[1] = f32::NEG_INFINITY;
        for gpu in GPUS.iter() {
            let out = gpu.distillation(&x, &x, rows, &options()).unwrap();
            let subject = Subject::new::<f32>(on("distillation", gpu), rows, &rows);
            equal(&subject, "loss", out.loss, Some(0.0));
            equal(&subject, "gradient", out.gradient, Some(vec![0.0; x.len()]));
        }
    }
}

/// Rows of either that have no distribution, and classes that only one has.
#[test]
fn special_rows_of_teacher_and_student() {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let rows = Rows::new(7, 2);
    let student = [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, -inf, 0.0, -inf, 0.0, nan, 0.0, 0.0, -inf];
    let teacher = [nan, 0.0, inf, 0.0, -inf, -inf, 0.0, 0.0, -inf, 5.0, 0.0, 0.0, 3.0, -inf];
    for gpu in GPUS.iter() {
        let out = gpu.distillation(&student, &teacher, rows, &options()).unwrap();
        let exact = reference::distillation(&student, &teacher, rows, &options()).unwrap();
        let subject = Subject::new::<f32>(on("distillation", gpu), rows, &rows);
        let losses = [nan, nan, nan, inf, 0.0, nan, 0.0].map(f64::from);
        must(subject.within("row losses", &out.row_losses.unwrap(), &losses, |_, _| 0.0));
        must(subject.within("the reference's row losses", &exact.row_losses, &losses, |_, _| 0.0));
        must(subject.within("gradient", &out.gradient.unwrap(), &exact.gradient, |_, _| 1e-6));
    }
}

/// Targets that do not add up to 1 too; a q of 0 takes no part, and one below 0 has no logarithm.
#[test]
fn divergences_from_probabilities() {
    for classes in [3, 1000, 2500] {
        let rows = Rows::new(COUNT, classes);
        let mut random = Random(434);
        let x = random.logits(COUNT * classes, 3.0);
        let q = reference::softmax(&random.logits(COUNT * classes, 3.0), rows, &Softmax::default()).unwrap();
        let mut q: Vec<f32> = q.iter().map(|&q| q as f32).collect();
        q[..classes].iter_mut().for_each(|q| *q *= 2.5);
        (q[1], q[classes]) = (0.0, 1e-41);
        q[3 * classes] = -0.5;
        let options = CrossEntropy {
            divergence: true,
            ..options()
        };
        let exact = reference::cross_entropy_soft(&x, &q, rows, &options).unwrap();
        for gpu in GPUS.iter() {
            let out = gpu.cross_entropy_soft(&x, &q, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy_soft", gpu), rows, &options);
            must(
                subject.within("row losses", &out.row_losses.unwrap(), &exact.row_losses, |_, exact| {
                    Bound::of_itself(exact, 6.0).allowed
                }),
            );
            let bounds = LossBounds::new(&options, &exact);
            must(
                subject.within("gradient", &out.gradient.unwrap(), &exact.gradient, |i, _| {
                    bounds.gradient[i].allowed
                }),
            );
        }
    }
}
