//! The softmax function, its probability over the plane of two logits, and its derivative.

use crate::page::Page;
use crate::{exact, surface};
use std::error::Error;
use wgpu_softmax::{Gpu, Rows, Softmax};

const Z: [f32; 3] = [1.0, 2.0, 4.0];

pub(crate) fn function(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("Softmax: from any C numbers to C probabilities");
    page.formula(
        "y_c = exp(z_c) / Σ_d exp(z_d)",
        "gpu.softmax(&[1.0, 2.0, 4.0], Rows::new(1, 3), &Softmax::default())",
    );
    let (rows, exact) = (Rows::new(1, 3), exact::softmax(&Z));
    let y = gpu.softmax(&Z, rows, &Softmax::default())?;
    page.numbers("y", &y, &exact)?;
    page.number("Σ_c y_c", y.iter().sum(), 1.0)?;

    page.formula(
        "y is the same for z + a: exp(z_c + a) / Σ_d exp(z_d + a); a = 1000 is past what exp can take, so a row's maximum is subtracted",
        "gpu.softmax(&[1001.0, 1002.0, 1004.0], Rows::new(1, 3), &Softmax::default())",
    );
    let y = gpu.softmax(&Z.map(|z| z + 1000.0), rows, &Softmax::default())?;
    page.numbers("y", &y, &exact)
}

pub(crate) fn surface(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("Two classes: P(t=1|z) over the plane of z = [z₁, z₂]");
    page.formula(
        "P(t=1|z) = exp(z₁) / (exp(z₁) + exp(z₂)), P(t=2|z) = 1 − P(t=1|z)",
        "gpu.softmax(&z, Rows::new(25 * 25, 2), &Softmax::default())",
    );
    let steps: Vec<f32> = (0u8..25).map(|i| f32::from(i) * 0.5 - 6.0).collect();
    let z: Vec<f32> = (steps.iter())
        .flat_map(|&z1| steps.iter().flat_map(move |&z2| [z1, z2]))
        .collect();
    let y = gpu.softmax(&z, Rows::new(z.len() / 2, 2), &Softmax::default())?;
    let exact: Vec<f64> = z.chunks(2).flat_map(exact::softmax).collect();
    page.check("P(t|z)", &y, &exact)?;
    let at = |z1: f32, z2: f32| z.chunks(2).position(|z| z == [z1, z2]).map_or(0, |row| row * 2);
    for (z1, z2) in [(-2.0, 2.0), (0.0, 0.0), (1.0, 0.0), (2.0, -2.0)] {
        let i = at(z1, z2);
        page.number(&format!("P(t=1|z=[{z1}, {z2}])"), y[i], exact[i])?;
    }
    let first: Vec<f32> = y.iter().copied().step_by(2).collect();
    page.figure("surface.svg", &surface::draw(&steps, &first)?)
}

pub(crate) fn derivative(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("The derivative of softmax");
    page.formula(
        "∂y_i/∂z_j = y_i (δ_ij − y_j): y_i (1 − y_i) where i = j, −y_i y_j elsewhere",
        "gpu.softmax_jacobian(&[1.0, 2.0, 4.0], Rows::new(1, 3), &Softmax::default())",
    );
    let jacobian = gpu.softmax_jacobian(&Z, Rows::new(1, 3), &Softmax::default())?;
    let exact = exact::jacobian(&exact::softmax(&Z));
    for (i, (line, exact)) in jacobian.chunks(3).zip(exact.chunks(3)).enumerate() {
        page.numbers(&format!("∂y_{}/∂z", i + 1), line, exact)?;
    }
    // The probabilities add up to 1 for all z, so the derivatives add up to 0.
    let sums: Vec<f32> = (0..3).map(|j| jacobian.iter().skip(j).step_by(3).sum()).collect();
    page.numbers("Σ_i ∂y_i/∂z", &sums, &[0.0; 3])
}
