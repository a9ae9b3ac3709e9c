//! Rows of unequal length against the f64 reference.

use super::common::outputs::outputs_are;
use super::common::{Random, Subject, gpu, near};
use super::{SCHEDULE, SHORT, logits, of_lengths, row};
use wgpu_softmax::{CrossEntropy, FullyMasked, Gradient, LogSumExp, Rows, Softmax, SoftmaxGrad, Values, reference};

#[test]
fn the_reference_takes_rows_as_they_are_alone() {
    let rows = of_lengths(&SHORT);
    let x: Vec<f32> = logits(&mut Random(421), &rows);
    let options = Softmax::default();
    let y = reference::softmax(&x, &rows, &options).unwrap();
    let lse = reference::logsumexp(&x, &rows, &LogSumExp::default()).unwrap();
    for (number, lse) in lse.iter().enumerate() {
        let x = row(&x, &rows, number);
        if x.is_empty() {
            assert!(lse.is_nan(), "lse of empty row {number}: {lse}");
            continue;
        }
        let alone = Rows::new(1, x.len());
        let same = |a: &f64, b: &f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let expected = reference::softmax(x, alone, &options).unwrap();
        assert!(
            row(&y, &rows, number).iter().zip(&expected).all(|(a, b)| same(a, b)),
            "row {number}"
        );
        let expected = reference::logsumexp(x, alone, &LogSumExp::default()).unwrap();
        assert!(same(lse, &expected[0]), "lse of row {number}");
    }
}

#[test]
fn the_softmax_family_is_near_the_reference() {
    let rows = of_lengths(&SHORT);
    let mut random = Random(422);
    let x: Vec<f32> = logits(&mut random, &rows);
    let g = random.logits(rows.elements(), 1.0);
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let subject = Subject::new::<f32>("rows of unequal length", Rows::new(1, x.len()), &options);
    let y = gpu().softmax(&x, &rows, &options).unwrap();
    near(&subject, "y", &y, &reference::softmax(&x, &rows, &options).unwrap());
    let grad = SoftmaxGrad {
        schedule: SCHEDULE,
        ..SoftmaxGrad::default()
    };
    let dx = gpu().softmax_grad(&y, &g, None, &rows, &grad).unwrap();
    near(
        &subject,
        "gradient",
        &dx,
        &reference::softmax_grad(&y, &g, &rows, false, None).unwrap(),
    );
    let lse_options = LogSumExp {
        fully_masked: FullyMasked::Zeros,
        schedule: SCHEDULE,
        ..LogSumExp::default()
    };
    let lse = gpu().logsumexp(&x, &rows, &lse_options).unwrap();
    let exact = reference::logsumexp(&x, &rows, &lse_options).unwrap();
    near(&subject, "lse", &lse, &exact);
    let by_row = random.logits(rows.count(), 1.0);
    let upstream: Vec<f64> = by_row.iter().map(|&g| g.into()).collect();
    let exact = reference::logsumexp_grad(&x, &upstream, &rows, &lse_options).unwrap();
    let dlse = gpu().logsumexp_grad(&x, &lse, &by_row, &rows, &lse_options).unwrap();
    near(&subject, "gradient of lse", &dlse, &exact);
}

/// A mean, with everything that follows from the number of classes of each row.
#[test]
fn losses_are_near_the_reference() {
    let lengths: Vec<usize> = (0..300).map(|row| row * 37 % 41).collect();
    let rows = of_lengths(&lengths);
    let mut random = Random(423);
    let x = random.logits(rows.elements(), 3.0);
    let targets: Vec<i64> = (0..)
        .zip(&lengths)
        .map(|(row, &n)| if n == 0 { -1 } else { row % n as i64 })
        .collect();
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        label_smoothing: 0.1,
        z_loss: 1e-3,
        weights: Some(Values::from(
            random.logits(40, 1.0).iter().map(|w| w.abs()).collect::<Vec<_>>(),
        )),
        ignore_index: -1,
        fully_masked: FullyMasked::Zeros,
        row_losses: true,
        row_z_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    };
    let subject = Subject::new::<f32>("losses of rows of unequal length", Rows::new(1, x.len()), &options);
    let out = gpu().cross_entropy(&x, &targets, &rows, &options).unwrap();
    outputs_are(
        &subject,
        &options,
        &out,
        &reference::cross_entropy(&x, &targets, &rows, &options).unwrap(),
    );
    let q: Vec<f32> = random.logits(rows.elements(), 0.1).iter().map(|q| q.abs()).collect();
    let options = CrossEntropy {
        log_prob: false,
        correct: false,
        weights: None,
        ..options.clone()
    };
    let out = gpu().cross_entropy_soft(&x, &q, &rows, &options).unwrap();
    outputs_are(
        &subject,
        &options,
        &out,
        &reference::cross_entropy_soft(&x, &q, &rows, &options).unwrap(),
    );
}
