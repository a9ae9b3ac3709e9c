//! Drafts of tokens, and what plain f32 Rust makes of them.

use super::{Random, SampleBatch};
use crate::ops::sample::{Draft, LogProbs, NO_TOKEN, Sample};
use crate::ops::values::Values;
use crate::twin::{self, Sequence};

/// Drafts for the rows of a batch.
#[derive(Debug, Clone)]
pub struct DraftBatch {
    /// The rows of the sequences, one after the other.
    pub target: SampleBatch,
    length: usize,
    tokens: Vec<u32>,
    probs: Option<Vec<f32>>,
}

impl DraftBatch {
    /// `length` tokens for each `length + 1` rows: mostly classes of the largest values, so that some are accepted, and now
    /// and then one fewer. Probabilities, if they are asked for, are those of rows like the target's, or odd.
    pub fn new(random: &mut Random, target: SampleBatch, length: usize, has_probs: bool) -> Self {
        let classes = target.rows.classes();
        let mut tokens = Vec::new();
        let mut probs = Vec::new();
        for row in (0..target.rows.count()).filter(|row| row % (length + 1) < length) {
            let b = target.values(row);
            let drawn = twin::draw(&b, &target.params[row].at(random.bits(), 0), target.joint).token;
            tokens.push(match random.below(8) {
                0 => random.below(classes) as u32,
                1 if random.below(4) == 0 => NO_TOKEN,
                _ => drawn,
            });
            probs.extend(draft_probs(random, &b));
        }
        Self {
            target,
            length,
            tokens,
            probs: has_probs.then_some(probs),
        }
    }

    /// The options of the target with this draft, and no reports.
    pub fn options(&self) -> Sample {
        Sample {
            draft: Some(Draft {
                probs: self.probs.clone().map(Values::from),
                ..Draft::new(self.length, self.tokens.clone())
            }),
            log_probs: LogProbs::None,
            ranks: false,
            kept: false,
            top_n: 0,
            ..self.target.options()
        }
    }

    /// The tokens of all rows, and how many of each sequence's draft are accepted.
    pub fn verified(&self) -> (Vec<u32>, Vec<u32>) {
        let (group, classes) = (self.length + 1, self.target.rows.classes());
        let (mut tokens, mut accepted) = (Vec::new(), Vec::new());
        for sequence in 0..self.target.rows.count() / group {
            let rows = sequence * group..(sequence + 1) * group;
            let values: Vec<Vec<f32>> = rows.clone().map(|row| self.target.values(row)).collect();
            let (first, end) = (sequence * self.length, (sequence + 1) * self.length);
            let probs = self.probs.as_ref().map(|q| &q[first * classes..end * classes]);
            let of_sequence = Sequence {
                values: &values,
                params: &self.target.params[rows],
                joint: self.target.joint,
            };
            let (all, count) = twin::verify_draft(&of_sequence, &self.tokens[first..end], probs);
            tokens.extend(all);
            accepted.push(count);
        }
        (tokens, accepted)
    }
}

/// Softmax of some values near b, exactly that of b, and numbers that are no probabilities.
fn draft_probs(random: &mut Random, b: &[f32]) -> Vec<f32> {
    let is_plain = b.iter().all(|x| !x.is_nan() && *x < f32::INFINITY) && b.iter().any(|x| x.is_finite());
    if !is_plain {
        return vec![1.0 / b.len() as f32; b.len()];
    }
    match random.below(6) {
        0 => twin::softmax(b),
        1 => twin::softmax(b).iter().map(|q| q * 1.5).collect(),
        2 => b.iter().map(|_| [0.0, 1.0, 1e-40, f32::MAX][random.below(4)]).collect(),
        _ => {
            let near: Vec<f32> = b.iter().map(|x| x + random.normal(0.7)).collect();
            twin::softmax(&near)
        }
    }
}
