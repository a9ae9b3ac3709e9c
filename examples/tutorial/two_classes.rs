//! Softmax of two classes is the logistic function, and their cross-entropy that of logistic regression.

use crate::curves::{self, Curve, Stroke};
use crate::exact;
use crate::figure::INK;
use crate::page::Page;
use plotters::chart::SeriesLabelPosition;
use std::error::Error;
use wgpu_softmax::{BinaryCrossEntropy, CrossEntropy, Gpu, Gradient, Reduction, Rows, Softmax};

/// From −6 to 6.
fn steps() -> Vec<f32> {
    (0u8..97).map(|i| f32::from(i) * 0.125 - 6.0).collect()
}

/// Each z beside a 0.
fn beside_zero(z: &[f32]) -> Vec<f32> {
    z.iter().flat_map(|&z| [z, 0.0]).collect()
}

pub(crate) fn logistic(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("Two classes are logistic regression");
    page.formula(
        "softmax([z, 0])₁ = exp(z) / (exp(z) + 1) = 1 / (1 + exp(−z)) = σ(z)",
        "gpu.softmax(&[z, 0.0, …], Rows::new(n, 2), &Softmax::default())",
    );
    let z = steps();
    let y = gpu.softmax(&beside_zero(&z), Rows::new(z.len(), 2), &Softmax::default())?;
    let (first, second): (Vec<f32>, Vec<f32>) = y.chunks(2).map(|row| (row[0], row[1])).unzip();
    let sigma: Vec<f64> = z.iter().map(|&z| exact::logistic(z)).collect();
    page.check("σ(z)", &first, &sigma)?;
    page.check("1 − σ(z)", &second, &sigma.iter().map(|s| 1.0 - s).collect::<Vec<_>>())?;
    for i in [16, 48, 56, 80] {
        page.number(&format!("softmax([{}, 0])₁", z[i]), first[i], sigma[i])?;
    }
    let first = Curve::new("softmax([z, 0])₁", Stroke::Band, curves::BLUE, &z, &first);
    let second = Curve::new("softmax([z, 0])₂", Stroke::Band, curves::ORANGE, &z, &second);
    let sigma: Vec<f32> = sigma.iter().map(|&s| s as f32).collect();
    let sigma = Curve::new("σ(z)", Stroke::Line, INK, &z, &sigma);
    let plot = curves::Plot {
        title: "Softmax of two classes is the logistic function",
        across: "z",
        along: -6.0..6.0,
        up: "probability",
        values: 0.0..1.0,
        digits: 1,
        legend: SeriesLabelPosition::MiddleRight,
    };
    page.figure("logistic.svg", &plot.draw(&[first, second, sigma])?)
}

pub(crate) fn cross_entropy(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    let z = steps();
    let rows = Rows::new(z.len(), 2);
    page.formula(
        "with t = t₁ and t₂ = 1 − t: ξ = −t ln σ(z) − (1 − t) ln(1 − σ(z)), ∂ξ/∂z = σ(z) − t",
        "gpu.cross_entropy(&[z, 0.0, …], …) and gpu.binary_cross_entropy_with_logits(&z, &t, Rows::new(n, 1), …)",
    );
    let as_softmax = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        ..CrossEntropy::default()
    };
    let as_binary = BinaryCrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::None,
        ..BinaryCrossEntropy::default()
    };
    let mut drawn = Vec::new();
    // The first class is t = 1.
    for (class, t) in [(0u32, 1f32), (1, 0.0)] {
        let sigma = z.iter().map(|&z| exact::logistic(z));
        let exact_loss: Vec<f64> = (sigma.clone())
            .map(|s| if t == 1.0 { -s.ln() } else { -(1.0 - s).ln() })
            .collect();
        let exact_gradient: Vec<f64> = sigma.map(|s| s - f64::from(t)).collect();

        let out = gpu.cross_entropy(&beside_zero(&z), &vec![class; z.len()], rows, &as_softmax)?;
        let losses = out.row_losses.ok_or("no losses")?;
        let pairs = out.gradient.ok_or("no gradient")?;
        let gradient: Vec<f32> = pairs.iter().copied().step_by(2).collect();
        page.check("ξ of two classes", &losses, &exact_loss)?;
        page.check("∂ξ/∂z of two classes", &gradient, &exact_gradient)?;

        let targets = vec![t; z.len()];
        let single = Rows::new(z.len(), 1);
        let binary = gpu.binary_cross_entropy_with_logits(&z, &targets, single, &as_binary)?;
        let binary_losses = binary.losses.ok_or("no losses")?;
        let binary_gradient = binary.gradient.ok_or("no gradient")?;
        page.check("ξ of one logit", &binary_losses, &exact_loss)?;
        page.check("∂ξ/∂z of one logit", &binary_gradient, &exact_gradient)?;

        // At z = 2.
        let i = 64;
        let name = |what: &str| format!("{what} at z = {}, t = {t}, of two classes and of one logit", z[i]);
        let (both, exact) = ([losses[i], binary_losses[i]], exact_loss[i]);
        page.numbers(&name("ξ"), &both, &[exact; 2])?;
        let (both, exact) = ([gradient[i], binary_gradient[i]], exact_gradient[i]);
        page.numbers(&name("∂ξ/∂z"), &both, &[exact; 2])?;
        let (of, color) = if t == 1.0 {
            ("t = 1", curves::BLUE)
        } else {
            ("t = 0", curves::ORANGE)
        };
        drawn.push(Curve::new(&format!("ξ, {of}"), Stroke::Line, color, &z, &losses));
        drawn.push(Curve::new(
            &format!("∂ξ/∂z, {of}"),
            Stroke::Dashes,
            color,
            &z,
            &gradient,
        ));
    }
    let plot = curves::Plot {
        title: "Cross-entropy of [z, 0] and its gradient σ(z) − t",
        across: "z",
        along: -6.0..6.0,
        up: "loss, gradient",
        values: -1.0..6.0,
        digits: 0,
        legend: SeriesLabelPosition::UpperMiddle,
    };
    page.figure("loss.svg", &plot.draw(&drawn)?)
}
