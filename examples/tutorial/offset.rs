//! The loss of logits that share a large offset. The offset changes no probability, but costs a naive formula its digits.

use crate::curves::{self, Curve, Stroke};
use crate::page::Page;
use plotters::chart::SeriesLabelPosition;
use std::error::Error;
use wgpu_softmax::{CrossEntropy, Gpu, Reduction, Rows};

const ROWS: usize = 64;
const CLASSES: usize = 10;

/// `ξ = ln d − (z_t − m)` in f64.
fn exact(z: &[f32], target: usize) -> f64 {
    let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let fall = |v: f32| f64::from(v) - f64::from(largest);
    z.iter().map(|&v| fall(v).exp()).sum::<f64>().ln() - fall(z[target])
}

/// `(m + ln d) − z_t` in f32: logsumexp minus the target's logit.
fn by_lse(z: &[f32], target: usize) -> f32 {
    let largest = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let lse = largest + z.iter().map(|v| (v - largest).exp()).sum::<f32>().ln();
    lse - z[target]
}

fn largest_error(got: &[f32], exact: &[f64]) -> f32 {
    let errors = got
        .iter()
        .zip(exact)
        .map(|(&got, &exact)| (f64::from(got) - exact).abs() / exact);
    errors.fold(0.0, f64::max) as f32
}

pub(crate) fn swallowed_digits(gpu: &Gpu, page: &mut Page) -> Result<(), Box<dyn Error>> {
    page.section("In f32: logits with a common offset");
    page.formula(
        "ξ = ln d − (z_t − m), and not (m + ln d) − z_t, where m and z_t swallow the digits of ln d",
        "gpu.cross_entropy(&z, &t, Rows::new(64, 10), &CrossEntropy { reduction: Reduction::None, .. })",
    );
    let rows = Rows::new(ROWS, CLASSES);
    let options = CrossEntropy {
        reduction: Reduction::None,
        ..CrossEntropy::default()
    };
    let targets: Vec<u32> = (0..ROWS).map(|row| (row % CLASSES) as u32).collect();
    // The offset's power of ten, from 1 to 10⁷.
    let powers: Vec<f32> = (0u8..57).map(|i| f32::from(i) / 8.0).collect();
    let (mut ours, mut naive) = (Vec::new(), Vec::new());
    for power in &powers {
        let offset = 10f32.powf(*power);
        let z: Vec<f32> = (0..ROWS * CLASSES)
            .map(|i| ((i * 37 + i / CLASSES * 11) % 101) as f32 / 20.0 + offset)
            .collect();
        let each = || z.chunks(CLASSES).zip(&targets);
        let exact: Vec<f64> = each().map(|(z, &t)| exact(z, t as usize)).collect();
        let losses = gpu
            .cross_entropy(&z, &targets, rows, &options)?
            .row_losses
            .ok_or("no losses")?;
        page.check("ξ", &losses, &exact)?;
        ours.push(largest_error(&losses, &exact));
        let losses: Vec<f32> = each().map(|(z, &t)| by_lse(z, t as usize)).collect();
        naive.push(largest_error(&losses, &exact));
    }
    for i in [0, 24, 48] {
        println!(
            "      offset {:e}: largest relative error {:.1e}, of (m + ln d) − z_t {:.1e}",
            10f32.powf(powers[i]),
            ours[i],
            naive[i]
        );
    }
    let log = |errors: &[f32]| -> Vec<f32> { errors.iter().map(|e| e.max(1e-9).log10()).collect() };
    let plot = curves::Plot {
        title: "Largest relative error of the loss in f32",
        x_title: "common offset of the logits, power of ten",
        x_range: 0.0..7.0,
        y_title: "error, power of ten",
        y_range: -8.0..1.0,
        digits: 0,
        legend: SeriesLabelPosition::UpperLeft,
    };
    let naive = Curve::new("(m + ln d) − z_t", Stroke::Line, curves::ORANGE, &powers, &log(&naive));
    let ours = Curve::new("ln d − (z_t − m)", Stroke::Line, curves::BLUE, &powers, &log(&ours));
    page.figure("offset.svg", &plot.draw(&[naive, ours])?)
}
