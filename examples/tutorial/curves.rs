//! Line plots: curves with a legend, over two axes with ticks and titles.

use crate::figure::{self, INK, px, text, tick};
use crate::page::FIGURE_SIZE;
use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;

pub(crate) const BLUE: RGBColor = RGBColor(60, 120, 200);
pub(crate) const ORANGE: RGBColor = RGBColor(230, 130, 40);

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Stroke {
    /// A broad, pale line, on which another line can be seen.
    Band,
    Line,
    Dashes,
}

pub(crate) struct Curve {
    name: String,
    stroke: Stroke,
    color: RGBColor,
    points: Vec<(f32, f32)>,
}

impl Curve {
    pub(crate) fn new(name: &str, stroke: Stroke, color: RGBColor, z: &[f32], values: &[f32]) -> Self {
        Self {
            name: name.into(),
            stroke,
            color,
            points: z.iter().copied().zip(values.iter().copied()).collect(),
        }
    }

    fn style(&self) -> ShapeStyle {
        match self.stroke {
            Stroke::Band => self.color.mix(0.45).stroke_width(px(9)),
            Stroke::Line | Stroke::Dashes => self.color.stroke_width(px(2)),
        }
    }

    /// The stretches of the curve that are drawn: every other one of a dashed curve.
    fn pieces(&self) -> Vec<Vec<(f32, f32)>> {
        match self.stroke {
            Stroke::Dashes => self.points.windows(2).step_by(2).map(<[_]>::to_vec).collect(),
            _ => vec![self.points.clone()],
        }
    }
}

pub(crate) struct Plot {
    pub(crate) title: &'static str,
    pub(crate) x_title: &'static str,
    pub(crate) x_range: Range<f32>,
    pub(crate) y_title: &'static str,
    pub(crate) y_range: Range<f32>,
    /// Decimals of the numbers on the vertical axis.
    pub(crate) digits: usize,
    pub(crate) legend: SeriesLabelPosition,
}

impl Plot {
    pub(crate) fn draw(&self, curves: &[Curve]) -> Result<String, Box<dyn Error>> {
        figure::draw(self.title, FIGURE_SIZE, |area| {
            let margin = (self.y_range.end - self.y_range.start) * 0.04;
            let values = self.y_range.start - margin..self.y_range.end + margin;
            let mut chart = ChartBuilder::on(area)
                .caption(self.title, text(24))
                .margin(px(16))
                .x_label_area_size(px(52))
                .y_label_area_size(px(64))
                .build_cartesian_2d(self.x_range.clone(), values)?;
            chart
                .configure_mesh()
                .set_all_tick_mark_size(px(6))
                .x_desc(self.x_title)
                .y_desc(self.y_title)
                .axis_desc_style(text(20))
                .label_style(text(17))
                .axis_style(INK.stroke_width(px(1)))
                .bold_line_style(INK.mix(0.12).stroke_width(px(1)))
                .light_line_style(TRANSPARENT)
                .x_labels(13)
                .y_labels(8)
                .x_label_formatter(&|&z| tick(z.into(), 0))
                .y_label_formatter(&|&v| tick(v.into(), self.digits))
                .draw()?;
            for curve in curves {
                let style = curve.style();
                for (i, piece) in curve.pieces().into_iter().enumerate() {
                    let drawn = chart.draw_series(LineSeries::new(piece, style))?;
                    if i == 0 {
                        // A dashed curve has a gap in the middle of its entry.
                        let gap = if curve.stroke == Stroke::Dashes { 3 } else { 0 };
                        drawn.label(curve.name.clone()).legend(move |(x, y)| {
                            let part =
                                |from, to| PathElement::new(vec![(px(from) as i32, 0), (px(to) as i32, 0)], style);
                            EmptyElement::at((x, y)) + part(0, 12 - gap) + part(12 + gap, 24)
                        });
                    }
                }
            }
            chart
                .configure_series_labels()
                .position(self.legend.clone())
                .margin(px(12))
                .legend_area_size(px(32))
                .background_style(WHITE.mix(0.85))
                .border_style(INK.mix(0.3).stroke_width(px(1)))
                .label_font(text(17))
                .draw()?;
            Ok(())
        })
    }
}
