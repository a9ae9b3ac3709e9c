//! Class weights of any size, negative ones, and those that are no numbers.

use crate::common::{GPUS, Random, Subject, equal, gpu, near, on};
use wgpu_softmax::{CrossEntropy, EncodeError, Gradient, Reduction, Rows, reference};

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
