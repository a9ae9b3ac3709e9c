//! No less accurate than PyTorch's f32 results on a CPU, of which tests/golden/accuracy.py left the errors.
#![allow(clippy::unwrap_used)]

mod common;

use common::gpu;
use serde_json::{Value, from_str, from_value};
use std::collections::BTreeMap;
use wgpu_softmax::testing::ulp_of;
use wgpu_softmax::{CrossEntropy, Dtype, Reduction, Rows, Softmax, reference};

/// The largest error and the mean one, in ULP.
type Errors = (f64, f64);

/// Rows, classes, spread, what is added to all, what is added to class 0.
type Case = (usize, usize, f64, f32, f32);

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

fn errors(got: &[f32], exact: &[f64], at_least: f64) -> Errors {
    let pairs = got
        .iter()
        .zip(exact)
        .filter(|(_, exact)| exact.abs() >= 2f64.powi(-126));
    let all: Vec<f64> = pairs
        .map(|(&got, &exact)| (f64::from(got) - exact).abs() / ulp_of(exact.abs().max(at_least), Dtype::F32))
        .collect();
    (
        all.iter().copied().fold(0.0, f64::max),
        all.iter().sum::<f64>() / all.len() as f64,
    )
}

#[test]
fn no_less_accurate_than_pytorch() {
    let golden: Value = from_str(include_str!("golden/accuracy.json")).unwrap();
    println!("ULP at most, mean: ours, and those of {}", golden["by"]);
    let mut worse = Vec::new();
    let mut most: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for entry in golden["cases"].as_array().unwrap() {
        let case: Case = from_value(entry["case"].clone()).unwrap();
        let rows = Rows::new(case.0, case.1);
        let x = inputs(case);
        let targets: Vec<u32> = (0..case.0).map(|row| (row * 7919 % case.1) as u32).collect();
        let options = CrossEntropy {
            reduction: Reduction::None,
            row_losses: true,
            ..CrossEntropy::default()
        };
        let found = [
            {
                let y = gpu().softmax(&x, rows, &Softmax::default()).unwrap();
                let exact = reference::softmax(&x, rows, &Softmax::default()).unwrap();
                ("softmax", errors(&y, &exact, 2f64.powi(-126)))
            },
            {
                let y = gpu().softmax(&x, rows, &Softmax::log()).unwrap();
                let exact = reference::softmax(&x, rows, &Softmax::log()).unwrap();
                ("log_softmax", errors(&y, &exact, 1.0))
            },
            {
                let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
                let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
                ("loss", errors(&out.row_losses.unwrap(), &exact.row_losses, 1.0))
            },
        ];
        for (what, ours) in found {
            let theirs: Errors = from_value(entry[what].clone()).unwrap();
            println!(
                "{what} {case:?}: {:.2}, {:.3}; {:.2}, {:.3}",
                ours.0, ours.1, theirs.0, theirs.1
            );
            // The largest error of a case is a matter of luck; that of all cases is not, nor is the mean.
            if ours.1 > theirs.1 {
                worse.push(format!("mean of {what} {case:?}: {} for {}", ours.1, theirs.1));
            }
            let most = most.entry(what).or_default();
            *most = [most[0].max(ours.0), most[1].max(theirs.0)];
        }
    }
    for (what, [ours, theirs]) in most {
        println!("{what}, all cases: {ours:.2}; {theirs:.2}");
        if ours > theirs {
            worse.push(format!("largest of {what}: {ours} for {theirs}"));
        }
    }
    assert!(worse.is_empty(), "{worse:#?}");
}
