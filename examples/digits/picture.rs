//! The picture of the demo, an SVG: the loss of every step, and below it test images with the probabilities that softmax
//! gave to their ten classes.

use crate::data::{CLASSES, Images, PIXELS};
use crate::figure::{self, INK, px, text, tick};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::error::Error;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn Error>>;

const GREY: RGBColor = RGBColor(176, 186, 200);
const GREEN: RGBColor = RGBColor(46, 139, 87);
const RED: RGBColor = RGBColor(205, 60, 50);
const BLUE: RGBColor = RGBColor(60, 120, 200);

/// Sizes in pixels: the picture, its margin, where the loss and the digits begin, and a digit's cell.
const SIZE: (u32, u32) = (960, 680);
const MARGIN: u32 = 24;
const LOSS_TOP: u32 = 72;
const DIGITS_TOP: u32 = 372;
const CELLS_TOP: u32 = 412;
const CELL: (u32, u32) = (236, 134);
const COLUMNS: usize = 4;

/// How many digits are shown, and how many of them at most are classified wrongly.
const SHOWN: usize = 8;
const WRONG_SHOWN: usize = 3;

/// What is drawn.
pub(crate) struct Picture<'a> {
    /// The mean cross-entropy of each training step.
    pub(crate) losses: &'a [f32],
    pub(crate) test: &'a Images,
    /// Ten probabilities for each test image.
    pub(crate) probs: &'a [f32],
    /// How many test images were classified correctly.
    pub(crate) right: usize,
}

impl Picture<'_> {
    /// Writes the picture to a file.
    pub(crate) fn save(&self, path: &str) -> Outcome {
        let title = "Handwritten digits, learnt with softmax and cross-entropy";
        let svg = figure::draw(title, SIZE, |area| {
            draw_text(area, title, text(26), (MARGIN, 16))?;
            draw_text(area, &self.subtitle(), text(15).color(&INK.mix(0.75)), (MARGIN, 48))?;
            self.draw_losses(area)?;
            draw_text(
                area,
                "Test images and their probabilities, as bars from 0 to 1",
                text(18),
                (MARGIN, DIGITS_TOP),
            )?;
            draw_legend(area)?;
            for (place, &image) in self.choice().iter().enumerate() {
                let (column, row) = ((place % COLUMNS) as u32, (place / COLUMNS) as u32);
                let corner = (MARGIN + column * CELL.0, CELLS_TOP + row * CELL.1);
                self.draw_digit(&shrunk(area, corner, CELL), image)?;
            }
            Ok(())
        })?;
        std::fs::write(path, svg).map_err(|error| format!("{path}: {error}").into())
    }

    fn subtitle(&self) -> String {
        let (right, count, steps) = (self.right, self.test.digits.len(), self.losses.len());
        let percent = 100.0 * right as f64 / count as f64;
        format!("After {steps} steps {right} of {count} test images are classified correctly ({percent:.1} %)")
    }

    fn row(&self, image: usize) -> &[f32] {
        &self.probs[image * CLASSES..(image + 1) * CLASSES]
    }

    fn predicted(&self, image: usize) -> usize {
        let row = self.row(image);
        (0..CLASSES).fold(0, |best, c| if row[c] > row[best] { c } else { best })
    }

    fn is_wrong(&self, image: usize) -> bool {
        self.predicted(image) != self.test.digits[image] as usize
    }

    /// The images to show, of different digits: the first that were classified correctly, then the first that were not.
    fn choice(&self) -> Vec<usize> {
        let mut seen = Vec::new();
        let mut first_of_each = |is_wrong: bool, count: usize| -> Vec<usize> {
            let images = (0..self.test.digits.len()).filter(|&image| {
                let digit = self.test.digits[image];
                let is_shown = self.is_wrong(image) == is_wrong && !seen.contains(&digit);
                seen.extend(is_shown.then_some(digit));
                is_shown
            });
            images.take(count).collect()
        };
        let wrong = first_of_each(true, WRONG_SHOWN);
        let mut chosen = first_of_each(false, SHOWN - wrong.len());
        chosen.extend(wrong);
        chosen
    }

    fn draw_losses(&self, area: &Area<'_>) -> Outcome {
        let steps = self.losses.len() as f32;
        let guess = (CLASSES as f32).ln();
        let area = shrunk(area, (0, LOSS_TOP), (SIZE.0 - MARGIN, DIGITS_TOP - LOSS_TOP - 24));
        let mut chart = ChartBuilder::on(&area)
            .margin_top(px(12))
            .margin_left(px(12))
            .x_label_area_size(px(44))
            .y_label_area_size(px(64))
            .build_cartesian_2d(0.0..steps, 0.0..2.6f32)?;
        chart
            .configure_mesh()
            .set_all_tick_mark_size(px(5))
            .x_desc("training step")
            .y_desc("mean cross-entropy (nats)")
            .axis_desc_style(text(16))
            .label_style(text(14))
            .axis_style(INK.stroke_width(px(1)))
            .bold_line_style(INK.mix(0.12).stroke_width(px(1)))
            .light_line_style(TRANSPARENT)
            .x_labels(10)
            .y_labels(6)
            .x_label_formatter(&|&step| tick(step.into(), 0))
            .y_label_formatter(&|&loss| tick(loss.into(), 1))
            .draw()?;
        let dashes = (0..90).map(|i| {
            let start = i as f32 * steps / 90.0;
            PathElement::new(
                vec![(start, guess), (start + steps / 180.0, guess)],
                INK.mix(0.5).stroke_width(px(1)),
            )
        });
        chart.draw_series(dashes)?;
        let label = text(14).pos(Pos::new(HPos::Right, VPos::Top));
        chart.draw_series([Text::new(
            "ln 10: every class equally likely",
            (steps, guess - 0.05),
            label,
        )])?;
        let losses = self.losses.iter().enumerate().map(|(i, &loss)| ((i + 1) as f32, loss));
        chart.draw_series(LineSeries::new(losses, BLUE.stroke_width(px(2))))?;
        Ok(())
    }

    /// A cell: the caption, the image at the left, the bars at the right.
    fn draw_digit(&self, cell: &Area<'_>, image: usize) -> Outcome {
        const PIXEL: u32 = 10;
        let (digit, predicted) = (self.test.digits[image], self.predicted(image));
        let percent = 100.0 * self.row(image)[predicted];
        let caption = format!("true {digit}, predicted {predicted} ({percent:.0} %)");
        let color = if self.is_wrong(image) { RED } else { INK };
        draw_text(cell, &caption, text(15).color(&color), (0, 0))?;
        for (p, &ink) in self.test.pixels[image * PIXELS..][..PIXELS - 1].iter().enumerate() {
            let corner = ((p % 8) as u32 * PIXEL, 22 + (p / 8) as u32 * PIXEL);
            let shade = 255 - (ink * 255.0) as u8;
            if ink > 0.0 {
                draw_box(cell, corner, (PIXEL, PIXEL), RGBColor(shade, shade, shade).filled())?;
            }
        }
        draw_box(cell, (0, 22), (8 * PIXEL, 8 * PIXEL), INK.mix(0.4).stroke_width(px(1)))?;
        self.draw_bars(cell, image)
    }

    /// Bars from 0 to 1 for classes 0 to 9, each with its class under it.
    fn draw_bars(&self, cell: &Area<'_>, image: usize) -> Outcome {
        const LEFT: u32 = 96;
        const FLOOR: u32 = 102;
        const HEIGHT: f32 = 80.0;
        const STEP: u32 = 12;
        const WIDTH: u32 = 9;
        for (class, &p) in self.row(image).iter().enumerate() {
            let color = match (
                class == self.test.digits[image] as usize,
                class == self.predicted(image),
            ) {
                (true, _) => GREEN,
                (false, true) => RED,
                _ => GREY,
            };
            let left = LEFT + class as u32 * STEP;
            let height = ((p * HEIGHT).round() as u32).max(1);
            draw_box(cell, (left, FLOOR - height), (WIDTH, height), color.filled())?;
            let style = text(12).color(&INK).pos(Pos::new(HPos::Center, VPos::Top));
            draw_text(cell, &class.to_string(), style, (left + WIDTH / 2, FLOOR + 4))?;
        }
        let floor = vec![at((LEFT - 3, FLOOR)), at((LEFT + 10 * STEP, FLOOR))];
        cell.draw(&PathElement::new(floor, INK.stroke_width(px(1))))?;
        Ok(())
    }
}

