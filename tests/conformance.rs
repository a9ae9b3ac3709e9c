//! Every kernel against the f64 reference and against its f32 twin, bit by bit.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "conformance/confident.rs"]
mod confident;
#[path = "conformance/divergence.rs"]
mod divergence;
#[path = "conformance/gaps.rs"]
mod gaps;
#[path = "conformance/hessians.rs"]
mod hessians;
#[path = "conformance/overflow.rs"]
mod overflow;
#[path = "conformance/sinks.rs"]
mod sinks;
#[path = "conformance/special_rows.rs"]
mod special_rows;
#[path = "conformance/weights.rs"]
mod weights;

use common::outputs::outputs_are;
use common::{CLASSES, GPUS, Random, Subject, gpu, must, near, on, same_bits, ulp};
use wgpu_softmax::testing::{self, Bound, LOSS_ULP, ulp_of};
use wgpu_softmax::{
    CrossEntropy, Dtype, EncodeError, Gpu, Gradient, Reduction, Rows, RunError, Softmax, Upstream, reference, twin,
};

/// The outputs that class indices and soft targets have in common, and those of class indices alone.
fn all_outputs() -> CrossEntropy {
    CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    }
}

/// The largest and the mean error of many numbers.
#[derive(Default)]
struct Errors {
    max: f64,
    total: f64,
    count: usize,
}

impl Errors {
    fn add(&mut self, error: f64) {
        self.max = self.max.max(error);
        self.total += error;
        self.count += 1;
    }
}

/// Probabilities within 4 ULP plus the rounding of `x − m`: half an ULP of that difference is, relatively, as many ULP (of
/// 2^-24 to 2^-23) of the result.
#[track_caller]
fn within_4_ulp(subject: &Subject<'_>, rows: Rows, x: &[f32], y: &[f32], exact: &[f64], errors: &mut Errors) {
    let row_max = |row: &[f32]| row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let max: Vec<f32> = x.chunks(rows.classes()).map(row_max).collect();
    let is_normal = |exact: f64| exact >= 2f64.powi(-126);
    must(subject.within("y", y, exact, |i, exact| {
        let rounding = f64::from(max[i / rows.classes()] - x[i]);
        // What is under 2^-126 may be flushed to 0.
        let least = if is_normal(exact) {
            0.0
        } else {
            f64::from(f32::MIN_POSITIVE)
        };
        ((4.0 + rounding) * ulp_of(exact, Dtype::F32)).max(least)
    }));
    let normal = y.iter().zip(exact).filter(|&(_, &exact)| is_normal(exact));
    normal.for_each(|(&y, &exact)| errors.add(ulp(y, exact)));
}

#[test]
fn softmax_is_its_twin_bit_by_bit_and_within_4_ulp_plus_rounding() {
    let (mut random, options) = (Random(1), Softmax::default());
    for gpu in GPUS.iter() {
        let mut errors = Errors::default();
        for classes in CLASSES.iter().copied() {
            let rows = Rows::new(3, classes);
            // Narrow, usual, and so wide that most classes underflow.
            for spread in [0.1, 3.0, 60.0] {
                let x = random.logits(3 * classes, spread);
                let y = gpu.softmax(&x, rows, &options).unwrap();
                let exact = reference::softmax(&x, rows, &options).unwrap();
                let twin: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
                let subject = Subject::new::<f32>(on("softmax", gpu), rows, &options);
                same_bits(&subject, "y", &y, &twin);
                within_4_ulp(&subject, rows, &x, &y, &exact, &mut errors);
            }
        }
        let (max, mean) = (errors.max, errors.total / errors.count as f64);
        println!(
            "softmax on {gpu:?}: {max:.2} ULP at most, {mean:.3} on average, of {}",
            errors.count
        );
    }
}

#[test]
fn log_softmax_is_near_the_reference() {
    let (mut random, options) = (Random(2), Softmax::log());
    for gpu in GPUS.iter() {
        for classes in CLASSES.iter().copied() {
            let rows = Rows::new(2, classes);
            let x = random.logits(2 * classes, 5.0);
            let y = gpu.softmax(&x, rows, &options).unwrap();
            let exact = reference::softmax(&x, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("log_softmax", gpu), rows, &options);
            must(subject.within("y", &y, &exact, |_, exact| Bound::of_itself(exact, LOSS_ULP).allowed));
        }
    }
}

