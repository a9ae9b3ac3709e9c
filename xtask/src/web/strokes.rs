//! Digits as a person might draw them, on a pad of 1 × 1.

use super::input::Point;

/// The strokes of a digit.
pub(crate) fn of_digit(digit: usize) -> Vec<Vec<Point>> {
    let lines = |points: &[Point]| points.to_vec();
    let joined = |parts: &[Vec<Point>]| parts.concat();
    match digit {
        0 => vec![arc([0.5, 0.5], [0.28, 0.4], -90.0, 270.0)],
        1 => vec![lines(&[[0.35, 0.25], [0.5, 0.1], [0.5, 0.9]])],
        2 => vec![joined(&[
            arc([0.5, 0.3], [0.25, 0.2], -180.0, 50.0),
            lines(&[[0.3, 0.85], [0.4, 0.82], [0.8, 0.9]]),
        ])],
        3 => vec![joined(&[
            arc([0.48, 0.3], [0.2, 0.2], -150.0, 90.0),
            arc([0.48, 0.7], [0.23, 0.2], -90.0, 150.0),
        ])],
        4 => vec![
            lines(&[[0.6, 0.1], [0.25, 0.6], [0.8, 0.6]]),
            lines(&[[0.65, 0.35], [0.65, 0.9]]),
        ],
        5 => vec![joined(&[
            lines(&[[0.72, 0.1], [0.35, 0.1], [0.32, 0.45]]),
            arc([0.48, 0.65], [0.24, 0.25], -110.0, 140.0),
        ])],
        6 => vec![joined(&[
            lines(&[[0.5, 0.08], [0.35, 0.4]]),
            arc([0.5, 0.7], [0.2, 0.2], 180.0, -180.0),
        ])],
        7 => vec![lines(&[[0.25, 0.1], [0.75, 0.1], [0.45, 0.9]])],
        8 => vec![joined(&[
            arc([0.5, 0.3], [0.18, 0.2], 90.0, 450.0),
            arc([0.5, 0.7], [0.22, 0.2], -90.0, 270.0),
        ])],
        _ => vec![joined(&[
            arc([0.48, 0.32], [0.2, 0.22], -20.0, -380.0),
            lines(&[[0.68, 0.6], [0.55, 0.88], [0.35, 0.85]]),
        ])],
    }
}

/// Points of an ellipse, from one angle to another in degrees, clockwise on the screen if the second is larger.
fn arc(middle: Point, radius: Point, from: f64, to: f64) -> Vec<Point> {
    const PARTS: u32 = 16;
    let point = |part: u32| {
        let angle = (from + (to - from) * f64::from(part) / f64::from(PARTS)).to_radians();
        [middle[0] + radius[0] * angle.cos(), middle[1] + radius[1] * angle.sin()]
    };
    (0..=PARTS).map(point).collect()
}
