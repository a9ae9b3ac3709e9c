//! Batches to sample from, and what plain f32 Rust makes of them.

use super::Random;
use crate::ops::sample::{Allowed, History, LogProbs, LogitBias, NO_TOKEN, Sample, SampleOutput, SampleParams};
use crate::ops::values::Values;
use crate::rows::Rows;
use crate::twin::{self, Drawn};

/// Rows of logits of different kinds, each with parameters of its own.
#[derive(Debug, Clone)]
pub struct SampleBatch {
    /// Their shape.
    pub rows: Rows,
    /// The logits.
    pub logits: Vec<f32>,
    /// What each row is sampled with.
    pub params: Vec<SampleParams>,
    /// Whether top_p is a share of all classes.
    pub joint: bool,
    /// What changes the logits, if anything does.
    edits: Option<BatchEdits>,
}

#[derive(Debug, Clone)]
struct BatchEdits {
    history: Vec<u32>,
    allowed: Vec<u32>,
    bias_classes: Vec<u32>,
    bias_values: Vec<f32>,
}

/// Tokens of each row's history, and biased classes of each row.
const HISTORY: usize = 12;
const BIASES: usize = 3;

impl SampleBatch {
    /// `count` rows: normal logits of several spreads, logits with many ties, equal logits, certain rows, and rows in which
    /// most classes, or all, are −∞; with each kind of filter, alone and together.
    pub fn new(random: &mut Random, count: usize, classes: usize, has_edits: bool) -> Self {
        let rows = Rows::new(count, classes);
        let logits = (0..count).flat_map(|row| logits_of(random, row, classes)).collect();
        let params = (0..count).map(|row| params_of(random, row, classes)).collect();
        let joint = random.below(3) == 0;
        Self {
            rows,
            logits,
            params,
            joint,
            edits: has_edits.then(|| BatchEdits::new(random, count, classes)),
        }
    }

    /// The same rows, each with a top_k of at most `most`.
    pub fn with_few(mut self, random: &mut Random, most: u32) -> Self {
        for params in &mut self.params {
            params.top_k = 1 + random.below(most as usize) as u32;
        }
        self
    }

    /// Options for this batch that report everything about what was drawn.
    pub fn options(&self) -> Sample {
        let (count, classes) = (self.rows.count(), self.rows.classes());
        let edits = self.edits.as_ref();
        Sample {
            joint: self.joint,
            history: edits.map(|edits| History {
                length: edits.history.len() / count.max(1),
                tokens: edits.history.clone().into(),
            }),
            allowed: edits.map(|edits| Allowed::PerRow(edits.allowed.clone().into())),
            bias: edits.map(|edits| LogitBias {
                length: edits.bias_classes.len() / count.max(1),
                per_row: true,
                classes: edits.bias_classes.clone().into(),
                values: Values::from(edits.bias_values.clone()),
            }),
            log_probs: LogProbs::Final,
            ranks: true,
            kept: true,
            top_n: 5.min(classes),
            ..Sample::per_row(self.params.clone())
        }
    }

    /// The logits of a row.
    pub fn row(&self, row: usize) -> &[f32] {
        let classes = self.rows.classes();
        &self.logits[row * classes..(row + 1) * classes]
    }

    /// The b of a row: what it is sampled by.
    pub fn values(&self, row: usize) -> Vec<f32> {
        let bits = self.rows.classes().div_ceil(32);
        let Some(edits) = &self.edits else {
            return twin::values(self.row(row), &self.params[row], twin::Edits::default());
        };
        let of = |all: &[u32], length: usize| all[row * length..(row + 1) * length].to_vec();
        let values = &edits.bias_values[row * BIASES..(row + 1) * BIASES];
        let bias: Vec<(u32, f32)> = of(&edits.bias_classes, BIASES)
            .into_iter()
            .zip(values.iter().copied())
            .collect();
        let changes = twin::Edits {
            history: &of(&edits.history, HISTORY),
            bias: &bias,
            allowed: Some(&of(&edits.allowed, bits)),
        };
        twin::values(self.row(row), &self.params[row], changes)
    }

    /// What is drawn of each row.
    pub fn drawn(&self) -> Vec<Drawn> {
        let draw = |row: usize| twin::draw(&self.values(row), &self.params[row], self.joint);
        (0..self.rows.count()).map(draw).collect()
    }