#[test]
fn cross_entropy_is_its_twin_bit_by_bit_and_near_the_reference() {
    let mut random = Random(3);
    let options = CrossEntropy {
        reduction: Reduction::Sum,
        ..all_outputs()
    };
    for gpu in GPUS.iter() {
        let (mut loss_errors, mut gradient_errors) = (Errors::default(), Errors::default());
        for classes in CLASSES.iter().copied() {
            let rows = Rows::new(4, classes);
            let x = random.logits(4 * classes, 4.0);
            let targets = random.targets(4, classes);
            let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
            outputs_are(&subject, &options, &out, &exact);

            let (losses, gradient) = (out.row_losses.unwrap(), out.gradient.unwrap());
            let twins = x.chunks(classes).zip(&targets);
            let twins = twins.map(|(x, &target)| twin::cross_entropy(x, target as usize, 1.0));
            let (twin_losses, twin_gradients): (Vec<f32>, Vec<Vec<f32>>) = twins.unzip();
            same_bits(&subject, "row losses", &losses, &twin_losses);
            same_bits(&subject, "gradient", &gradient, &twin_gradients.concat());
            same_bits(&subject, "loss", &[out.loss.unwrap()], &[twin::total(&losses)]);

            must(subject.within("gradient", &gradient, &exact.gradient, |_, _| 5e-7));
            must(subject.within("lse", &out.lse.unwrap(), &exact.lse, |_, exact| {
                1e-6 * exact.abs().max(1.0)
            }));
            let off = |got: f32, exact: f64| (f64::from(got) - exact).abs();
            let losses = losses.iter().zip(&exact.row_losses);
            losses.for_each(|(&loss, &exact)| loss_errors.add(off(loss, exact) / ulp_of(exact, Dtype::F32)));
            let gradient = gradient.iter().zip(&exact.gradient);
            gradient.for_each(|(&g, &exact)| gradient_errors.add(off(g, exact) / ulp_of(exact, Dtype::F32)));
        }
        println!(
            "cross_entropy on {gpu:?}: loss {:.2} ULP, gradient {:.2} ULP of themselves at most",
            loss_errors.max, gradient_errors.max
        );
    }
}

#[test]
fn the_loss_survives_a_common_offset() {
    let (mut random, options) = (Random(4), all_outputs());
    for offset in [1e4f32, 1e6, 1e7] {
        for classes in [10, 1500] {
            let rows = Rows::new(5, classes);
            let x: Vec<f32> = random.logits(5 * classes, 4.0).iter().map(|v| v + offset).collect();
            let targets = random.targets(5, classes);
            let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
            let subject = Subject::new::<f32>(format!("cross_entropy at offset {offset}"), rows, &options);
            outputs_are(&subject, &options, &out, &exact);
        }
    }
}

/// Whether the call was refused because its schedule cannot run such rows.
fn is_refused<R>(result: &Result<R, RunError>) -> bool {
    matches!(result, Err(RunError::Encode(EncodeError::Schedule { .. })))
}

#[test]
fn every_schedule_gives_the_same_bits() {
    let mut random = Random(5);
    let mut ran = 0;
    for gpu in GPUS.iter() {
        for classes in [1, 5, 64, 100, 1024, 1025, 3000] {
            let rows = Rows::new(3, classes);
            let x = random.logits(3 * classes, 5.0);
            let targets = random.targets(3, classes);
            let expected = x.chunks(classes).flat_map(twin::softmax).collect::<Vec<f32>>();
            let first = gpu.cross_entropy(&x, &targets, rows, &all_outputs()).unwrap();
            for schedule in testing::schedules() {
                let options = Softmax {
                    schedule: Some(schedule),
                    ..Softmax::default()
                };
                let y = gpu.softmax(&x, rows, &options);
                if is_refused(&y) {
                    continue;
                }
                let subject = Subject::new::<f32>(on("softmax", gpu), rows, &options);
                same_bits(&subject, "y", &y.unwrap(), &expected);
                let options = CrossEntropy {
                    schedule: Some(schedule),
                    ..all_outputs()
                };
                let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
                let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
                must(subject.same_outputs(&out, &first));
                ran += 1;
            }
        }
    }
    println!("{ran} combinations of schedule and classes");
    assert!(
        ran >= 30,
        "only {ran} combinations of schedule and classes were not refused, and 30 are expected"
    );
}

