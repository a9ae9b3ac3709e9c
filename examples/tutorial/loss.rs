//! From the likelihood of a set of samples to cross-entropy, and its gradient.

use crate::exact;
use crate::page::Page;
use std::error::Error;
use wgpu_softmax::{CrossEntropy, Gpu, Gradient, Reduction, Rows, Softmax};

const CLASSES: usize = 3;
/// The logits of four samples.
const Z: [f32; 12] = [2.0, 0.5, -1.0, 0.0, 1.5, 0.5, -0.5, 0.25, 1.0, 1.0, 1.0, -2.0];
/// The classes of the four samples, counted from 0.
const T: [usize; 4] = [0, 1, 2, 1];

fn rows() -> Rows {
    Rows::new(T.len(), CLASSES)
}

/// The value of each sample at its target class.
fn at_targets<V: Copy>(values: &[V]) -> Vec<V> {
    values.chunks(CLASSES).zip(T).map(|(row, t)| row[t]).collect()
}

pub(crate) fn likelihood(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("From the likelihood to cross-entropy");
    let exact_y = at_targets(&Z.chunks(CLASSES).flat_map(exact::softmax).collect::<Vec<_>>());
    page.formula(
        "P(t_i|z_i) = Π_c y_ic^t_ic = y_i at the target, and 𝓛 = Π_i P(t_i|z_i), over n = 4 samples",
        "gpu.softmax(&z, Rows::new(4, 3), &Softmax::default())",
    );
    let y = at_targets(&gpu.softmax(&Z, rows(), &Softmax::default())?);
    page.numbers("P(t_i|z_i)", &y, &exact_y)?;
    page.number("𝓛", y.iter().product(), exact_y.iter().product())?;

    page.formula(
        "ln 𝓛 = Σ_i ln y_i at the target: as large as can be where 𝓛 is",
        "gpu.softmax(&z, Rows::new(4, 3), &Softmax::log())",
    );
    let log = at_targets(&gpu.softmax(&Z, rows(), &Softmax::log())?);
    let exact_log: Vec<f64> = exact_y.iter().map(|y| y.ln()).collect();
    page.numbers("ln P(t_i|z_i)", &log, &exact_log)?;
    page.number("ln 𝓛", log.iter().sum(), exact_log.iter().sum())?;

    let exact_loss = -exact_log.iter().sum::<f64>();
    page.formula(
        "ξ(T, Y) = −ln 𝓛 = −Σ_i Σ_c t_ic ln y_ic",
        "gpu.cross_entropy(&z, &t, Rows::new(4, 3), &CrossEntropy { reduction: Reduction::Sum, row_losses: true, .. })",
    );
    let options = CrossEntropy {
        reduction: Reduction::Sum,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let out = gpu.cross_entropy(&Z, &T, rows(), &options)?;
    let exact_losses: Vec<f64> = exact_log.iter().map(|v| -v).collect();
    page.numbers("ξ(t_i, y_i)", &out.row_losses.unwrap_or_default(), &exact_losses)?;
    let loss = out.loss.ok_or("no sum")?;
    page.number("ξ(T, Y)", loss, exact_loss)?;
    page.number("exp(−ξ(T, Y)), which is 𝓛", (-loss).exp(), exact_y.iter().product())?;

    page.formula(
        "the same with T as a matrix, each row with a 1 at its class",
        "gpu.cross_entropy_soft(&z, &[1, 0, 0,  0, 1, 0,  0, 0, 1,  0, 1, 0], Rows::new(4, 3), …)",
    );
    let hot = T.iter().flat_map(|&t| exact::one_hot(t, CLASSES));
    let hot: Vec<f32> = hot.map(|v| v as f32).collect();
    let options = CrossEntropy {
        targets: wgpu_softmax::Targets::Probabilities,
        ..options
    };
    let out = gpu.cross_entropy_soft(&Z, &hot, rows(), &options)?;
    page.number("ξ(T, Y)", out.loss.ok_or("no sum")?, exact_loss)
}

pub(crate) fn gradient(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("The derivative of cross-entropy");
    page.formula(
        "∂ξ/∂z_i = y_i − t_i",
        "gpu.cross_entropy(&z, &t, Rows::new(4, 3), &CrossEntropy { gradient: Gradient::Apart, reduction: Reduction::Sum, .. })",
    );
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    let out = gpu.cross_entropy(&Z, &T, rows(), &options)?;
    let gradient = out.gradient.ok_or("no gradient")?;
    let mut exact = Vec::new();
    for (z, t) in Z.chunks(CLASSES).zip(T) {
        let hot = exact::one_hot(t, CLASSES);
        exact.extend(exact::softmax(z).iter().zip(hot).map(|(y, t)| y - t));
    }
    for (i, (row, exact)) in gradient.chunks(CLASSES).zip(exact.chunks(CLASSES)).enumerate() {
        page.numbers(&format!("∂ξ/∂z of sample {}", i + 1), row, exact)?;
    }

    page.formula(
        "by the chain rule: ∂ξ/∂z_i = Σ_j ∂ξ/∂y_j · ∂y_j/∂z_i, where ∂ξ/∂y_j = −t_j / y_j",
        "gpu.softmax and gpu.softmax_jacobian, then the sum over j on the host",
    );
    let y = gpu.softmax(&Z, rows(), &Softmax::default())?;
    let jacobian = gpu.softmax_jacobian(&Z, rows(), &Softmax::default())?;
    let samples = y.chunks(CLASSES).zip(jacobian.chunks(CLASSES * CLASSES)).zip(T);
    for (i, ((y, jacobian), t)) in samples.enumerate() {
        // Only the term of the target class is not zero.
        let line = &jacobian[t * CLASSES..(t + 1) * CLASSES];
        let chained: Vec<f32> = line.iter().map(|v| -v / y[t]).collect();
        page.numbers(
            &format!("∂ξ/∂z of sample {}", i + 1),
            &chained,
            &exact[i * CLASSES..][..CLASSES],
        )?;
    }
    Ok(())
}