    /// Some of the rows as a batch of their own.
    pub fn part(&self, rows: &[usize]) -> Self {
        let pick = |all: &[u32], length: usize| -> Vec<u32> {
            let of = |&row: &usize| all[row * length..(row + 1) * length].to_vec();
            rows.iter().flat_map(of).collect()
        };
        let bits = self.rows.classes().div_ceil(32);
        Self {
            rows: Rows::new(rows.len(), self.rows.classes()),
            logits: rows.iter().flat_map(|&row| self.row(row).to_vec()).collect(),
            params: rows.iter().map(|&row| self.params[row]).collect(),
            joint: self.joint,
            edits: self.edits.as_ref().map(|edits| BatchEdits {
                history: pick(&edits.history, HISTORY),
                allowed: pick(&edits.allowed, bits),
                bias_classes: pick(&edits.bias_classes, BIASES),
                bias_values: (rows.iter())
                    .flat_map(|&row| edits.bias_values[row * BIASES..(row + 1) * BIASES].to_vec())
                    .collect(),
            }),
        }
    }
}

/// The words of all that is reported of rows, but for the probabilities: one list for each kind, by the name of its output.
pub fn reported(out: &SampleOutput) -> [(&'static str, Option<Vec<u32>>); 6] {
    let bits = |values: &[f32]| bytemuck::cast_slice(values).to_vec();
    [
        ("tokens", Some(out.tokens.clone())),
        ("kept", out.kept.clone()),
        ("ranks", out.ranks.clone()),
        ("log_probs", out.log_probs.as_deref().map(bits)),
        ("top_ids", out.top_ids.clone()),
        ("top_log_probs", out.top_log_probs.as_deref().map(bits)),
    ]
}

impl BatchEdits {
    fn new(random: &mut Random, count: usize, classes: usize) -> Self {
        let token = |random: &mut Random| match random.below(5) {
            0 => NO_TOKEN,
            1 => random.below(classes.min(3)) as u32,
            _ => random.below(classes) as u32,
        };
        let bits = classes.div_ceil(32);
        let history = (0..count * HISTORY).map(|_| token(random)).collect();
        let allowed = (0..count)
            .flat_map(|row| (0..bits).map(|_| allowed_bits(random, row)).collect::<Vec<_>>())
            .collect();
        let bias_classes = (0..count * BIASES).map(|_| token(random)).collect();
        let bias = |random: &mut Random| match random.below(4) {
            0 => f32::NEG_INFINITY,
            _ => random.normal(3.0),
        };
        Self {
            history,
            allowed,
            bias_classes,
            bias_values: (0..count * BIASES).map(|_| bias(random)).collect(),
        }
    }
}

/// All classes, half of them, or in some rows none.
fn allowed_bits(random: &mut Random, row: usize) -> u32 {
    match row % 7 {
        0..=2 => u32::MAX,
        6 => 0,
        _ => random.bits() as u32,
    }
}

fn logits_of(random: &mut Random, row: usize, classes: usize) -> Vec<f32> {
    let mut x = match row % 8 {
        0 => random.logits(classes, 1.0),
        1 => random.logits(classes, 5.0),
        2 => (random.logits(classes, 2.0).iter().map(|x| (x * 2.0).round() / 2.0)).collect(),
        3 => vec![random.normal(3.0); classes],
        4 => random.logits(classes, 20.0),
        5 => (random.logits(classes, 1.0).iter().map(|x| x * 1e-3)).collect(),
        6 => random.logits(classes, 0.3),
        _ => random.logits(classes, 3.0),
    };
    match row % 16 {
        7 => x
            .iter_mut()
            .enumerate()
            .filter(|(c, _)| c % 3 != 1)
            .for_each(|(_, x)| *x = f32::NEG_INFINITY),
        12 => x[random.below(classes)] = 60.0,
        13 => x[random.below(classes)] = f32::NAN,
        15 => x.fill(f32::NEG_INFINITY),
        _ => {}
    }
    x
}

fn params_of(random: &mut Random, row: usize, classes: usize) -> SampleParams {
    let share = |random: &mut Random| random.below(1000) as f32 / 1000.0;
    let mut params = SampleParams::default().at(random.bits().wrapping_mul(0x9e37_79b9_7f4a_7c15), random.bits());
    if row % 5 != 4 {
        params.temperature = [0.7, 1.3, 0.25, 1.0, 0.0, 3.0][random.below(6)];
    }
    if random.below(2) == 0 {
        let most = [3, 50, classes + 5][random.below(3)];
        params.top_k = 1 + random.below(most) as u32;
    }
    if random.below(2) == 0 {
        params.top_p = [share(random), 0.95, 0.999, 0.0][random.below(4)];
    }
    if random.below(3) == 0 {
        params.min_p = [share(random), 0.05, 1.0, 1e-6][random.below(4)];
    }
    if random.below(2) == 0 {
        params.repetition_penalty = 1.0 + share(random);
        params.presence_penalty = random.normal(1.0);
        params.frequency_penalty = random.normal(0.5);
        params.prompt_length = random.below(HISTORY + 2) as u32;
    }
    params
}
