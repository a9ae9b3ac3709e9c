//! Rows with NaN, infinities, zeros of either sign and numbers at both ends of f32's range.

use crate::all_outputs;
use crate::common::outputs::counts_are;
use crate::common::{FULLY_MASKED, GPUS, Subject, must, on, same_bits};
use wgpu_softmax::testing::{self, SPECIAL_ROWS, ulp_of};
use wgpu_softmax::{CrossEntropy, Dtype, FullyMasked, Gpu, Reduction, Rows, Softmax, reference};

/// The f32 nearest to each exact value: NaN, infinities, zeros with their sign and every other number that an f32 holds are
/// exactly that, and what is too large for an f32 is infinite; what has to be rounded may be one unit in the last place away.
#[track_caller]
fn nearest(subject: &Subject<'_>, output: &str, got: &[f32], exact: &[f64]) {
    let in_range: Vec<f64> = exact
        .iter()
        .map(|&v| if (v as f32).is_infinite() { (v as f32).into() } else { v })
        .collect();
    let is_rounded = |exact: f64| exact.is_finite() && f64::from(exact as f32) != exact;
    let bound = |_, exact| {
        if is_rounded(exact) {
            ulp_of(exact, Dtype::F32)
        } else {
            0.0
        }
    };
    must(subject.within(output, got, &in_range, bound));
    // Any NaN will do.
    let is_free = |exact: f64| is_rounded(exact) || exact.is_nan();
    let expected = |(&got, &exact): (&f32, &f64)| if is_free(exact) { got } else { exact as f32 };
    let expected: Vec<f32> = got.iter().zip(&in_range).map(expected).collect();
    same_bits(subject, output, got, &expected);
}

/// [`nearest`], and never one unit away.
#[track_caller]
fn exactly(subject: &Subject<'_>, output: &str, got: &[f32], exact: &[f64]) {
    nearest(subject, output, got, exact);
    let expected = |(&got, &exact): (&f32, &f64)| if exact.is_nan() { got } else { exact as f32 };
    let expected: Vec<f32> = got.iter().zip(exact).map(expected).collect();
    same_bits(subject, output, got, &expected);
}

#[test]
fn rows_with_nan_and_infinities() {
    for gpu in GPUS.iter() {
        for classes in [3, 4, 64, 1000, 1030, 2050] {
            let x = testing::special_rows(classes);
            let rows = Rows::new(SPECIAL_ROWS.len(), classes);
            for fully_masked in FULLY_MASKED {
                softmax(gpu, &x, rows, fully_masked);
                for target in [0i64, 1, 2, -100] {
                    loss(gpu, &x, rows, fully_masked, target);
                }
            }
        }
    }
}

fn softmax(gpu: &Gpu, x: &[f32], rows: Rows, fully_masked: FullyMasked) {
    for log in [false, true] {
        let options = Softmax {
            log,
            fully_masked,
            ..Softmax::default()
        };
        let y = gpu.softmax(x, rows, &options).unwrap();
        let exact = reference::softmax(x, rows, &options).unwrap();
        let subject = Subject::new::<f32>(on("softmax", gpu), rows, &options);
        if log {
            nearest(&subject, "y", &y, &exact);
        } else {
            exactly(&subject, "y", &y, &exact);
        }
    }
}

fn loss(gpu: &Gpu, x: &[f32], rows: Rows, fully_masked: FullyMasked, target: i64) {
    let targets = vec![target; rows.count()];
    let options = CrossEntropy {
        fully_masked,
        reduction: Reduction::None,
        entropy: true,
        log_prob: true,
        ..all_outputs()
    };
    let out = gpu.cross_entropy(x, &targets, rows, &options).unwrap();
    let exact = reference::cross_entropy(x, &targets, rows, &options).unwrap();
    let operation = format!("{} and target {target}", on("cross_entropy", gpu));
    let subject = Subject::new::<f32>(operation, rows, &options);
    nearest(
        &subject,
        "row losses",
        &out.row_losses.clone().unwrap(),
        &exact.row_losses,
    );
    nearest(&subject, "log_prob", &out.log_prob.clone().unwrap(), &exact.log_probs);
    nearest(&subject, "gradient", &out.gradient.clone().unwrap(), &exact.gradient);
    exactly(&subject, "lse", &out.lse.clone().unwrap(), &exact.lse);
    // That of logits (0, -1) is 0.19 units from the middle between two numbers, as far as half a unit of e^-1 changes it.
    nearest(&subject, "entropy", &out.entropy.clone().unwrap(), &exact.entropies);
    let argmax: Vec<usize> = out.argmax.iter().flatten().map(|&c| c as usize).collect();
    must(subject.each("argmax", &argmax, &exact.argmax));
    counts_are(&subject, &options, &out, &exact);
}
