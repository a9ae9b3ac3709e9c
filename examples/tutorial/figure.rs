//! What all figures have in common: the colour of lines and text, sizes, and the SVG element around the drawing.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;

pub(crate) const INK: RGBColor = RGBColor(40, 60, 90);

/// Units of the drawing for each pixel. Coordinates are whole numbers; with one unit a pixel, curves would have visible steps.
const UNITS: u32 = 4;

/// A length in pixels, as units of the drawing.
pub(crate) const fn px(pixels: u32) -> u32 {
    pixels * UNITS
}

/// The text of a number on an axis, with a true minus sign.
pub(crate) fn tick(value: f64, digits: usize) -> String {
    format!("{value:.digits$}").replace('-', "−")
}

/// The style of text of this height in pixels.
pub(crate) fn text(pixels: u32) -> TextStyle<'static> {
    ("sans-serif", px(pixels)).into_font().color(&INK)
}

/// An SVG of `width` by `height` pixels that shows what `body` draws on white, with `title` as its text for screen readers.
pub(crate) fn draw(
    title: &str,
    (width, height): (u32, u32),
    body: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), Box<dyn Error>>,
) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (px(width), px(height))).into_drawing_area();
        area.fill(&WHITE)?;
        body(&area)?;
        area.present()?;
    }
    let drawn = format!("<svg width=\"{}\" height=\"{}\" ", px(width), px(height));
    // A page narrower than the figure shrinks it.
    let shown = format!(
        "<svg role=\"img\" aria-label=\"{title}\" style=\"max-width:100%;height:auto\" width=\"{width}\" height=\"{height}\" "
    );
    Ok(svg
        .replacen(&drawn, &shown, 1)
        .replace(" opacity=\"1\"", "")
        .replace(" \"/>", "\"/>"))
}
