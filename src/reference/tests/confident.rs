//! Rows that are all but certain, whose losses and gradients are small: against numbers worked out to 50 digits (mpmath).

#![allow(clippy::excessive_precision)]

use super::*;

/// Within 1e-14 of each value itself, however small that is.
#[track_caller]
fn to_14_digits(subject: &Subject<'_>, output: &str, got: &[f64], expected: &[f64]) {
    must(subject.within(output, got, expected, |_, exact| 1e-14 * exact.abs()));
}

#[test]
fn two_classes_17_apart() {
    let rows = Rows::new(2, 2);
    let options = CrossEntropy {
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    let out = cross_entropy(&[17.0, 0.0, 17.0, 0.0], &[0, 1], rows, &options).unwrap();
    let subject = Subject::reference("cross_entropy", rows, &options);
    let (loss, share) = (4.1399376330897474e-8, 4.1399375473943306e-8);
    let losses = [loss, 17.000000041399376];
    to_14_digits(&subject, "row losses", &out.row_losses, &losses);
    to_14_digits(&subject, "log_prob", &out.log_probs, &losses.map(|loss| -loss));
    let gradient = [-share, share, 1.0 - share, -(1.0 - share)];
    to_14_digits(&subject, "gradient", &out.gradient, &gradient);
    to_14_digits(&subject, "entropy", &out.entropies, &[7.4518875938793368e-7; 2]);
    to_14_digits(&subject, "lse", &out.lse, &[17.000000041399376; 2]);
    to_14_digits(&subject, "ln d", &out.scales.ln_sums, &[loss; 2]);

    let options = Softmax::log();
    let y = softmax(&[17.0, 0.0], Rows::new(1, 2), &options).unwrap();
    let subject = Subject::reference("log_softmax", Rows::new(1, 2), &options);
    to_14_digits(&subject, "y", &y, &losses.map(|loss| -loss));
}

#[test]
fn a_gap_whose_exponential_an_f64_swallows() {
    let (rows, options) = (Rows::new(1, 2), CrossEntropy::default());
    let out = cross_entropy(&[80.0, 0.0], &[0], rows, &options).unwrap();
    let subject = Subject::reference("cross_entropy", rows, &options);
    let share = 1.8048513878454152e-35;
    to_14_digits(&subject, "loss", &[out.loss], &[share]);
    to_14_digits(&subject, "gradient", &out.gradient, &[-share, share]);
    to_14_digits(&subject, "entropy", &out.entropies, &[81.0 * share]);
}

#[test]
fn two_largest_classes() {
    let (rows, options) = (Rows::new(1, 3), CrossEntropy::default());
    let out = cross_entropy(&[30.0, 0.0, 30.0], &[2], rows, &options).unwrap();
    let subject = Subject::reference("cross_entropy", rows, &options);
    to_14_digits(&subject, "loss", &[out.loss], &[0.6931471805599921]);
    let gradient = [0.49999999999997661, 4.6788114844198684e-14, -0.50000000000002339];
    to_14_digits(&subject, "gradient", &out.gradient, &gradient);
}

#[test]
fn every_option_of_a_confident_row() {
    let rows = Rows::new(1, 2);
    let options = CrossEntropy {
        weights: Some(values(&[0.5, 2.0])),
        label_smoothing: 0.25,
        z_loss: 0.125,
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    let out = cross_entropy(&[30.0, 0.0], &[0], rows, &options).unwrap();
    let subject = Subject::reference("cross_entropy", rows, &options);
    to_14_digits(&subject, "loss", &[out.loss], &[120.00000000000077]);
    let gradient = [7.7499999999992572, -0.24999999999923384];
    to_14_digits(&subject, "gradient", &out.gradient, &gradient);
    // Of the first class it is all that is in proportion to y, of the second it is the class's own weight.
    let terms = &out.scales.gradient_terms;
    to_14_digits(&subject, "the largest term", terms, &[7.8124999999992923, 0.25]);
}

#[test]
fn soft_targets_all_but_on_one_class() {
    let (rows, options) = (Rows::new(1, 2), CrossEntropy::default());
    let q = [1.0 - 2f64.powi(-20), 2f64.powi(-20)];
    let out = cross_entropy_soft(&[30.0, 0.0], &q, rows, &options).unwrap();
    let subject = Subject::reference("cross_entropy_soft", rows, &options);
    to_14_digits(&subject, "loss", &[out.loss], &[2.861022958576373e-5]);
    let share = 9.5367422283002031e-7;
    to_14_digits(&subject, "gradient", &out.gradient, &[share, -share]);
}

#[test]
fn the_derivatives_of_a_confident_row() {
    let (rows, options) = (Rows::new(1, 2), Softmax::default());
    let share = 9.3576229688384233e-14;
    let jacobian = softmax_jacobian(&[30.0, 0.0], rows, &options).unwrap();
    let subject = Subject::reference("softmax_jacobian", rows, &options);
    to_14_digits(&subject, "the derivative", &jacobian, &[share, -share, -share, share]);

    let options = Softmax::log();
    let y = softmax(&[30.0, 0.0], rows, &options).unwrap();
    let gradient = softmax_grad(&y, &[1.0, 0.0], rows, true, None).unwrap();
    let subject = Subject::reference("softmax_grad", rows, &options);
    let share = 9.357622968839299e-14;
    to_14_digits(&subject, "dx", &gradient, &[share, -share]);
}

#[test]
fn binary_targets_that_the_logit_agrees_with() {
    let options = BinaryCrossEntropy {
        reduction: Reduction::None,
        ..BinaryCrossEntropy::default()
    };
    let rows = Rows::new(2, 1);
    let out = binary_cross_entropy_with_logits(&[20.0, -20.0], &[1.0, 0.0], rows, &options).unwrap();
    let subject = Subject::reference("binary_cross_entropy_with_logits", rows, &options);
    to_14_digits(&subject, "losses", &out.losses, &[2.0611536203143807e-9; 2]);
    let share = 2.0611536181902036e-9;
    to_14_digits(&subject, "gradient", &out.gradient, &[-share, share]);
}
