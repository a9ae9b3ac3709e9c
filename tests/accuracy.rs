//! No less accurate than PyTorch's f32 results on a CPU, of which tests/golden/accuracy.py left the errors.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Subject, equal, gpu};
use serde_json::{Value, from_str, from_value};
use std::collections::BTreeMap;
use wgpu_softmax::testing::{LOSS_ULP, ulp_of};
use wgpu_softmax::{CrossEntropy, Dtype, Reduction, Rows, Softmax, reference};

/// The largest error and the mean error, in ULP.
type Errors = (f64, f64);

/// Rows, classes, spread, what is added to all logits, what is added to class 0.
type Case = (usize, usize, f64, f32, f32);

/// How many there are in golden/accuracy.json.
const CASES: usize = 11;

/// As `inputs` of accuracy.py.
fn inputs((rows, classes, spread, offset, peak): Case) -> Vec<f32> {
    let scale = (spread / 37_837.0) as f32;
    let logit = |i: usize| {
        let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let total: i64 = [0, 16, 32, 48].iter().map(|shift| ((z >> shift) & 0xffff) as i64).sum();
        let x = (total - 131_070) as f32 * scale + offset;
        if i.is_multiple_of(classes) { x + peak } else { x }
    };
    (0..rows * classes).map(logit).collect()
}

/// The errors of a result, each in units in the last place of the exact number, however small that is. What may be 0 instead,
/// because it is below 2^-126, is not counted.
#[track_caller]
fn errors(subject: &Subject<'_>, output: &str, got: &[f32], exact: &[f64]) -> Errors {
    // A NaN would hide in a largest error, and make every comparison with a mean false.
    equal(subject, &format!("the length of {output}"), got.len(), exact.len());
    equal(
        subject,
        &format!("the first NaN of {output}"),
        got.iter().position(|v| v.is_nan()),
        None,
    );
    let pairs = got.iter().zip(exact);
    let all: Vec<f64> = pairs
        .filter(|(_, exact)| exact.abs() >= 2f64.powi(-126))
        .map(|(&got, &exact)| (f64::from(got) - exact).abs() / ulp_of(exact, Dtype::F32))
        .collect();
    let (max, sum) = (all.iter().copied().fold(0.0, f64::max), all.iter().sum::<f64>());
    equal(
        subject,
        &format!("whether the mean error of {output} is finite"),
        (sum / all.len() as f64).is_finite(),
        true,
    );
    (max, sum / all.len() as f64)
}

/// The errors of softmax, log-softmax and loss on one batch.
fn ours(case: Case) -> [(&'static str, Errors); 3] {
    let rows = Rows::new(case.0, case.1);
    let x = inputs(case);
    let softmax = |options: Softmax| {
        let y = gpu().softmax(&x, rows, &options).unwrap();
        let exact = reference::softmax(&x, rows, &options).unwrap();
        errors(&Subject::new::<f32>("softmax", rows, &options), "y", &y, &exact)
    };
    let targets: Vec<u32> = (0..case.0).map(|row| (row * 7919 % case.1) as u32).collect();
    let options = CrossEntropy {
        reduction: Reduction::None,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
    let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
    let subject = Subject::new::<f32>("cross_entropy", rows, &options);
    let losses = errors(&subject, "row losses", &out.row_losses.unwrap(), &exact.row_losses);
    [
        ("softmax", softmax(Softmax::default())),
        ("log_softmax", softmax(Softmax::log())),
        ("loss", losses),
    ]
}

#[test]
fn no_less_accurate_than_pytorch() {
    let golden: Value = from_str(include_str!("golden/accuracy.json")).unwrap();
    println!("ULP at most, mean: ours, and those of {}", golden["by"]);
    let mut worse = Vec::new();
    let mut most: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    let cases = golden["cases"].as_array().unwrap();
    assert!(
        cases.len() >= CASES,
        "{} cases in golden/accuracy.json, and {CASES} are expected",
        cases.len()
    );
    for entry in cases {
        let case: Case = from_value(entry["case"].clone()).unwrap();
        for (what, ours) in ours(case) {
            let theirs: Errors = from_value(entry[what].clone()).unwrap();
            let numbers = format!("{:.2}, {:.3}; {:.2}, {:.3}", ours.0, ours.1, theirs.0, theirs.1);
            println!("{what} {case:?}: {numbers}");
            // The largest error of a case is a matter of luck; that of all cases is not, nor is the mean.
            if ours.1 > theirs.1 {
                let (ours, theirs) = (ours.1, theirs.1);
                worse.push(format!(
                    "{what} of f32 {case:?}: a mean error of {ours} ULP, and at most {theirs} is expected"
                ));
            }
            let most = most.entry(what).or_default();
            *most = [most[0].max(ours.0), most[1].max(theirs.0)];
        }
    }
    for (what, [ours, theirs]) in most {
        println!("{what}, all cases: {ours:.2}; {theirs:.2}");
        // PyTorch's are off by millions of units where a result is small, so they bound nothing there.
        if what != "softmax" && ours > LOSS_ULP {
            worse.push(format!(
                "{what} of f32: a largest error of {ours} ULP, and at most {LOSS_ULP} is expected"
            ));
        }
        if ours > theirs {
            worse.push(format!(
                "{what} of f32: a largest error of {ours} ULP, and at most {theirs} is expected"
            ));
        }
    }
    assert!(
        worse.is_empty(),
        "less accurate than PyTorch or than promised: {worse:#?}"
    );
}
