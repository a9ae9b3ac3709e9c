//! Against PyTorch: `golden/torch.json`, which `golden/make.py` writes; every option alone and in pairs.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "golden/more.rs"]
mod more;

use common::outputs::optional;
use common::{Subject, equal, gpu, must, near};
use serde_json::Value;
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, CrossEntropyOutput, Gradient, Input, LogSumExp, Mask, Normalizer,
    Reduction, Rows, Scale, Sink, Softmax, SoftmaxGrad, Upstream, Values,
};

fn golden() -> Value {
    serde_json::from_str(include_str!("golden/torch.json")).unwrap()
}

const SOFTMAX_CASES: usize = 39;
const CROSS_ENTROPY_CASES: usize = 67;
const BINARY_CASES: usize = 6;
const ROW_WEIGHT_CASES: usize = 28;
const SINK_CASES: usize = 30;

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

/// The cases of an operation, of which there must be as many as golden/make.py writes.
fn cases<'a>(golden: &'a Value, name: &str, count: usize) -> &'a [Value] {
    let cases = golden[name].as_array().unwrap();
    assert_eq!(cases.len(), count, "cases of {name} in golden/torch.json");
    cases
}

fn named(operation: &str, case: &Value) -> String {
    format!("{operation} on PyTorch's case {}", case["name"])
}

#[test]
fn softmax_family() {
    let golden = golden();
    for case in cases(&golden, "softmax", SOFTMAX_CASES) {
        softmax_and_its_gradient(case, false);
        softmax_and_its_gradient(case, true);
        logsumexp_and_its_gradient(case);
    }
}

fn softmax_and_its_gradient(case: &Value, log: bool) {
    let (rows, x, g) = (rows_of(case), numbers(&case["logits"]), numbers(&case["upstream"]));
    let adjust = adjust_of(&case["options"]);
    let name = if log { "log_softmax" } else { "softmax" };
    let options = Softmax {
        log,
        adjust: adjust.clone(),
        ..Softmax::default()
    };
    let y = gpu().softmax(&x, rows, &options).unwrap();
    near(
        &Subject::new::<f32>(named(name, case), rows, &options),
        "y",
        &y,
        &exact(&case[name]),
    );
    if let (false, Some(jacobian)) = (log, case.get("jacobian")) {
        let got = gpu().softmax_jacobian(&x, rows, &options).unwrap();
        let subject = Subject::new::<f32>(named("softmax_jacobian", case), rows, &options);
        near(&subject, "the derivative", &got, &exact(jacobian));
    }
    let options = SoftmaxGrad {
        log,
        adjust: adjust.clone(),
        ..SoftmaxGrad::default()
    };
    let logits = adjust.softcap.is_some().then_some(&x[..]);
    let dx = gpu().softmax_grad(&y, &g, logits, rows, &options).unwrap();
    let expected = exact(&case[&format!("{name}_grad")]);
    near(
        &Subject::new::<f32>(named("softmax_grad", case), rows, &options),
        "dx",
        &dx,
        &expected,
    );
}

fn logsumexp_and_its_gradient(case: &Value) {
    let (rows, x, g) = (rows_of(case), numbers(&case["logits"]), numbers(&case["row_upstream"]));
    let options = LogSumExp {
        adjust: adjust_of(&case["options"]),
        ..LogSumExp::default()
    };
    let lse = gpu().logsumexp(&x, rows, &options).unwrap();
    let subject = Subject::new::<f32>(named("logsumexp", case), rows, &options);
    near(&subject, "lse", &lse, &exact(&case["lse"]));
    // From an lse that is rounded to f32: y is as exact as that allows.
    let dx = gpu().logsumexp_grad(&x, &lse, &g, rows, &options).unwrap();
    let max = lse.iter().fold(1f64, |max, v| max.max(f64::from(v.abs())));
    let expected = exact(&case["logsumexp_grad"]);
    must(subject.within("dx", &dx, &expected, |_, _| 2e-6 + 2e-7 * max));
}

