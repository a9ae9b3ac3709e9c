//! Every kernel against the f64 reference and against its f32 twin, bit by bit.
#![allow(clippy::unwrap_used)]

mod common;

use common::{CLASSES, GPUS, Random, bits, gpu, near, ulp};
use wgpu_softmax::testing::{self, ODD_ROWS};
use wgpu_softmax::{
    CrossEntropy, EncodeError, FullyMasked, Gpu, Gradient, Reduction, Rows, RunError, Softmax, Upstream, reference,
    twin,
};

/// Everything that can be asked for.
fn all_outputs() -> CrossEntropy {
    CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        lse: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    }
}

#[test]
fn softmax_is_its_twin_bit_by_bit_and_within_4_ulp_plus_rounding() {
    let mut random = Random(1);
    for gpu in GPUS.iter() {
        let (mut worst, mut total, mut count) = (0f64, 0f64, 0usize);
        for classes in CLASSES.iter().copied() {
            let rows = Rows::new(3, classes);
            // Narrow, usual, and so wide that most classes underflow.
            for spread in [0.1, 3.0, 60.0] {
                let x = random.logits(3 * classes, spread);
                let y = gpu.softmax(&x, rows, &Softmax::default()).unwrap();
                let exact = reference::softmax(&x, rows, &Softmax::default()).unwrap();
                for (row, (x, y)) in x.chunks(classes).zip(y.chunks(classes)).enumerate() {
                    assert_eq!(bits(y), bits(&twin::softmax(x)), "row {row} of {classes} classes");
                    let m = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                    for (c, (&y, &exact)) in y.iter().zip(&exact[row * classes..]).enumerate() {
                        // Half an ULP of x - m, relative, is as many ULP (of 2^-24 to 2^-23) of the result.
                        let rounding = f64::from(m - x[c]);
                        let error = ulp(y, exact);
                        assert!(
                            exact < 2f64.powi(-126) || error <= 4.0 + rounding,
                            "{classes} classes: {error} ULP"
                        );
                        if exact >= 2f64.powi(-126) {
                            (worst, total, count) = (worst.max(error), total + error, count + 1);
                        }
                    }
                }
            }
        }
        println!(
            "softmax on {gpu:?}: {worst:.2} ULP at most, {:.3} on average, of {count}",
            total / count as f64
        );
    }
}

#[test]
fn log_softmax_is_near_the_reference() {
    let mut random = Random(2);
    for gpu in GPUS.iter() {
        for classes in CLASSES.iter().copied() {
            let rows = Rows::new(2, classes);
            let x = random.logits(2 * classes, 5.0);
            let y = gpu.softmax(&x, rows, &Softmax::log()).unwrap();
            let exact = reference::softmax(&x, rows, &Softmax::log()).unwrap();
            for (y, exact) in y.iter().zip(exact) {
                assert!(
                    (f64::from(*y) - exact).abs() <= 1e-6 * exact.abs().max(1.0),
                    "{classes}: {y} for {exact}"
                );
            }
        }
    }
}

