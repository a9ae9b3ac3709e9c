//! The UCI digits, shuffled by a fixed seed and split.

use std::error::Error;
use std::io::Read;

pub(crate) const CLASSES: usize = 10;
/// Pixels of an image: 64, and a 1 for the bias.
pub(crate) const PIXELS: usize = 65;

/// The images of one batch, one after the other, and the digit that each shows.
#[derive(Default)]
pub(crate) struct Images {
    pub(crate) pixels: Vec<f32>,
    pub(crate) digits: Vec<u32>,
}

/// 1,347 images to train, in three batches of 449, and 450 to test.
pub(crate) fn load() -> Result<(Vec<Images>, Images), Box<dyn Error>> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&include_bytes!("../../data/digits.csv.gz")[..]).read_to_string(&mut text)?;
    let mut rows: Vec<Vec<u32>> = Vec::new();
    for line in text.lines() {
        rows.push(line.split(',').map(str::parse).collect::<Result<_, _>>()?);
    }
    // A Fisher-Yates shuffle, with a xorshift generator of fixed seed.
    let mut state = 2463534242u32;
    for i in (1..rows.len()).rev() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        rows.swap(i, state as usize % (i + 1));
    }
    let images = |rows: &[Vec<u32>]| {
        let mut images = Images::default();
        for row in rows {
            images.pixels.extend(row[..PIXELS - 1].iter().map(|&v| v as f32 / 16.0));
            images.pixels.push(1.0);
            images.digits.push(row[PIXELS - 1]);
        }
        images
    };
    let (train, test) = rows.split_at(1347);
    Ok((train.chunks(449).map(images).collect(), images(test)))
}
