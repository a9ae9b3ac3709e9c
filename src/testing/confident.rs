//! Rows that are all but certain: one class, or a few that are equal, far above the others.

use super::random::Random;
use crate::dtype::Element;
use crate::ops::cross_entropy::CrossEntropy;
use crate::rows::Rows;

/// From one whose loss f32 gives half of the digits even by way of `1 + s`, over 17, from which on `1 + s` is 1, to one whose
/// loss is near the least number of f32.
pub const GAPS: [f32; 5] = [10.0, 15.0, 17.0, 30.0, 80.0];

/// Numbers of classes, of which the second last and the last take more than one chunk of a row.
pub const CONFIDENT_CLASSES: [usize; 5] = [2, 10, 1000, 2050, 50_257];

/// A batch whose rows have one, two and three largest classes, the target being one of them or not.
#[derive(Debug, Clone)]
pub struct Confident {
    /// How the logits lie: without padding.
    pub rows: Rows,
    /// The logits.
    pub logits: Vec<f32>,
    /// A target for each row.
    pub targets: Vec<u32>,
}

impl Confident {
    /// Rows whose largest logit is `gap` above the next. The others lie within 4 below that.
    pub fn new(random: &mut Random, classes: usize, gap: f32) -> Self {
        let ties = [1, 2, 3].into_iter().filter(|&ties| ties <= classes);
        let kinds: Vec<(usize, bool)> = ties.flat_map(|ties| [(ties, true), (ties, false)]).collect();
        let (mut logits, mut targets) = (Vec::new(), Vec::new());
        for &(ties, is_target_largest) in &kinds {
            let largest = random.normal(2.0);
            let mut row: Vec<f32> = (0..classes).map(|_| largest - gap - random.normal(1.0).abs()).collect();
            // They lie far apart, in different chunks of a long row.
            let first = random.below(classes);
            let tied: Vec<usize> = (0..ties).map(|i| (first + i * (classes / ties)) % classes).collect();
            tied.iter().for_each(|&c| row[c] = largest);
            let other = (0..classes)
                .map(|c| (first + 1 + c) % classes)
                .find(|c| !tied.contains(c));
            // If all classes are the largest, so is every target.
            let target = if is_target_largest {
                tied[ties - 1]
            } else {
                other.unwrap_or(first)
            };
            logits.extend(row);
            targets.push(target as u32);
        }
        Self {
            rows: Rows::new(kinds.len(), classes),
            logits,
            targets,
        }
    }

    /// The logits in a type. In one of 16 bits more classes may be equal, and the gap may be a little wider or narrower.
    pub fn stored<T: Element>(&self) -> Vec<T> {
        self.logits.iter().map(|&v| T::nearest(v)).collect()
    }
}

/// `options` alone, and with each of label smoothing, class weights and a z-loss, and with all of them.
pub fn loss_options(options: &CrossEntropy, classes: usize) -> Vec<CrossEntropy> {
    let weights: Vec<f32> = (0..classes).map(|c| 0.3 + 0.7 * (c % 4) as f32).collect();
    let with = |has_smoothing, has_weights, has_z_loss| CrossEntropy {
        label_smoothing: if has_smoothing { 0.1 } else { 0.0 },
        weights: if has_weights {
            Some(weights.clone().into())
        } else {
            None
        },
        z_loss: if has_z_loss { 1e-3 } else { 0.0 },
        ..options.clone()
    };
    vec![
        with(false, false, false),
        with(true, false, false),
        with(false, true, false),
        with(false, false, true),
        with(true, true, true),
    ]
}