fn loss_options(options: &Value, reduction: Reduction) -> CrossEntropy {
    let is_nll = options.get("nll").is_some();
    let normalizer = options.get("normalizer").map(|v| Normalizer::Number(number(v) as f32));
    let is_mean = reduction == Reduction::Mean;
    CrossEntropy {
        adjust: adjust_of(options),
        input: if is_nll { Input::LogProbs } else { Input::Logits },
        weights: values(options, "weights"),
        label_smoothing: options.get("label_smoothing").map_or(0.0, number) as f32,
        z_loss: options.get("z_loss").map_or(0.0, number) as f32,
        normalizer: normalizer.filter(|_| is_mean).unwrap_or_default(),
        reduction,
        gradient: Gradient::Apart,
        row_losses: true,
        lse: !is_nll,
        entropy: !is_nll,
        argmax: true,
        ..CrossEntropy::default()
    }
}

fn loss_of(case: &Value, options: &CrossEntropy) -> CrossEntropyOutput {
    let (rows, x) = (rows_of(case), numbers(&case["logits"]));
    if let Some(q) = case["options"].get("probabilities") {
        return gpu().cross_entropy_soft(&x, &numbers(q), rows, options).unwrap();
    }
    let targets: Vec<i64> = exact(&case["targets"]).iter().map(|&t| t as i64).collect();
    gpu().cross_entropy(&x, &targets, rows, options).unwrap()
}

#[test]
fn cross_entropy() {
    let golden = golden();
    for case in cases(&golden, "cross_entropy", CROSS_ENTROPY_CASES) {
        let rows = rows_of(case);
        for (reduction, name) in [(Reduction::Sum, "sum"), (Reduction::Mean, "mean")] {
            let options = loss_options(&case["options"], reduction);
            let out = loss_of(case, &options);
            let subject = Subject::new::<f32>(named("cross_entropy", case), rows, &options);
            near(&subject, "loss", &[out.loss.unwrap()], &[number(&case[name]["loss"])]);
            near(
                &subject,
                "row losses",
                &out.row_losses.unwrap(),
                &exact(&case["losses"]),
            );
            near(
                &subject,
                "gradient",
                &out.gradient.unwrap(),
                &exact(&case[name]["gradient"]),
            );
            let argmax: Vec<f64> = out.argmax.unwrap().iter().map(|&c| c.into()).collect();
            must(subject.each("argmax", &argmax, &exact(&case["argmax"])));
            for (output, got, name) in [("lse", out.lse, "lse"), ("entropy", out.entropy, "entropy")] {
                let expected = options.lse.then(|| exact(&case[name]));
                optional(&subject, output, got.as_deref(), expected.as_deref());
            }
        }
    }
}

#[test]
fn row_weights() {
    let golden = golden();
    for case in cases(&golden, "row_weights", ROW_WEIGHT_CASES) {
        let rows = rows_of(case);
        for (reduction, name) in [
            (Reduction::None, "none"),
            (Reduction::Sum, "sum"),
            (Reduction::Mean, "mean"),
        ] {
            let of_rows = reduction == Reduction::None;
            let options = CrossEntropy {
                row_weights: values(case, "row_weights"),
                upstream: if of_rows {
                    Upstream::PerRow(numbers(&case["row_upstream"]))
                } else {
                    Upstream::default()
                },
                ..loss_options(&case["options"], reduction)
            };
            let out = loss_of(case, &options);
            let subject = Subject::new::<f32>(named("cross_entropy with row weights", case), rows, &options);
            let loss = (!of_rows).then(|| vec![number(&case[name]["loss"])]);
            optional(
                &subject,
                "loss",
                out.loss.map(|loss| vec![loss]).as_deref(),
                loss.as_deref(),
            );
            near(
                &subject,
                "row losses",
                &out.row_losses.unwrap(),
                &exact(&case["losses"]),
            );
            near(
                &subject,
                "gradient",
                &out.gradient.unwrap(),
                &exact(&case[name]["gradient"]),
            );
            equal(&subject, "counted", out.counted as f64, number(&case["counted"]));
        }
    }
}

#[test]
fn sinks() {
    let golden = golden();
    for case in cases(&golden, "sinks", SINK_CASES) {
        let sinks = numbers(&case["sinks"]);
        let sink = if sinks.iter().all(|sink| *sink == sinks[0]) {
            Sink::Number(sinks[0])
        } else {
            Sink::PerRow(sinks.into())
        };
        logsumexp_with_sink(case, &sink);
        softmax_with_sink(case, &sink, false);
        softmax_with_sink(case, &sink, true);
    }
}

fn lse_with_sink(case: &Value, sink: &Sink) -> (LogSumExp, Vec<f32>) {
    let options = LogSumExp {
        adjust: adjust_of(&case["options"]),
        sink: Some(sink.clone()),
        ..LogSumExp::default()
    };
    let lse = gpu()
        .logsumexp(&numbers(&case["logits"]), rows_of(case), &options)
        .unwrap();
    (options, lse)
}