/// The backward pass alone reads a row once, whatever the schedule.
#[test]
fn a_saved_lse_gives_the_same_bits_under_every_schedule() {
    let mut random = Random(6);
    let mut ran = 0;
    for gpu in GPUS.iter() {
        // Less than a chunk, more than one, and five, for as many rows as are held in registers.
        for classes in [5, 300, 1025, 5000] {
            let rows = Rows::new(5, classes);
            let x = random.logits(5 * classes, 5.0);
            let targets = random.targets(5, classes);
            let forward = gpu.cross_entropy(&x, &targets, rows, &all_outputs()).unwrap();
            let backward = |schedule| CrossEntropy {
                gradient: Gradient::Apart,
                from_lse: forward.lse.clone().map(Into::into),
                schedule,
                ..CrossEntropy::default()
            };
            let run = |options: &CrossEntropy| gpu.cross_entropy(&x, &targets, rows, options);
            let options = backward(None);
            let first = run(&options).unwrap().gradient.unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy from its lse", gpu), rows, &options);
            near(&subject, "gradient", &first, &exact.gradient);
            for schedule in testing::schedules() {
                let options = backward(Some(schedule));
                let out = run(&options);
                if is_refused(&out) {
                    continue;
                }
                let subject = Subject::new::<f32>(on("cross_entropy from its lse", gpu), rows, &options);
                same_bits(&subject, "gradient", &out.unwrap().gradient.unwrap(), &first);
                ran += 1;
            }
        }
    }
    println!("{ran} combinations of schedule and classes");
    assert!(
        ran >= 12,
        "only {ran} combinations of schedule and classes were not refused, and 12 are expected"
    );
}

#[test]
fn reductions_ignored_rows_and_upstream_gradients() {
    let mut random = Random(6);
    let (count, classes) = (2500, 6);
    let rows = Rows::new(count, classes);
    let x = random.logits(count * classes, 3.0);
    let targets: Vec<i32> = (0..count)
        .map(|i| if i % 7 == 3 { -1 } else { random.below(classes) as i32 })
        .collect();
    let per_row = random.logits(count, 1.0);
    for (reduction, upstream) in [
        (Reduction::None, Upstream::PerRow(per_row)),
        (Reduction::None, Upstream::Number(-2.0)),
        (Reduction::Sum, Upstream::Number(0.5)),
        (Reduction::Mean, Upstream::Number(3.0)),
    ] {
        let options = CrossEntropy {
            reduction,
            upstream,
            ignore_index: -1,
            ..all_outputs()
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        outputs_are(&subject, &options, &out, &exact);
        must(subject.within("gradient", &out.gradient.unwrap(), &exact.gradient, |_, _| 1e-6));
    }
}

#[test]
fn the_gradient_is_the_slope_of_the_loss() {
    let mut random = Random(7);
    let (rows, step) = (Rows::new(3, 9), 1e-5);
    let x = random.logits(27, 2.0);
    let targets = [4i32, -100, 8];
    for reduction in [Reduction::Sum, Reduction::Mean] {
        let options = CrossEntropy {
            reduction,
            ..all_outputs()
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let exact: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        let loss_at = |i: usize, shift: f64| {
            let mut moved = exact.clone();
            moved[i] += shift;
            reference::cross_entropy(&moved, &targets, rows, &options).unwrap().loss
        };
        let slope = |i| (loss_at(i, step) - loss_at(i, -step)) / (2.0 * step);
        let slopes: Vec<f64> = (0..x.len()).map(slope).collect();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        must(subject.within("gradient", &out.gradient.unwrap(), &slopes, |_, _| 9.9e-7));
    }
}

#[test]
fn any_axis_and_any_stride() {
    let mut random = Random(8);
    for gpu in GPUS.iter() {
        for rows in testing::layouts().unwrap() {
            let x = testing::laid_out(&mut random, &rows, 4.0).unwrap();
            let targets = random.targets(rows.count(), rows.classes());
            check_layout(gpu, &x, &targets, rows);
        }
    }
}

fn check_layout(gpu: &Gpu, x: &[f32], targets: &[u32], rows: Rows) {
    let options = Softmax::default();
    let y = gpu.softmax(x, rows, &options).unwrap();
    let exact = reference::softmax(x, rows, &options).unwrap();
    let subject = Subject::new::<f32>(on("softmax", gpu), rows, &options);
    must(subject.within("y", &y, &exact, |_, _| 1e-6));
    // Each row has the bits of its twin, wherever its classes lie, and padding is 0.
    let mut twin = vec![0.0; x.len()];
    for row in 0..rows.count() {
        let places: Vec<usize> = testing::places(&rows, row).collect();
        let logits: Vec<f32> = places.iter().map(|&i| x[i]).collect();
        places
            .iter()
            .zip(twin::softmax(&logits))
            .for_each(|(&i, y)| twin[i] = y);
    }
    same_bits(&subject, "y", &y, &twin);

    let options = all_outputs();
    let out = gpu.cross_entropy(x, targets, rows, &options).unwrap();
    let exact = reference::cross_entropy(x, targets, rows, &options).unwrap();
    let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
    outputs_are(&subject, &options, &out, &exact);
    must(subject.within("loss", &[out.loss.unwrap()], &[exact.loss], |_, exact| {
        1e-6 * exact.abs().max(1.0)
    }));
    must(subject.within("gradient", &out.gradient.unwrap(), &exact.gradient, |_, _| 1e-6));
}
