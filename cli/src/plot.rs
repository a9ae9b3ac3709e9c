//! `--plot FILE.svg`: a chart of horizontal bars.

use crate::failure::Failure;
use crate::output::{self, Output};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;
use wgpu_softmax::wgpu::AdapterInfo;

const INK: RGBColor = RGBColor(40, 60, 90);
pub(crate) const BLUE: RGBColor = RGBColor(70, 120, 190);
pub(crate) const ORANGE: RGBColor = RGBColor(225, 130, 45);
pub(crate) const RED: RGBColor = RGBColor(200, 50, 45);

// All in pixels.
/// From the top of one bar to the top of the next.
const STEP: i32 = 24;
/// Where bars begin; their names stand to the left of it.
const LEFT: i32 = 330;
/// How long a bar of length 1 is.
const LENGTH: i32 = 420;
/// Where the first bar begins, below the title.
const TOP: i32 = 84;
const WIDTH: u32 = 860;

pub(crate) struct Bar {
    pub(crate) name: String,
    /// From 0 to 1; longer bars are cut off.
    pub(crate) length: f64,
    /// Printed at the bar's end.
    pub(crate) text: String,
    pub(crate) color: RGBColor,
}

/// Checks the flag before anything is measured.
pub(crate) fn check(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else {
        return Ok(());
    };
    if path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("svg")) {
        let message = format!("{}: --plot draws an SVG: end the name in .svg", path.display());
        return Err(Failure::Caller(message));
    }
    output::check(&[("--plot", Some(path))])
}

/// Draws the bars, titled with the adapter they were measured on. `limit` is a length at which a vertical line is drawn, and
/// the line's label.
pub(crate) fn write(
    path: &Path,
    title: &str,
    info: &AdapterInfo,
    limit: (f64, &str),
    bars: &[Bar],
) -> Result<(), Failure> {
    let adapter = format!("{} ({}) {}", info.name, info.backend, info.driver_info);
    let svg = draw(title, &adapter, limit, bars);
    let svg = svg.map_err(|e| Failure::Machine(format!("{}: {e}", path.display())))?;
    output::publish(vec![Output::of_bytes(path, svg.into_bytes())?])
}

fn draw(title: &str, subtitle: &str, (limit, label): (f64, &str), bars: &[Bar]) -> Result<String, String> {
    let mut svg = String::new();
    let height = TOP + STEP * bars.len() as i32 + 16;
    let fail = |e: DrawingAreaErrorKind<std::io::Error>| e.to_string();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height as u32)).into_drawing_area();
        area.fill(&WHITE).map_err(fail)?;
        let text = |text: &str, at: (i32, i32), size: u32, end: HPos| {
            let style = ("sans-serif", size).into_font().color(&INK);
            let text = Text::new(text.to_string(), at, style.pos(Pos::new(end, VPos::Center)));
            area.draw(&text).map_err(fail)
        };
        text(title, (20, 24), 20, HPos::Left)?;
        text(subtitle, (20, 48), 14, HPos::Left)?;
        let x = LEFT + (limit * f64::from(LENGTH)) as i32;
        area.draw(&PathElement::new(vec![(x, TOP - 8), (x, height - 12)], INK.mix(0.3)))
            .map_err(fail)?;
        text(label, (x, TOP - 18), 13, HPos::Center)?;
        for (i, bar) in bars.iter().enumerate() {
            let y = TOP + STEP * i as i32;
            let end = LEFT + (bar.length.clamp(0.0, 1.0) * f64::from(LENGTH)) as i32;
            text(&bar.name, (LEFT - 8, y + 9), 14, HPos::Right)?;
            area.draw(&Rectangle::new(
                [(LEFT, y), (end.max(LEFT + 1), y + 18)],
                bar.color.filled(),
            ))
            .map_err(fail)?;
            text(&bar.text, (end + 6, y + 9), 13, HPos::Left)?;
        }
        area.present().map_err(fail)?;
    }
    Ok(svg)
}
