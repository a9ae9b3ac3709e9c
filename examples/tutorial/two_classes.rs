//! Softmax of two classes is the logistic function, and their cross-entropy that of logistic regression.

use crate::curves::{self, Curve, Stroke};
use crate::exact;
use crate::figure::INK;
use crate::page::Page;
use plotters::chart::SeriesLabelPosition;
use std::error::Error;
use wgpu_softmax::{BinaryCrossEntropy, CrossEntropy, Gpu, Gradient, Reduction, Rows, Softmax};

/// The z of all curves, from −6 to 6.
fn steps() -> Vec<f32> {
    (0u8..97).map(|i| f32::from(i) * 0.125 - 6.0).collect()
}

/// The logits [z, 0] of two classes, for each z.
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
        x_title: "z",
        x_range: -6.0..6.0,
        y_title: "probability",
        y_range: 0.0..1.0,
        digits: 1,
        legend: SeriesLabelPosition::MiddleRight,
    };
    page.figure("logistic.svg", &plot.draw(&[first, second, sigma])?)
}

/// The losses for one target, and their derivatives with respect to z, in this order.
struct Curves {
    /// As the cross-entropy of two classes.
    softmax: (Vec<f32>, Vec<f32>),
    /// As the binary cross-entropy of one logit.
    binary: (Vec<f32>, Vec<f32>),
    /// In plain f64.
    exact: (Vec<f64>, Vec<f64>),
}

impl Curves {
    /// With `t` = 1 the target is the first class, with 0 the second.
    fn new(gpu: &Gpu, z: &[f32], t: u8) -> Result<Self, Box<dyn Error>> {
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
        let (n, class) = (z.len(), 1 - t);
        let two = gpu.cross_entropy(&beside_zero(z), &vec![class; n], Rows::new(n, 2), &as_softmax)?;
        let targets = vec![f32::from(t); n];
        let one = gpu.binary_cross_entropy_with_logits(z, &targets, Rows::new(n, 1), &as_binary)?;
        let pairs = two.gradient.ok_or("no gradient")?;
        let first: Vec<f32> = pairs.iter().copied().step_by(2).collect();
        let sigma = z.iter().map(|&z| exact::logistic(z));
        let loss = |s: f64| if t == 1 { -s.ln() } else { -(1.0 - s).ln() };
        Ok(Self {
            softmax: (two.row_losses.ok_or("no losses")?, first),
            binary: (one.losses.ok_or("no losses")?, one.gradient.ok_or("no gradient")?),
            exact: (
                sigma.clone().map(loss).collect(),
                sigma.map(|s| s - f64::from(t)).collect(),
            ),
        })
    }

    fn check(&self, page: &mut Page) -> Result<(), Box<dyn Error>> {
        let Self { softmax, binary, exact } = self;
        page.check("ξ of two classes", &softmax.0, &exact.0)?;
        page.check("∂ξ/∂z of two classes", &softmax.1, &exact.1)?;
        page.check("ξ of one logit", &binary.0, &exact.0)?;
        page.check("∂ξ/∂z of one logit", &binary.1, &exact.1)
    }
}

pub(crate) fn cross_entropy(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.formula(
        "with t = t₁ and t₂ = 1 − t: ξ = −t ln σ(z) − (1 − t) ln(1 − σ(z)), ∂ξ/∂z = σ(z) − t",
        "gpu.cross_entropy(&[z, 0.0, …], …) and gpu.binary_cross_entropy_with_logits(&z, &t, Rows::new(n, 1), …)",
    );
    let z = steps();
    let at = 64; // z = 2
    let mut drawn = Vec::new();
    for (t, color) in [(1u8, curves::BLUE), (0, curves::ORANGE)] {
        let curves = Curves::new(gpu, &z, t)?;
        curves.check(page)?;
        let Curves { softmax, binary, exact } = curves;
        let name = |what: &str| format!("{what} at z = {}, t = {t}, of two classes and of one logit", z[at]);
        page.numbers(&name("ξ"), &[softmax.0[at], binary.0[at]], &[exact.0[at]; 2])?;
        page.numbers(&name("∂ξ/∂z"), &[softmax.1[at], binary.1[at]], &[exact.1[at]; 2])?;
        let curve =
            |what: &str, stroke, values: &[f32]| Curve::new(&format!("{what}, t = {t}"), stroke, color, &z, values);
        drawn.push(curve("ξ", Stroke::Line, &softmax.0));
        drawn.push(curve("∂ξ/∂z", Stroke::Dashes, &softmax.1));
    }
    let plot = curves::Plot {
        title: "Cross-entropy of [z, 0] and its gradient σ(z) − t",
        x_title: "z",
        x_range: -6.0..6.0,
        y_title: "loss, gradient",
        y_range: -1.0..6.0,
        digits: 0,
        legend: SeriesLabelPosition::UpperMiddle,
    };
    page.figure("loss.svg", &plot.draw(&drawn)?)
}
