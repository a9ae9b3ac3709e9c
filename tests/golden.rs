//! Against PyTorch: `golden/torch.json`, which `golden/make.py` writes; every option alone and in pairs.
#![allow(clippy::unwrap_used)]

mod common;

use common::{gpu, near};
use serde_json::Value;
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, Gradient, Input, LogSumExp, Mask, Normalizer, Reduction, Rows, Scale,
    Softmax, SoftmaxGrad, Values,
};

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/torch.json")).unwrap()
}

/// Infinities and NaN are words there.
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn exact(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn numbers(value: &Value) -> Vec<f32> {
    exact(value).iter().map(|&v| v as f32).collect()
}

fn rows_of(case: &Value) -> Rows {
    let shape: Vec<usize> = exact(&case["shape"]).iter().map(|&n| n as usize).collect();
    Rows::of_shape(&shape, 1).unwrap()
}

fn values(options: &Value, name: &str) -> Option<Values> {
    options.get(name).map(|v| numbers(v).into())
}

fn adjust_of(options: &Value) -> Adjust {
    let scale = options.get("scale").map_or(1.0, number) as f32;
    let mask = values(options, "mask").map(Mask::Classes);
    let full = values(options, "mask_full").map(Mask::Full);
    let causal = options.get("causal").map(|c| Mask::Causal {
        group: number(&c[0]) as usize,
        offset: number(&c[1]) as i64,
    });
    Adjust {
        scale: values(options, "row_scale").map_or(Scale::Number(scale), Scale::PerRow),
        bias: values(options, "bias"),
        softcap: options.get("softcap").map(|v| number(v) as f32),
        mask: mask.or(full).or(causal).unwrap_or_default(),
    }
}

#[test]
fn softmax_family() {
    let golden = golden();
    let cases = golden["softmax"].as_array().unwrap();
    for case in cases {
        let (rows, x) = (rows_of(case), numbers(&case["logits"]));
        let what = |name: &str| format!("{name} of {} {:?}", case["name"], case["shape"]);
        let adjust = adjust_of(&case["options"]);
        let (g, by_row) = (numbers(&case["upstream"]), numbers(&case["row_upstream"]));
        for (log, forward, backward) in [
            (false, "softmax", "softmax_grad"),
            (true, "log_softmax", "log_softmax_grad"),
        ] {
            let options = Softmax {
                log,
                adjust: adjust.clone(),
                ..Softmax::default()
            };
            let y = gpu().softmax(&x, rows, &options).unwrap();
            near(&what(forward), &y, &exact(&case[forward]));
            let options = SoftmaxGrad {
                log,
                adjust: adjust.clone(),
                ..SoftmaxGrad::default()
            };
            let logits = adjust.softcap.is_some().then_some(&x[..]);
            let dx = gpu().softmax_grad(&y, &g, logits, rows, &options).unwrap();
            near(&what(backward), &dx, &exact(&case[backward]));
            if let (false, Some(jacobian)) = (log, case.get("jacobian")) {
                let options = Softmax {
                    adjust: adjust.clone(),
                    ..Softmax::default()
                };
                let got = gpu().softmax_jacobian(&x, rows, &options).unwrap();
                near(&what("jacobian"), &got, &exact(jacobian));
            }
        }
        let options = LogSumExp {
            adjust,
            ..LogSumExp::default()
        };
        let lse = gpu().logsumexp(&x, rows, &options).unwrap();
        near(&what("lse"), &lse, &exact(&case["lse"]));
        // From an lse of f32's rounding: y is as exact as that allows.
        let exact_dx = exact(&case["logsumexp_grad"]);
        let dx = gpu().logsumexp_grad(&x, &lse, &by_row, rows, &options).unwrap();
        let largest = lse.iter().fold(1f64, |m, v| m.max(f64::from(v.abs())));
        for (got, exact) in dx.iter().zip(&exact_dx) {
            let error = (f64::from(*got) - exact).abs();
            assert!(
                error <= 2e-6 + 2e-7 * largest,
                "{}: {got} for {exact}",
                what("logsumexp_grad")
            );
        }
    }
    println!("{} cases", cases.len());
}

#[test]
fn cross_entropy() {
    let golden = golden();
    let cases = golden["cross_entropy"].as_array().unwrap();
    for case in cases {
        let (rows, x) = (rows_of(case), numbers(&case["logits"]));
        let options = &case["options"];
        let nll = options.get("nll").is_some();
        let soft = values(options, "probabilities").is_some();
        let normalizer = options.get("normalizer").map(|v| Normalizer::Number(number(v) as f32));
        for (reduction, name) in [(Reduction::Sum, "sum"), (Reduction::Mean, "mean")] {
            let mean = reduction == Reduction::Mean;
            let what = format!("{name} of {} {:?}", case["name"], case["shape"]);
            let asked = CrossEntropy {
                adjust: adjust_of(options),
                input: if nll { Input::LogProbs } else { Input::Logits },
                weights: values(options, "weights"),
                label_smoothing: options.get("label_smoothing").map_or(0.0, number) as f32,
                z_loss: options.get("z_loss").map_or(0.0, number) as f32,
                normalizer: normalizer.filter(|_| mean).unwrap_or_default(),
                reduction,
                gradient: Gradient::Apart,
                row_losses: true,
                lse: !nll,
                entropy: !nll,
                argmax: true,
                ..CrossEntropy::default()
            };
            let out = if soft {
                let q = numbers(&options["probabilities"]);
                gpu().cross_entropy_soft(&x, &q, rows, &asked).unwrap()
            } else {
                let targets: Vec<i64> = exact(&case["targets"]).iter().map(|&t| t as i64).collect();
                gpu().cross_entropy(&x, &targets, rows, &asked).unwrap()
            };
            near(&what, &[out.loss.unwrap()], &[number(&case[name]["loss"])]);
            near(&what, &out.row_losses.unwrap(), &exact(&case["losses"]));
            near(&what, &out.gradient.unwrap(), &exact(&case[name]["gradient"]));
            let argmax: Vec<f64> = out.argmax.unwrap().iter().map(|&c| c.into()).collect();
            assert_eq!(argmax, exact(&case["argmax"]), "{what}");
            if let (Some(lse), Some(entropy)) = (out.lse, out.entropy) {
                near(&what, &lse, &exact(&case["lse"]));
                near(&what, &entropy, &exact(&case["entropy"]));
            }
        }
    }
    println!("{} cases", cases.len());
}

#[test]
fn binary_cross_entropy_with_logits() {
    let golden = golden();
    for case in golden["binary"].as_array().unwrap() {
        let (rows, x, t) = (rows_of(case), numbers(&case["logits"]), numbers(&case["targets"]));
        let options = &case["options"];
        let by_class = values(options, "weight").map(Mask::Classes);
        let full = values(options, "weight_full").map(Mask::Full);
        let asked = |reduction| BinaryCrossEntropy {
            weight: by_class.clone().or(full.clone()).unwrap_or_default(),
            pos_weight: values(options, "pos_weight"),
            gradient: Gradient::Apart,
            reduction,
            ..BinaryCrossEntropy::default()
        };
        let run = |reduction| {
            gpu()
                .binary_cross_entropy_with_logits(&x, &t, rows, &asked(reduction))
                .unwrap()
        };
        near("losses", &run(Reduction::None).losses.unwrap(), &exact(&case["losses"]));
        for (reduction, name) in [(Reduction::Sum, "sum"), (Reduction::Mean, "mean")] {
            let out = run(reduction);
            near(name, &[out.loss.unwrap()], &[number(&case[name]["loss"])]);
            near(name, &out.gradient.unwrap(), &exact(&case[name]["gradient"]));
        }
    }
}
