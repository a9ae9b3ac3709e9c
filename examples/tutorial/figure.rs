//! What every figure has in common.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

pub(crate) const INK: RGBColor = RGBColor(40, 60, 90);

/// As it is shown.
const SIZE: (u32, u32) = (720, 460);

/// Units in a pixel: coordinates are whole numbers, and curves would be steps.
const UNITS: u32 = 4;

/// Lengths of so many pixels.
pub(crate) const fn px(pixels: u32) -> u32 {
    pixels * UNITS
}

/// A number on an axis, with a minus as long as a plus.
pub(crate) fn tick(value: f64, digits: usize) -> String {
    format!("{value:.digits$}").replace('-', "−")
}

/// Text of so many pixels.
pub(crate) fn text(pixels: u32) -> TextStyle<'static> {
    ("sans-serif", px(pixels)).into_font().color(&INK)
}

/// An SVG of what `body` draws on white, with `title` for readers that cannot see it.
pub(crate) fn draw(
    title: &str,
    body: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    let (width, height) = SIZE;
    {
        let area = SVGBackend::with_string(&mut svg, (px(width), px(height))).into_drawing_area();
        area.fill(&WHITE)?;
        body(&area)?;
        area.present()?;
    }
    let drawn = format!("<svg width=\"{}\" height=\"{}\" ", px(width), px(height));
    // It shrinks with the page that it is put into.
    let shown = format!(
        "<svg role=\"img\" aria-label=\"{title}\" style=\"max-width:100%;height:auto\" width=\"{width}\" height=\"{height}\" "
    );
    Ok(svg
        .replacen(&drawn, &shown, 1)
        .replace(" opacity=\"1\"", "")
        .replace(" \"/>", "\"/>"))
}
