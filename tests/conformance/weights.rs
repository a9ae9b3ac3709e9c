//! Class weights of any size, negative ones, and those that are no numbers.

use crate::common::{GPUS, Random, Subject, equal, gpu, must, near, on};
use wgpu_softmax::testing::LossBounds;
use wgpu_softmax::{CrossEntropy, EncodeError, Gpu, Gradient, Reduction, Rows, reference};

const ROWS: usize = 40;

fn mean_with(weights: &[f32]) -> CrossEntropy {
    CrossEntropy {
        weights: Some(weights.to_vec().into()),
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    }
}

/// A mean divides by the sum of the weights, so that a power of two in all of them changes no bits.
#[test]
fn a_factor_of_all_weights_changes_no_mean() {
    let rows = Rows::new(ROWS, 3);
    let x = Random(411).logits(ROWS * 3, 6.0);
    let targets: Vec<u32> = (0..ROWS as u32).map(|row| row % 3).collect();
    let weights = [1.0, 0.5, 1.75];
    for gpu in GPUS.iter() {
        let expected = gpu.cross_entropy(&x, &targets, rows, &mean_with(&weights)).unwrap();
        // From subnormal numbers to those of which the sum over all rows would leave f32's range.
        for exponent in [-140, -126, -100, -64, -10, 10, 64, 100, 126] {
            let factor = f64::from(exponent).exp2();
            let options = mean_with(&weights.map(|weight| (f64::from(weight) * factor) as f32));
            let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
            let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
            equal(
                &subject,
                "loss",
                out.loss.map(f32::to_bits),
                expected.loss.map(f32::to_bits),
            );
            equal(&subject, "gradient", out.gradient, expected.gradient.clone());
        }
    }
}

/// Those of rows likewise, which a mean over soft targets divides by too.
#[test]
fn a_factor_of_all_row_weights_changes_no_mean() {
    let rows = Rows::new(4, 3);
    let x = Random(415).logits(12, 6.0);
    let mean = |factor: f64| CrossEntropy {
        row_weights: Some([1.0, 0.5, 0.0, 1.75].map(|r: f64| (r * factor) as f32).into()),
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let q: Vec<f32> = [0.25f32, 0.5, 0.25].repeat(4);
    for gpu in GPUS.iter() {
        let of = |options: &CrossEntropy| {
            let classes = gpu.cross_entropy(&x, &[0u8, 1, 2, 0], rows, options).unwrap();
            [classes, gpu.cross_entropy_soft(&x, &q, rows, options).unwrap()].map(|out| (out.loss, out.gradient))
        };
        for exponent in [-140, -100, 100, 126] {
            let options = mean(f64::from(exponent).exp2());
            let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
            equal(&subject, "losses and gradients", of(&options), of(&mean(1.0)));
        }
    }
}

/// A target's weight is the product of two, which may leave f32 where neither does by itself.
#[test]
fn weights_of_rows_and_classes_are_balanced_together() {
    let (x, rows) = (Random(416).logits(6, 6.0), Rows::new(2, 3));
    let of = |gpu: &Gpu, w: f32, r: f32| {
        let options = CrossEntropy {
            row_weights: Some(vec![r, r / 2.0].into()),
            ..mean_with(&[w, w, w / 4.0])
        };
        let out = gpu.cross_entropy(&x, &[0u8, 2], rows, &options).unwrap();
        (out.loss, out.gradient)
    };
    for gpu in GPUS.iter() {
        let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &rows);
        for exponent in [-62, -40, 40, 63] {
            let factor = f64::from(exponent).exp2() as f32;
            equal(
                &subject,
                "loss and gradient",
                of(gpu, factor, factor),
                of(gpu, 1.0, 1.0),
            );
        }
    }
}

/// It would be 0 where the losses' sum does not overflow.
#[test]
fn a_mean_by_a_sum_of_weights_that_overflows_is_nan() {
    let options = mean_with(&[1e38, 1e-38]);
    for gpu in GPUS.iter() {
        let out = gpu
            .cross_entropy(&[0f32; 8], &[0u8; 4], Rows::new(4, 2), &options)
            .unwrap();
        let gradient = out.gradient.unwrap();
        assert!(
            out.loss.unwrap().is_nan() && gradient.iter().all(|g| g.is_nan()),
            "{:?}, {gradient:?}",
            out.loss
        );
    }
}

