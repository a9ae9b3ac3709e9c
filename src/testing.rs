//! What tests share, here and in other crates of this workspace: inputs that are the same everywhere, how far a result
//! is from the exact one, and [`Subject`], which writes the message of every failure.

mod bounds;
mod confident;
mod drafts;
mod outputs;
mod random;
mod sampling;
mod subject;
mod ulp;

pub use crate::reference::places;
pub use bounds::{Bound, GRADIENT_ULP, LOSS_ULP, LossBounds, LostDifferences};
pub use confident::{CONFIDENT_CLASSES, Confident, GAPS, loss_options};
pub use drafts::DraftBatch;
pub use random::Random;
pub use sampling::{SampleBatch, reported};
pub use subject::{Subject, Verdict, agrees, must};
pub use ulp::{ulp, ulp_of};

use crate::error::EncodeError;
use crate::rows::Rows;
use crate::schedule::Schedule;

/// Numbers of classes around which kernels differ: fewer than a vector of four, one vector, and one class more; lanes
/// of 4, 8, 32 and 64 vectors and one class more or less; one chunk and one class more; two chunks; odd and even
/// vocabularies.
pub const CLASSES: &[usize] = &[
    1, 2, 3, 4, 5, 7, 8, 10, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 256, 257, 1000, 1023, 1024, 1025, 2048,
    4099,
];

/// The bits of each value, because these compare as expected where there is a NaN or a −0 among the values.
pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Schedules at the limits of what a plan allows. A call with one that cannot run its rows returns an error that says
/// so.
pub fn schedules() -> Vec<Schedule> {
    let held = [1, 2, 4, 8, 32, 64].map(|lanes| Schedule::Held { lanes });
    let chunked = [8, 32, 128].map(|lanes| Schedule::Chunked { lanes });
    let split = [(8, 1), (32, 2), (128, 3)].map(|(lanes, pieces)| Schedule::Split { lanes, pieces });
    held.into_iter().chain(chunked).chain(split).collect()
}

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
const NEG_INF: f32 = f32::NEG_INFINITY;
const NEGATIVE_NAN: f32 = f32::from_bits(0xffc0_0001);

/// The first three classes of the rows that [`special_rows`] makes.
pub const SPECIAL_ROWS: [[f32; 3]; 14] = [
    [1.0, NAN, 2.0],
    [1.0, NEGATIVE_NAN, 2.0],
    [NEG_INF, NEGATIVE_NAN, NEG_INF],
    [1.0, INF, 2.0],
    [INF, NAN, NEG_INF],
    [INF, INF, INF],
    [NEG_INF, NEG_INF, NEG_INF],
    [NEG_INF, 1.0, 2.0],
    [1.0, NEG_INF, NEG_INF],
    [f32::MIN, NEG_INF, f32::MIN],
    [f32::MAX, f32::MIN, 0.0],
    [-0.0, 0.0, NEG_INF],
    [-5.0, -0.0, 0.0],
    [1e-45, -1e-45, 0.0],
];

/// Rows with NaN, infinities, zeros of either sign and numbers at both ends of f32's range: [`SPECIAL_ROWS`], whose
/// other classes are −∞.
pub fn special_rows(classes: usize) -> Vec<f32> {
    let rest = || std::iter::repeat_n(NEG_INF, classes.saturating_sub(3));
    SPECIAL_ROWS
        .iter()
        .flat_map(|row| row.iter().copied().chain(rest()))
        .collect()
}

/// Finite rows of four classes whose products with a scale and sums with a bias or a mask leave f32's range; they are repeated for
/// rows that need more than one span.
pub const LARGE_ROWS: [[f32; 4]; 8] = [
    [20.0, 19.5, -3.0, 20.0],
    [-20.0, -19.5, -3.0, -19.5],
    [f32::MAX, -f32::MAX, 0.0, 1.0],
    [-f32::MAX, -f32::MAX, -f32::MAX, -f32::MAX],
    [f32::MAX, f32::MAX, f32::MAX, f32::MAX],
    [1e-30, 2.0, 3.0, 3.4],
    [3.375, 3.4, 3.375, -3.4],
    [0.0, -0.0, 1e-38, 5.0],
];

/// Batches whose class axis is not the last, and batches with a row stride larger than their classes.
pub fn layouts() -> Result<Vec<Rows>, EncodeError> {
    let shapes = [
        ([3, 10, 7], 1),
        ([2, 1500, 5], 1),
        ([12, 3, 5], 0),
        ([2, 3, 130], -1),
        ([1, 300, 70], 1),
    ];
    let strided = [(5, 10, 13), (5, 10, 14), (5, 8, 12), (3, 1100, 1101), (1, 4, 9)];
    let strided = strided.map(|(count, classes, stride)| Rows::new(count, classes).with_row_stride(stride));
    let axes = shapes.iter().map(|(shape, axis)| Rows::of_shape(shape, *axis));
    axes.chain(strided.into_iter().map(Ok)).collect()
}

/// Normal numbers laid out as `rows` says. The padding is NaN, which must not affect any result.
pub fn laid_out(random: &mut Random, rows: &Rows, spread: f32) -> Result<Vec<f32>, EncodeError> {
    let mut x = random.logits(rows.elements()?, spread);
    if rows.inner() == 1 {
        let padding = x
            .iter_mut()
            .enumerate()
            .filter(|(i, _)| i % rows.outer_stride() >= rows.classes());
        padding.for_each(|(_, v)| *v = NAN);
    }
    Ok(x)
}

/// A shard's part of a matrix of whole rows without padding.
pub fn part<T: Copy>(whole: &[T], rows: &Rows) -> Vec<T> {
    let of_row = |row: &[T]| row[rows.first_class()..rows.first_class() + rows.classes()].to_vec();
    whole.chunks(rows.whole_classes()).flat_map(of_row).collect()
}