/// What the colours of the bars mean, at the right of the digits' heading.
fn draw_legend(area: &Area<'_>) -> Outcome {
    let entries = [
        (GREEN, "true class", 98),
        (RED, "predicted, but wrong", 166),
        (GREY, "other classes", 98),
    ];
    let mut left = SIZE.0 - MARGIN - entries.iter().map(|entry| entry.2).sum::<u32>();
    for (color, name, width) in entries {
        draw_box(area, (left, DIGITS_TOP + 4), (12, 12), color.filled())?;
        draw_text(area, name, text(14), (left + 18, DIGITS_TOP + 3))?;
        left += width;
    }
    Ok(())
}

/// A part of an area, with its corner and size in pixels.
fn shrunk<'a>(area: &Area<'a>, (x, y): (u32, u32), (width, height): (u32, u32)) -> Area<'a> {
    area.clone().shrink((px(x), px(y)), (px(width), px(height)))
}

fn at((x, y): (u32, u32)) -> (i32, i32) {
    (px(x) as i32, px(y) as i32)
}

fn draw_text(area: &Area<'_>, words: &str, style: TextStyle<'_>, corner: (u32, u32)) -> Outcome {
    area.draw(&Text::new(words, at(corner), style))?;
    Ok(())
}

fn draw_box(area: &Area<'_>, (x, y): (u32, u32), (width, height): (u32, u32), style: ShapeStyle) -> Outcome {
    area.draw(&Rectangle::new([at((x, y)), at((x + width, y + height))], style))?;
    Ok(())
}
