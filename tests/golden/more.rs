//! Distillation, Hessians times vectors, and entropies.

use crate::common::{Subject, gpu, near};
use crate::{adjust_of, cases, exact, golden, loss_options, named, number, numbers, rows_of};
use serde_json::Value;
use wgpu_softmax::{CrossEntropy, Entropy, Gradient, Reduction, Softmax, SoftmaxGrad, reference};

#[test]
fn distillation() {
    let golden = golden();
    for case in cases(&golden, "distillation", 13) {
        let options = CrossEntropy {
            temperature: number(&case["temperature"]) as f32,
            gradient: Gradient::Apart,
            row_losses: true,
            ..CrossEntropy::default()
        };
        let (x, teacher, rows) = (numbers(&case["logits"]), numbers(&case["teacher"]), rows_of(case));
        let out = gpu().distillation(&x, &teacher, rows, &options).unwrap();
        let operation = named("distillation", case);
        let subject = Subject::new::<f32>(operation, rows, &options);
        near(
            &subject,
            "row losses",
            &out.row_losses.unwrap(),
            &exact(&case["losses"]),
        );
        near(&subject, "loss", &[out.loss.unwrap()], &[number(&case["mean"]["loss"])]);
        near(
            &subject,
            "gradient",
            &out.gradient.unwrap(),
            &exact(&case["mean"]["gradient"]),
        );
    }
}

fn hessian_of_loss(case: &Value, reduction: Reduction, name: &str) {
    let (x, v, rows) = (numbers(&case["logits"]), numbers(&case["vector"]), rows_of(case));
    let options = loss_options(&case["options"], reduction);
    let subject = Subject::new::<f32>(named("cross_entropy_hvp", case), rows, &options);
    let (out, of_reference) = if case.get("probabilities").is_some() {
        let q = numbers(&case["probabilities"]);
        let out = gpu().cross_entropy_soft_hvp(&x, &q, &v, rows, &options).unwrap();
        (
            out,
            reference::cross_entropy_soft_hvp(&x, &q, &v, rows, &options).unwrap(),
        )
    } else {
        let targets: Vec<i64> = exact(&case["targets"]).iter().map(|&t| t as i64).collect();
        let out = gpu().cross_entropy_hvp(&x, &targets, &v, rows, &options).unwrap();
        (
            out,
            reference::cross_entropy_hvp(&x, &targets, &v, rows, &options).unwrap(),
        )
    };
    let expected = &case[name];
    near(&subject, "loss", &[out.loss.unwrap()], &[number(&expected["loss"])]);
    near(
        &subject,
        "the product",
        &out.gradient.unwrap(),
        &exact(&expected["product"]),
    );
    let of_reference: Vec<f32> = of_reference.gradient.iter().map(|&v| v as f32).collect();
    near(&subject, "the reference's", &of_reference, &exact(&expected["product"]));
}

#[test]
fn hessians_of_losses() {
    let golden = golden();
    for case in cases(&golden, "cross_entropy_hessian", 18) {
        hessian_of_loss(case, Reduction::Sum, "sum");
        hessian_of_loss(case, Reduction::Mean, "mean");
    }
}

#[test]
fn hessians_of_softmax() {
    let golden = golden();
    for case in cases(&golden, "softmax_hessian", 8) {
        let log = case["log"].as_bool().unwrap();
        let rows = rows_of(case);
        let forward = Softmax {
            log,
            ..Softmax::default()
        };
        let y = gpu().softmax(&numbers(&case["logits"]), rows, &forward).unwrap();
        let (g, v) = (numbers(&case["upstream"]), numbers(&case["vector"]));
        let options = SoftmaxGrad {
            log,
            ..SoftmaxGrad::default()
        };
        let product = gpu().softmax_hvp(&y, &g, &v, rows, &options).unwrap();
        let subject = Subject::new::<f32>(named("softmax_hvp", case), rows, &options);
        near(&subject, "the product", &product, &exact(&case["product"]));
        if !log {
            // The gradient is symmetric in y's other factor: that of g is the gradient itself, of v.
            let by_g = gpu().softmax_grad(&y, &v, None, rows, &options).unwrap();
            near(&subject, "the derivative by g", &by_g, &exact(&case["by_upstream"]));
        }
    }
}

#[test]
fn entropies() {
    let golden = golden();
    for case in cases(&golden, "entropy", 14) {
        let options = Entropy {
            adjust: adjust_of(&case["options"]),
            gradient: Gradient::Apart,
            upstream: Some(numbers(&case["row_upstream"]).into()),
            ..Entropy::default()
        };
        let rows = rows_of(case);
        let out = gpu().entropy(&numbers(&case["logits"]), rows, &options).unwrap();
        let subject = Subject::new::<f32>(named("entropy", case), rows, &options);
        near(&subject, "entropy", &out.entropies, &exact(&case["entropy"]));
        near(&subject, "gradient", &out.gradient.unwrap(), &exact(&case["gradient"]));
    }
}
