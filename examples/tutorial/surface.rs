//! The figure of P(t=1|z) over the plane of two logits.

use crate::figure::{self, INK, px, text, tick};
use crate::page::FIGURE_SIZE;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

/// The colours of the values 0, ½ and 1; others are mixed.
const COLORS: [(f64, f64, f64); 3] = [(50.0, 60.0, 140.0), (60.0, 165.0, 160.0), (250.0, 205.0, 80.0)];

fn color(value: f64) -> RGBColor {
    let place = value.clamp(0.0, 1.0) * 2.0;
    let (from, part) = if place < 1.0 { (0, place) } else { (1, place - 1.0) };
    let (a, b) = (COLORS[from], COLORS[from + 1]);
    let mix = |a: f64, b: f64| (a + (b - a) * part).round() as u8;
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

/// Draws the surface. `values` has, for each step of z₁, one value for each step of z₂.
pub(crate) fn draw(steps: &[f32], values: &[f32]) -> Result<String, Box<dyn Error>> {
    let title = "P(t=1|z), the first output of softmax([z₁, z₂])";
    let n = steps.len();
    let point = |i: usize, j: usize| (f64::from(steps[i]), f64::from(values[i * n + j]), f64::from(steps[j]));
    figure::draw(title, FIGURE_SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, text(24))
            .margin(px(12))
            .margin_bottom(px(24))
            .build_cartesian_3d(-6.0..6.0, 0.0..1.0, -6.0..6.0)?;
        chart.with_projection(|mut view| {
            view.pitch = 0.35;
            view.yaw = 0.6;
            view.scale = 0.85;
            view.into_matrix()
        });
        let z1 = |&z: &f64| tick(z, 0);
        // Both axes end in one corner, where only one number has room.
        let z2 = |&z: &f64| if z < 6.0 { tick(z, 0) } else { String::new() };
        chart
            .configure_axes()
            .x_labels(7)
            .y_labels(6)
            .z_labels(7)
            .max_light_lines(1)
            .tick_size(px(6))
            .axis_panel_style(INK.mix(0.05))
            .bold_grid_style(INK.mix(0.15).stroke_width(px(1)))
            .label_style(text(17))
            .x_formatter(&z1)
            .y_formatter(&|&p| tick(p, 1))
            .z_formatter(&z2)
            .draw()?;
        // From the back to the front, so that near parts cover far ones.
        for i in 0..n - 1 {
            for j in 0..n - 1 {
                let corners = vec![point(i, j), point(i + 1, j), point(i + 1, j + 1), point(i, j + 1)];
                let mean = corners.iter().map(|c| c.1).sum::<f64>() / 4.0;
                chart.draw_series([Polygon::new(corners, color(mean).filled())])?;
            }
        }
        for i in (0..n).step_by(4) {
            let lines = [
                (0..n).map(|j| point(i, j)).collect(),
                (0..n).map(|j| point(j, i)).collect(),
            ];
            chart.draw_series(lines.map(|line: Vec<_>| PathElement::new(line, WHITE.mix(0.5).stroke_width(px(1)))))?;
        }
        let centre = Pos::new(HPos::Center, VPos::Center);
        let style = text(20).pos(centre);
        let names = [
            ("z₁", (0.0, -0.2, 8.0)),
            ("z₂", (8.0, -0.2, 0.0)),
            ("P(t=1|z)", (-6.0, 1.1, 6.0)),
        ];
        chart.draw_series(names.map(|(name, at)| Text::new(name, at, &style)))?;
        Ok(())
    })
}