#[test]
fn cross_entropy_is_its_twin_bit_by_bit_and_near_the_reference() {
    let mut random = Random(3);
    for gpu in GPUS.iter() {
        let (mut worst_loss, mut worst_gradient) = (0f64, 0f64);
        for classes in CLASSES.iter().copied() {
            let rows = Rows::new(4, classes);
            let x = random.logits(4 * classes, 4.0);
            let targets = random.targets(4, classes);
            let options = CrossEntropy {
                reduction: Reduction::Sum,
                ..all_outputs()
            };
            let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
            let (losses, gradient) = (out.row_losses.unwrap(), out.gradient.unwrap());
            for (row, x) in x.chunks(classes).enumerate() {
                let (loss, g) = twin::cross_entropy(x, targets[row] as usize, 1.0);
                assert_eq!(losses[row].to_bits(), loss.to_bits(), "loss of {classes} classes");
                assert_eq!(
                    bits(&gradient[row * classes..][..classes]),
                    bits(&g),
                    "gradient of {classes} classes"
                );
                worst_loss =
                    worst_loss.max((f64::from(loss) - exact.row_losses[row]).abs() / exact.row_losses[row].max(1.0));
            }
            for (g, exact) in gradient.iter().zip(&exact.gradient) {
                worst_gradient = worst_gradient.max((f64::from(*g) - exact).abs());
            }
            assert_eq!(out.loss.unwrap().to_bits(), twin::total(&losses).to_bits());
            assert!((0..4).all(|i| out.argmax.as_ref().unwrap()[i] as usize == exact.argmax[i]));
            assert_eq!((out.correct, out.counted), (Some(exact.correct), exact.counted));
            for (lse, exact) in out.lse.unwrap().iter().zip(&exact.lse) {
                assert!((f64::from(*lse) - exact).abs() <= 1e-6 * exact.abs().max(1.0));
            }
        }
        println!(
            "cross_entropy on {gpu:?}: loss {worst_loss:.1e} relative, gradient {worst_gradient:.1e} absolute at most"
        );
        assert!(worst_loss <= 2e-6 && worst_gradient <= 5e-7);
    }
}

#[test]
fn the_loss_survives_a_common_offset() {
    let mut random = Random(4);
    for offset in [1e4f32, 1e6, 1e7] {
        for classes in [10, 1500] {
            let rows = Rows::new(5, classes);
            let x: Vec<f32> = random.logits(5 * classes, 4.0).iter().map(|v| v + offset).collect();
            let targets = random.targets(5, classes);
            let out = gpu().cross_entropy(&x, &targets, rows, &all_outputs()).unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &all_outputs()).unwrap();
            for (loss, exact) in out.row_losses.unwrap().iter().zip(exact.row_losses) {
                assert!(
                    (f64::from(*loss) - exact).abs() <= 2e-6 * exact.max(1.0),
                    "{loss} for {exact} at {offset}"
                );
            }
        }
    }
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
                let softmax = Softmax {
                    schedule: Some(schedule),
                    ..Softmax::default()
                };
                let y = match gpu.softmax(&x, rows, &softmax) {
                    Err(RunError::Encode(EncodeError::Schedule { .. })) => continue,
                    y => y.unwrap(),
                };
                assert_eq!(bits(&y), bits(&expected), "{schedule} with {classes} classes");
                let options = CrossEntropy {
                    schedule: Some(schedule),
                    ..all_outputs()
                };
                assert_eq!(
                    gpu.cross_entropy(&x, &targets, rows, &options).unwrap(),
                    first,
                    "{schedule}, {classes} classes"
                );
                ran += 1;
            }
        }
    }
    println!("{ran} combinations of schedule and classes");
    assert!(ran >= 30, "{ran}");
}

/// The backward pass alone reads a row once, whoever holds it.
#[test]
fn a_saved_lse_gives_the_same_bits_under_every_schedule() {
    let mut random = Random(6);
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
            let first = run(&backward(None)).unwrap().gradient.unwrap();
            let exact = reference::cross_entropy(&x, &targets, rows, &backward(None)).unwrap();
            near("gradient", &first, &exact.gradient);
            for schedule in testing::schedules() {
                match run(&backward(Some(schedule))) {
                    Err(RunError::Encode(EncodeError::Schedule { .. })) => continue,
                    out => assert_eq!(
                        bits(&out.unwrap().gradient.unwrap()),
                        bits(&first),
                        "{schedule}, {classes}"
                    ),
                }
            }
        }
    }
}

fn word_equal(a: f32, b: f64) -> bool {
    a == b as f32 || (a.is_nan() && b.is_nan()) || (f64::from(a) - b).abs() <= 1e-6 * b.abs().max(1.0)
}

