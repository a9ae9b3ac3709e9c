//! The picture: the loss curve, and digits beside bars of their ten probabilities.

use crate::data::{CLASSES, Images, PIXELS};
use image::{ImageResult, Rgb, RgbImage};

const INK: Rgb<u8> = Rgb([40, 60, 90]);
const PALE: Rgb<u8> = Rgb([200, 208, 220]);
const RIGHT: Rgb<u8> = Rgb([46, 139, 87]);
const WRONG: Rgb<u8> = Rgb([200, 60, 50]);

fn fill(picture: &mut RgbImage, (x, y): (u32, u32), (width, height): (u32, u32), color: Rgb<u8>) {
    for py in y..(y + height).min(picture.height()) {
        for px in x..(x + width).min(picture.width()) {
            picture.put_pixel(px, py, color);
        }
    }
}

/// Above, the loss over the steps, from 0 to its largest; below, eight digits, each with a bar for classes 0 to 9 from
/// left to right: green for the right one, red for a wrong one that is likeliest.
pub(crate) fn draw(path: &str, losses: &[f32], images: &Images, probs: &[f32]) -> ImageResult<()> {
    let mut picture = RgbImage::from_pixel(880, 520, Rgb([255, 255, 255]));
    let largest = losses.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
    fill(&mut picture, (40, 260), (800, 2), INK);
    fill(&mut picture, (38, 20), (2, 242), INK);
    for (i, loss) in losses.iter().enumerate() {
        let x = 40 + (i * 796 / losses.len()) as u32;
        let y = 258 - (loss / largest * 230.0) as u32;
        fill(&mut picture, (x, y), (4, 4), INK);
    }
    for i in 0..8 {
        let left = 24 + i as u32 * 106;
        for p in 0..PIXELS - 1 {
            let shade = 255 - (images.pixels[i * PIXELS + p] * 255.0) as u8;
            let at = (left + (p % 8) as u32 * 11, 300 + (p / 8) as u32 * 11);
            fill(&mut picture, at, (11, 11), Rgb([shade, shade, shade]));
        }
        let row = &probs[i * CLASSES..(i + 1) * CLASSES];
        let likeliest = (0..CLASSES).fold(0, |best, c| if row[c] > row[best] { c } else { best });
        fill(&mut picture, (left, 490), (88, 2), INK);
        for (c, &p) in row.iter().enumerate() {
            let color = match (c == images.digits[i] as usize, c == likeliest) {
                (true, _) => RIGHT,
                (false, true) => WRONG,
                _ => PALE,
            };
            let height = 1 + (p * 85.0) as u32;
            fill(&mut picture, (left + c as u32 * 9, 490 - height), (7, height), color);
        }
    }
    picture.save(path)
}
