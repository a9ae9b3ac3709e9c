//! What must hold whatever the numbers; every schedule with every option; 16-bit rows that end in the middle of a word.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "properties/half_words.rs"]
mod half_words;
#[path = "properties/options.rs"]
mod options;

use common::{Random, Subject, gpu, must, near, same_bits};
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, EmptyMean, Gradient, Normalizer, Reduction, Rows, Scale, Softmax,
    reference,
};

#[test]
fn rows_of_probabilities_sum_to_1_and_rows_of_gradients_to_0() {
    let mut random = Random(41);
    for classes in [1, 3, 10, 1000, 3001] {
        let rows = Rows::new(5, classes);
        let (x, targets) = (random.logits(5 * classes, 4.0), random.targets(5, classes));
        let sums = |values: &[f32]| -> Vec<f64> {
            let sum = |row: &[f32]| row.iter().map(|&v| f64::from(v)).sum();
            values.chunks(classes).map(sum).collect()
        };
        let options = Softmax::default();
        let y = gpu().softmax(&x, rows, &options).unwrap();
        let subject = Subject::new::<f32>("softmax", rows, &options);
        must(subject.within("the sum", &sums(&y), &[1.0; 5], |_, _| 9.9e-7));
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            label_smoothing: 0.1,
            reduction: Reduction::Sum,
            ..CrossEntropy::default()
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        must(subject.within(
            "the gradient's sum",
            &sums(&out.gradient.unwrap()),
            &[0.0; 5],
            |_, _| 9.9e-7,
        ));
    }
}

#[test]
fn a_common_shift_changes_nothing_and_log_probs_are_a_fixed_point() {
    // Quarters, so that the shifted logits are exact.
    let x: Vec<f32> = Random(42).logits(300, 8.0).iter().map(|v| v.round() / 4.0).collect();
    let (rows, options) = (Rows::new(30, 10), Softmax::default());
    let y = gpu().softmax(&x, rows, &options).unwrap();
    let shifted: Vec<f32> = x.iter().map(|v| v + 1024.0).collect();
    let subject = Subject::new::<f32>("softmax of logits + 1024", rows, &options);
    same_bits(&subject, "y", &gpu().softmax(&shifted, rows, &options).unwrap(), &y);
    let log_probs = gpu().softmax(&x, rows, &Softmax::log()).unwrap();
    let again = gpu().softmax(&log_probs, rows, &options).unwrap();
    let wide: Vec<f64> = y.iter().map(|&y| y.into()).collect();
    let subject = Subject::new::<f32>("softmax of log-probabilities", rows, &options);
    must(subject.within("y", &again, &wide, |_, _| 1e-6));
}

#[test]
fn softmin_is_the_softmax_of_the_negated() {
    let x = Random(43).logits(60, 3.0);
    let negated: Vec<f32> = x.iter().map(|v| -v).collect();
    let softmin = Softmax {
        adjust: Adjust::negated(),
        ..Softmax::default()
    };
    let rows = Rows::new(6, 10);
    let y = gpu().softmax(&negated, rows, &Softmax::default()).unwrap();
    let subject = Subject::new::<f32>("softmax", rows, &softmin);
    same_bits(&subject, "y", &gpu().softmax(&x, rows, &softmin).unwrap(), &y);
}

#[test]
fn cross_entropy_of_two_classes_is_logistic() {
    let z = Random(44).logits(50, 5.0);
    let t: Vec<u8> = (0..50).map(|i| (i % 3 == 0).into()).collect();
    let pairs: Vec<f32> = z.iter().flat_map(|&z| [0.0, z]).collect();
    let two = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let two = gpu().cross_entropy(&pairs, &t, Rows::new(50, 2), &two).unwrap();
    let logistic = BinaryCrossEntropy {
        gradient: Gradient::Apart,
        ..BinaryCrossEntropy::default()
    };
    let wide: Vec<f32> = t.iter().map(|&t| t.into()).collect();
    let rows = Rows::new(50, 1);
    let one = gpu()
        .binary_cross_entropy_with_logits(&z, &wide, rows, &logistic)
        .unwrap();
    let subject = Subject::new::<f32>("binary_cross_entropy_with_logits", rows, &logistic);
    let expected = [two.loss.unwrap().into()];
    must(subject.within(
        "loss, beside cross_entropy's",
        &[one.loss.unwrap()],
        &expected,
        |_, _| 9.9e-7,
    ));
    let second: Vec<f64> = two
        .gradient
        .unwrap()
        .iter()
        .skip(1)
        .step_by(2)
        .map(|&g| g.into())
        .collect();
    must(subject.within(
        "gradient, beside cross_entropy's",
        &one.gradient.unwrap(),
        &second,
        |_, _| 9.9e-8,
    ));
}