/// Gradients from an lse that is rounded to f32: y is as exact as that allows.
fn near_from_lse(subject: &Subject<'_>, output: &str, got: &[f32], exact: &[f64], lse: &[f32]) {
    let max = lse.iter().fold(1f64, |max, v| max.max(f64::from(v.abs())));
    must(subject.within(output, got, exact, |_, exact| {
        (2e-6 + 2e-7 * max) * exact.abs().max(1.0)
    }));
}

fn logsumexp_with_sink(case: &Value, sink: &Sink) {
    let (rows, x, g) = (rows_of(case), numbers(&case["logits"]), numbers(&case["row_upstream"]));
    let (options, lse) = lse_with_sink(case, sink);
    let subject = Subject::new::<f32>(named("logsumexp with sinks", case), rows, &options);
    near(&subject, "lse", &lse, &exact(&case["lse"]));
    let (dx, of_sink) = gpu().logsumexp_grad_with_sink(&x, &lse, &g, rows, &options).unwrap();
    near_from_lse(&subject, "dx", &dx, &exact(&case["logsumexp_grad"]), &lse);
    let expected = exact(&case["logsumexp_sink_grad"]);
    near_from_lse(&subject, "the sinks' gradient", &of_sink, &expected, &lse);
}

fn softmax_with_sink(case: &Value, sink: &Sink, log: bool) {
    let (rows, x, g) = (rows_of(case), numbers(&case["logits"]), numbers(&case["upstream"]));
    let adjust = adjust_of(&case["options"]);
    let name = if log { "log_softmax" } else { "softmax" };
    let options = Softmax {
        log,
        adjust: adjust.clone(),
        sink: Some(sink.clone()),
        ..Softmax::default()
    };
    let y = gpu().softmax(&x, rows, &options).unwrap();
    let subject = Subject::new::<f32>(named(&format!("{name} with sinks"), case), rows, &options);
    near(&subject, "y", &y, &exact(&case[name]));
    let logits = adjust.softcap.is_some().then_some(&x[..]);
    let options = SoftmaxGrad {
        log,
        adjust,
        sink: Some(sink.clone()),
        ..SoftmaxGrad::default()
    };
    let (_, lse) = lse_with_sink(case, sink);
    let both = gpu().softmax_grad_with_sink(&y, &g, logits, &lse, rows, &options);
    let (dx, of_sink) = both.unwrap();
    let subject = Subject::new::<f32>(named("softmax_grad with sinks", case), rows, &options);
    near(&subject, "dx", &dx, &exact(&case[&format!("{name}_grad")]));
    let expected = exact(&case[&format!("{name}_sink_grad")]);
    near_from_lse(&subject, "the sinks' gradient", &of_sink, &expected, &lse);
}

#[test]
fn binary_cross_entropy_with_logits() {
    let golden = golden();
    for case in cases(&golden, "binary", BINARY_CASES) {
        let (rows, x, t) = (rows_of(case), numbers(&case["logits"]), numbers(&case["targets"]));
        let options = &case["options"];
        let by_class = values(options, "weight").map(Mask::Classes);
        let full = values(options, "weight_full").map(Mask::Full);
        for (reduction, name) in [
            (Reduction::None, "losses"),
            (Reduction::Sum, "sum"),
            (Reduction::Mean, "mean"),
        ] {
            let options = BinaryCrossEntropy {
                weight: by_class.clone().or(full.clone()).unwrap_or_default(),
                pos_weight: values(options, "pos_weight"),
                gradient: Gradient::Apart,
                reduction,
                ..BinaryCrossEntropy::default()
            };
            let out = gpu().binary_cross_entropy_with_logits(&x, &t, rows, &options).unwrap();
            let operation = named("binary_cross_entropy_with_logits", case);
            let subject = Subject::new::<f32>(operation, rows, &options);
            if reduction == Reduction::None {
                equal(&subject, "loss", out.loss, None);
                near(&subject, "losses", &out.losses.unwrap(), &exact(&case["losses"]));
            } else {
                near(&subject, "loss", &[out.loss.unwrap()], &[number(&case[name]["loss"])]);
                near(
                    &subject,
                    "gradient",
                    &out.gradient.unwrap(),
                    &exact(&case[name]["gradient"]),
                );
            }
        }
    }
}