#[test]
fn rows_that_are_not_ordinary() {
    for gpu in GPUS.iter() {
        for length in [3, 4, 64, 1000, 1030, 2050] {
            let x = testing::odd_rows(length);
            let rows = Rows::new(ODD_ROWS.len(), length);
            for fully_masked in [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform] {
                for log in [false, true] {
                    let options = Softmax {
                        log,
                        fully_masked,
                        ..Softmax::default()
                    };
                    let y = gpu.softmax(&x, rows, &options).unwrap();
                    for (i, (y, exact)) in y
                        .iter()
                        .zip(reference::softmax(&x, rows, &options).unwrap())
                        .enumerate()
                    {
                        let (row, c) = (i / length, i % length);
                        assert!(
                            word_equal(*y, exact),
                            "{y} for {exact}: {:?} class {c} of {length} {options:?}",
                            ODD_ROWS[row]
                        );
                    }
                }
                for target in [0i64, 1, 2, -100] {
                    let targets = vec![target; ODD_ROWS.len()];
                    let options = CrossEntropy {
                        fully_masked,
                        reduction: Reduction::None,
                        ..all_outputs()
                    };
                    let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
                    let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
                    for (row, special) in ODD_ROWS.iter().enumerate() {
                        let what = format!("{:?} of {length}, target {target}, {fully_masked:?}", special);
                        let (loss, lse) = (out.row_losses.as_ref().unwrap()[row], out.lse.as_ref().unwrap()[row]);
                        assert!(
                            word_equal(loss, exact.row_losses[row]),
                            "loss {loss} for {}: {what}",
                            exact.row_losses[row]
                        );
                        assert!(
                            word_equal(lse, exact.lse[row]),
                            "lse {lse} for {}: {what}",
                            exact.lse[row]
                        );
                        assert_eq!(
                            out.argmax.as_ref().unwrap()[row] as usize,
                            exact.argmax[row],
                            "argmax: {what}"
                        );
                        for c in row * length..(row + 1) * length {
                            let (g, exact) = (out.gradient.as_ref().unwrap()[c], exact.gradient[c]);
                            assert!(word_equal(g, exact), "gradient {g} for {exact}: {what}");
                        }
                    }
                }
            }
        }
    }
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
        assert_eq!((out.counted, out.correct), (exact.counted, Some(exact.correct)));
        assert_eq!(out.loss.is_none(), reduction == Reduction::None);
        assert!((f64::from(out.loss.unwrap_or(0.0)) - exact.loss).abs() <= 2e-6 * exact.loss.abs().max(1.0));
        for (g, exact) in out.gradient.unwrap().iter().zip(exact.gradient) {
            assert!((f64::from(*g) - exact).abs() <= 1e-6, "{g} for {exact}");
        }
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
        let gradient = gpu()
            .cross_entropy(&x, &targets, rows, &options)
            .unwrap()
            .gradient
            .unwrap();
        let exact: Vec<f64> = x.iter().map(|&v| v.into()).collect();
        for i in 0..x.len() {
            let loss_at = |shift: f64| {
                let mut moved = exact.clone();
                moved[i] += shift;
                reference::cross_entropy(&moved, &targets, rows, &options).unwrap().loss
            };
            let slope = (loss_at(step) - loss_at(-step)) / (2.0 * step);
            assert!(
                (f64::from(gradient[i]) - slope).abs() < 1e-6,
                "{} for {slope}",
                gradient[i]
            );
        }
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
    let y = gpu.softmax(x, rows, &Softmax::default()).unwrap();
    for (y, exact) in y.iter().zip(reference::softmax(x, rows, &Softmax::default()).unwrap()) {
        assert!(word_equal(*y, exact), "{y} for {exact} in {rows:?}");
    }
    let out = gpu.cross_entropy(x, targets, rows, &all_outputs()).unwrap();
    let exact = reference::cross_entropy(x, targets, rows, &all_outputs()).unwrap();
    assert!(word_equal(out.loss.unwrap(), exact.loss), "{rows:?}");
    for (g, exact) in out.gradient.unwrap().iter().zip(exact.gradient) {
        assert!((f64::from(*g) - exact).abs() <= 1e-6, "{g} for {exact} in {rows:?}");
    }
}
