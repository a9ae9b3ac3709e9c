//! Against PyTorch: `golden/torch.json`, which `golden/make.py` writes.
#![allow(clippy::unwrap_used)]

mod common;

use common::GPUS;
use serde_json::Value;
use wgpu_softmax::{CrossEntropy, Gradient, Reduction, Rows, Softmax};

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn near(what: &str, got: &[f32], exact: &[f64]) {
    assert_eq!(got.len(), exact.len(), "{what}");
    for (i, (got, exact)) in got.iter().zip(exact).enumerate() {
        let error = (f64::from(*got) - exact).abs();
        assert!(
            error <= 2e-6 * exact.abs().max(1.0),
            "{what}, element {i}: {got} for {exact}"
        );
    }
}

#[test]
fn as_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("golden/torch.json")).unwrap();
    let cases = golden["cases"].as_array().unwrap();
    for gpu in GPUS.iter() {
        for case in cases {
            let shape: Vec<usize> = numbers(&case["shape"]).iter().map(|&n| n as usize).collect();
            let rows = Rows::of_shape(&shape, case["axis"].as_i64().unwrap() as isize).unwrap();
            let logits: Vec<f32> = numbers(&case["logits"]).iter().map(|&v| v as f32).collect();
            let targets: Vec<i64> = numbers(&case["targets"]).iter().map(|&t| t as i64).collect();
            near(
                "softmax",
                &gpu.softmax(&logits, rows, &Softmax::default()).unwrap(),
                &numbers(&case["softmax"]),
            );
            near(
                "log_softmax",
                &gpu.softmax(&logits, rows, &Softmax::log()).unwrap(),
                &numbers(&case["log_softmax"]),
            );
            for (reduction, name) in [
                (Reduction::None, "none"),
                (Reduction::Sum, "sum"),
                (Reduction::Mean, "mean"),
            ] {
                let options = CrossEntropy {
                    reduction,
                    gradient: Gradient::Apart,
                    lse: true,
                    argmax: true,
                    ..CrossEntropy::default()
                };
                let out = gpu.cross_entropy(&logits, &targets, rows, &options).unwrap();
                let loss = out.row_losses.unwrap_or_else(|| vec![out.loss.unwrap()]);
                near(name, &loss, &numbers(&case[name]["loss"]));
                near(name, &out.gradient.unwrap(), &numbers(&case[name]["gradient"]));
                near("lse", &out.lse.unwrap(), &numbers(&case["lse"]));
                let argmax: Vec<f64> = out.argmax.unwrap().iter().map(|&c| c.into()).collect();
                assert_eq!(argmax, numbers(&case["argmax"]));
            }
        }
    }
    println!("{} cases", cases.len());
}