/// Weights too far apart for one factor stay as they are, as those do that are added to a z-loss.
#[test]
fn small_weights_beside_large_ones_are_not_lost() {
    let rows = Rows::new(ROWS, 2);
    let x = Random(413).logits(ROWS * 2, 6.0);
    let targets = [1u32; ROWS];
    for (weights, z_loss) in [([1e30, 1e-30], 0.0), ([1e38, 1.2e-38], 0.0), ([1e25, 1.0], 1.0)] {
        let options = CrossEntropy {
            z_loss,
            ..mean_with(&weights)
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        near(&subject, "loss", &[out.loss.unwrap()], &[exact.loss]);
    }
}

/// As PyTorch computes them. Terms of either sign cancel, so that a loss is as exact as the largest of them.
#[test]
fn negative_weights_are_computed_with() {
    let rows = Rows::new(ROWS, 5);
    let x = Random(412).logits(ROWS * 5, 3.0);
    let targets: Vec<i64> = (0..ROWS as i64).map(|row| row % 5).collect();
    for (reduction, label_smoothing) in [(Reduction::Mean, 0.0), (Reduction::Mean, 0.1), (Reduction::None, 0.1)] {
        let options = CrossEntropy {
            label_smoothing,
            reduction,
            row_losses: true,
            ..mean_with(&[-1.0, 2.0, 0.0, -0.25, 1.5])
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        near(&subject, "row losses", &out.row_losses.unwrap(), &exact.row_losses);
        near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
        if let Some(loss) = out.loss {
            near(&subject, "loss", &[loss], &[exact.loss]);
        }
    }
}

#[test]
fn weights_that_are_no_numbers_are_errors() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let options = mean_with(&[1.0, 1.0, bad]);
        let error = gpu()
            .cross_entropy(&[0.0f32; 3], &[0u32], Rows::new(1, 3), &options)
            .err();
        let expected = EncodeError::BadElement {
            option: "weights",
            index: 2,
            value: bad.to_string(),
            must: "finite",
        };
        let subject = Subject::new::<f32>("cross_entropy", Rows::new(1, 3), &options);
        equal(
            &subject,
            "the error",
            error.map(|e| e.to_string()),
            Some(expected.to_string()),
        );
    }
}

/// Sums over more rows than one work-group takes, of rows that are counted by their own weights and those of their targets.
#[test]
fn means_over_many_rows_divide_by_the_weights_of_all() {
    const COUNT: usize = 70_000;
    let rows = Rows::new(COUNT, 2);
    let x = Random(414).logits(COUNT * 2, 2.0);
    let targets: Vec<i64> = (0..COUNT as i64).map(|row| [0, 1, -100][row as usize % 3]).collect();
    let row_weights: Vec<f32> = (0..COUNT).map(|row| [0.0, 0.5, 1.25, 3.0][row % 4]).collect();
    let options = CrossEntropy {
        row_weights: Some(row_weights.into()),
        z_loss: 0.125,
        correct: true,
        ..mean_with(&[0.75, 2.0])
    };
    let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
    for gpu in GPUS.iter() {
        let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
        near(&subject, "loss", &[out.loss.unwrap()], &[exact.loss]);
        let bounds = LossBounds::new(&options, &exact);
        let gradient = out.gradient.unwrap();
        must(subject.within("gradient", &gradient, &exact.gradient, |i, _| {
            bounds.gradient[i].allowed
        }));
        let counts = (out.counted, out.correct.unwrap());
        equal(&subject, "counted and correct", counts, (exact.counted, exact.correct));
    }
}

/// A row of weight 0 takes no part, whatever it holds; the others are what they are without it.
#[test]
fn a_row_of_weight_0_takes_no_part() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let rows = Rows::new(4, 3);
    let good = [1.0f32, 2.0, 3.0];
    let all: Vec<f32> = bad.iter().flat_map(|&v| [v; 3]).chain(good).collect();
    for gpu in GPUS.iter() {
        let alone = gpu
            .cross_entropy(&good, &[0i64], Rows::new(1, 3), &mean_with(&[1.0, 2.0, 3.0]))
            .unwrap();
        let options = CrossEntropy {
            row_weights: Some(vec![0.0, 0.0, -0.0, 1.0].into()),
            correct: true,
            ..mean_with(&[1.0, 2.0, 3.0])
        };
        let out = gpu.cross_entropy(&all, &[0i64, 1, 99, 0], rows, &options).unwrap();
        let subject = Subject::new::<f32>(on("cross_entropy", gpu), rows, &options);
        equal(&subject, "loss", out.loss, alone.loss);
        let gradient: Vec<f32> = [0.0; 9].into_iter().chain(alone.gradient.unwrap()).collect();
        equal(&subject, "gradient", out.gradient, Some(gradient));
        equal(
            &subject,
            "counted and correct",
            (out.counted, out.correct),
            (1, Some(0)),
        );
    }
}

#[test]
fn negative_row_weights_are_errors() {
    for bad in [f32::NAN, f32::INFINITY, -1.0] {
        let options = CrossEntropy {
            row_weights: Some(vec![1.0, bad].into()),
            ..CrossEntropy::default()
        };
        let error = gpu()
            .cross_entropy(&[0.0f32; 6], &[0u32, 1], Rows::new(2, 3), &options)
            .err();
        let subject = Subject::new::<f32>("cross_entropy", Rows::new(2, 3), &options);
        let expected = format!("row_weights[1] is {bad}, but must be finite and at least 0");
        let error = error.map(|e| e.to_string());
        equal(&subject, "the error", error.as_deref(), Some(expected.as_str()));
    }
}
