//! The losses and their gradients.

use super::*;

fn cross_entropies(rows: &Rows) -> Vec<CrossEntropy> {
    let mut all = Vec::new();
    let weights = values(&[0.5, 2.0, 1.0, 0.0, 1.5]);
    for adjust in adjusts(rows) {
        for (weights, label_smoothing, z_loss) in [
            (None, 0.0, 0.0),
            (None, 0.25, 0.0),
            (Some(weights.clone()), 0.0, 0.125),
            (Some(weights.clone()), 0.25, 0.125),
        ] {
            for (reduction, normalizer) in [
                (Reduction::Sum, Normalizer::Rows),
                (Reduction::Mean, Normalizer::Rows),
                (Reduction::Mean, Normalizer::Number(7.0)),
            ] {
                all.push(CrossEntropy {
                    adjust: adjust.clone(),
                    weights: weights.clone(),
                    label_smoothing,
                    z_loss,
                    reduction,
                    normalizer,
                    upstream: Upstream::Number(0.75),
                    ..CrossEntropy::default()
                });
            }
        }
    }
    all
}

/// Compares the gradient that `run` gives with the differences of its loss, unless the loss is infinite; returns
/// whether it did.
fn is_the_slope(
    subject: &Subject<'_>,
    x: &[f64],
    counted: usize,
    run: impl Fn(&[f64]) -> CrossEntropyReference,
) -> bool {
    let out = run(x);
    must(subject.equal("counted", &out.counted, &counted));
    must(subject.equal("whether the loss is NaN", &out.loss.is_nan(), &false));
    if out.loss == INF {
        return false;
    }
    close(
        subject,
        "gradient",
        &out.gradient,
        &differences(x, |x| 0.75 * run(x).loss),
    );
    true
}

#[test]
fn cross_entropy_gradients_are_the_differences() {
    let mut compared = [0; 3];
    for rows in shapes() {
        let x = numbers(rows.elements().unwrap(), 7);
        let targets = [1, 0, -100, 2];
        let q: Vec<f64> = numbers(x.len(), 8).iter().map(|v| v.abs() / 5.0).collect();
        for options in cross_entropies(&rows) {
            let subject = Subject::reference("cross_entropy", rows, &options);
            let run = |x: &[f64]| cross_entropy(x, &targets, rows, &options).unwrap();
            compared[0] += usize::from(is_the_slope(&subject, &x, 3, run));

            let subject = Subject::reference("cross_entropy_soft", rows, &options);
            let run = |x: &[f64]| cross_entropy_soft(x, &q, rows, &options).unwrap();
            compared[1] += usize::from(is_the_slope(&subject, &x, 4, run));

            let options = CrossEntropy {
                input: Input::LogProbs,
                z_loss: 0.0,
                label_smoothing: 0.0,
                adjust: Adjust::default(),
                ..options
            };
            let subject = Subject::reference("nll_loss", rows, &options);
            let run = |x: &[f64]| cross_entropy(x, &targets, rows, &options).unwrap();
            compared[2] += usize::from(is_the_slope(&subject, &x, 3, run));
        }
    }
    // The other losses of logits are infinite.
    assert_eq!(
        compared,
        [93, 54, 144],
        "gradients compared: of classes, of soft targets, of log-probabilities"
    );
}

#[test]
fn one_upstream_gradient_a_row() {
    let rows = Rows::new(3, 4);
    let (x, g) = (numbers(12, 9), [0.5f32, -1.0, 2.0]);
    let options = CrossEntropy {
        reduction: Reduction::None,
        upstream: Upstream::PerRow(g.to_vec()),
        label_smoothing: 0.1,
        z_loss: 0.01,
        ..CrossEntropy::default()
    };
    let out = |x: &[f64]| cross_entropy(x, &[3, 2, 0], rows, &options).unwrap();
    let expected = differences(&x, |x| dot(&out(x).row_losses, &g.map(f64::from)));
    let subject = Subject::reference("cross_entropy", rows, &options);
    close(&subject, "gradient", &out(&x).gradient, &expected);
    must(subject.equal("loss", &out(&x).loss, &0.0));
}