/// Micro-batches with the whole batch's normaliser add up to the whole batch.
#[test]
fn parts_of_a_batch_add_up_with_a_normalizer() {
    let (x, targets) = (Random(45).logits(80, 3.0), Random(46).targets(8, 10));
    let whole = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let parts = CrossEntropy {
        normalizer: Normalizer::Number(8.0),
        ..whole.clone()
    };
    let rows = Rows::new(8, 10);
    let whole = gpu().cross_entropy(&x, &targets, rows, &whole).unwrap();
    let halves: Vec<_> = (x.chunks(40).zip(targets.chunks(4)))
        .map(|(x, t)| gpu().cross_entropy(x, t, Rows::new(4, 10), &parts).unwrap())
        .collect();
    let sum: f32 = halves.iter().map(|half| half.loss.unwrap()).sum();
    let subject = Subject::new::<f32>("cross_entropy in two parts", rows, &parts);
    must(subject.within("loss", &[sum], &[whole.loss.unwrap().into()], |_, _| 9.9e-7));
    let gradient: Vec<f32> = halves.into_iter().flat_map(|half| half.gradient.unwrap()).collect();
    same_bits(&subject, "gradient", &gradient, &whole.gradient.unwrap());
}

/// A denominator of 0, infinite losses over any denominator, and a product that overflows before the softcap.
#[test]
fn means_over_nothing_and_overflows_are_the_references() {
    let inf = f32::INFINITY;
    let plain = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let mut cases = Vec::new();
    for empty_mean in [EmptyMean::Nan, EmptyMean::Zero] {
        let weightless = CrossEntropy {
            weights: Some(vec![0.0; 3].into()),
            z_loss: 0.1,
            empty_mean,
            ..plain.clone()
        };
        cases.push(([1.0, 2.0, 3.0, 4.0, 5.0, 7.0], weightless));
        for denominator in [0.0, -2.0, 3.0] {
            let divided = CrossEntropy {
                normalizer: Normalizer::Number(denominator),
                empty_mean,
                ..plain.clone()
            };
            cases.push(([-inf, 2.0, 3.0, 4.0, 5.0, 7.0], divided));
        }
    }
    let capped = CrossEntropy {
        adjust: Adjust {
            scale: Scale::Number(10.0),
            softcap: Some(5.0),
            ..Adjust::default()
        },
        ..plain.clone()
    };
    cases.push(([1e38, 3e38, -3e38, 1.0, 2.0, 0.1], capped));
    for (x, options) in cases {
        let rows = Rows::new(2, 3);
        let out = gpu().cross_entropy(&x, &[0u8, 2], rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &[0u8, 2], rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        near(&subject, "loss", &[out.loss.unwrap()], &[exact.loss]);
        near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
    }
    // No rows at all.
    for (denominator, empty_mean) in [(0.0, EmptyMean::Nan), (0.0, EmptyMean::Zero), (3.0, EmptyMean::Nan)] {
        let options = CrossEntropy {
            normalizer: Normalizer::Number(denominator),
            empty_mean,
            ..CrossEntropy::default()
        };
        let (rows, none): (_, [u8; 0]) = (Rows::new(0, 3), []);
        let out = gpu().cross_entropy::<f32, _>(&[], &none, rows, &options).unwrap();
        let exact = reference::cross_entropy::<f32, _>(&[], &none, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        near(&subject, "loss", &[out.loss.unwrap()], &[exact.loss]);
    }
}