#[test]
fn soft_targets_of_one_class_are_that_class() {
    let rows = Rows::new(2, 3);
    let x = [0.5, -INF, 2.0, 1e6, 1e6 + 1.0, 1e6 - 3.0];
    let options = CrossEntropy {
        z_loss: 0.25,
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    let hard = cross_entropy(&x, &[2u8, 1], rows, &options).unwrap();
    let soft = cross_entropy_soft(&x, &[0.0, 0.0, 1.0, 0.0, 1.0, 0.0], rows, &options).unwrap();
    let subject = Subject::reference("cross_entropy_soft", rows, &options);
    close(&subject, "gradient", &soft.gradient, &hard.gradient);
    close(&subject, "row losses", &soft.row_losses, &hard.row_losses);
    let counts = (hard.correct, soft.correct, soft.counted);
    must(subject.equal(
        "correct of classes, correct of soft targets, counted",
        &counts,
        &(2, 0, 2),
    ));
    must(subject.equal("the masked class's gradient", &hard.gradient[1], &0.0));
    let expected = -(1f64 + 1f64.exp() + (-3f64).exp()).ln() + 1.0;
    let subject = Subject::reference("cross_entropy", rows, &options);
    must(subject.within("log_prob", &hard.log_probs[1..], &[expected], |_, _| 9.9e-16));
}

#[test]
fn rows_with_nan_and_infinities() {
    let rows = Rows::new(6, 2);
    let nan = f64::NAN;
    #[rustfmt::skip]
    let x = [nan, 0.0, INF, 0.0, -INF, -INF, nan, 0.0, 1.0, 2.0, -INF, 0.0];
    let targets = [0, 0, 0, -100, 5, 0];
    for (fully_masked, loss, [a, b], lse, log_prob) in [
        (FullyMasked::Nan, nan, [nan; 2], nan, nan),
        (FullyMasked::Zeros, 0.0, [0.0; 2], -INF, -INF),
        (FullyMasked::Uniform, 2f64.ln(), [-0.5, 0.5], -(2f64.ln()), -(2f64.ln())),
    ] {
        let options = CrossEntropy {
            fully_masked,
            reduction: Reduction::None,
            ..CrossEntropy::default()
        };
        let out = cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::reference("cross_entropy", rows, &options);
        close(
            &subject,
            "row losses",
            &out.row_losses,
            &[nan, nan, loss, 0.0, nan, INF],
        );
        let expected = [nan, nan, nan, nan, a, b, 0.0, 0.0, nan, nan, -1.0, 1.0];
        close(&subject, "gradient", &out.gradient, &expected);
        let ordinary = 2.0 + (1.0 + (-1f64).exp()).ln();
        close(&subject, "lse", &out.lse, &[nan, nan, lse, nan, ordinary, 0.0]);
        let z_loss = if loss.is_nan() { nan } else { 0.0 };
        close(
            &subject,
            "row z-losses",
            &out.row_z_losses,
            &[nan, nan, z_loss, 0.0, nan, 0.0],
        );
        close(
            &subject,
            "log_prob",
            &out.log_probs,
            &[nan, nan, log_prob, 0.0, nan, -INF],
        );
        must(subject.equal("counted and correct", &(out.counted, out.correct), &(4, 0)));
    }
    let options = CrossEntropy {
        label_smoothing: 0.5,
        ..CrossEntropy::default()
    };
    let rows = Rows::new(1, 2);
    let out = cross_entropy(&[-INF, 0.0], &[1], rows, &options).unwrap();
    must(Subject::reference("cross_entropy", rows, &options).equal("loss", &out.loss, &INF));
}

#[test]
fn a_mean_over_nothing() {
    let rows = Rows::new(1, 2);
    let weightless = Some(values(&[0.0, 0.0]));
    for (target, empty_mean, weights, loss) in [
        (-100, EmptyMean::Nan, None, f64::NAN),
        (-100, EmptyMean::Zero, None, 0.0),
        (1, EmptyMean::Zero, weightless, 0.0),
    ] {
        let options = CrossEntropy {
            z_loss: 1.0,
            empty_mean,
            weights,
            ..CrossEntropy::default()
        };
        let out = cross_entropy(&[0.0, 1.0], &[target], rows, &options).unwrap();
        let subject = Subject::reference(format!("cross_entropy with target {target}"), rows, &options);
        must(subject.within("loss", &[out.loss], &[loss], |_, _| 0.0));
        must(subject.each("gradient", &out.gradient, &[0.0, 0.0]));
    }
}

#[test]
fn binary_gradients_are_the_differences() {
    for rows in shapes() {
        let x: Vec<f64> = numbers(rows.elements().unwrap(), 11).iter().map(|v| v * 5.0).collect();
        let t: Vec<f64> = numbers(x.len(), 12).iter().map(|v| v.abs() / 2.0).collect();
        for weight in [
            Mask::None,
            Mask::Classes(values(&numbers(5, 13))),
            Mask::Full(values(&numbers(x.len(), 14))),
        ] {
            for reduction in [Reduction::Sum, Reduction::Mean] {
                let options = BinaryCrossEntropy {
                    weight: weight.clone(),
                    pos_weight: Some(values(&[0.5, 2.0, 1.0, 0.0, 3.0])),
                    reduction,
                    upstream: Upstream::Number(-2.0),
                    ..BinaryCrossEntropy::default()
                };
                let out = |x: &[f64]| binary_cross_entropy_with_logits(x, &t, rows, &options).unwrap();
                let expected = differences(&x, |x| -2.0 * out(x).loss);
                let subject = Subject::reference("binary_cross_entropy_with_logits", rows, &options);
                close(&subject, "gradient", &out(&x).gradient, &expected);
            }
        }
    }
}

#[test]
fn binary_values_at_the_ends() {
    let options = BinaryCrossEntropy {
        reduction: Reduction::None,
        ..BinaryCrossEntropy::default()
    };
    let rows = Rows::new(7, 1);
    let x = [0.0, INF, INF, -INF, -INF, f64::NAN, 0.0];
    let t = [0.5, 1.0, 0.5, 0.0, 0.5, 0.0, f64::NAN];
    let out = binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
    let nan = f64::NAN;
    let subject = Subject::reference("binary_cross_entropy_with_logits", rows, &options);
    close(
        &subject,
        "losses",
        &out.losses,
        &[2f64.ln(), 0.0, INF, 0.0, INF, nan, nan],
    );
    close(
        &subject,
        "gradient",
        &out.gradient,
        &[0.0, 0.0, 0.5, 0.0, -0.5, nan, nan],
    );
}
