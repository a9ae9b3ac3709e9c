//! [`SampleParams`]: what one row is sampled with.

use crate::error::EncodeError;
use crate::ops::values::INVERTIBLE;

/// The token of a row that has no candidate: one with a NaN or +∞, with nothing allowed, or with parameters that a device
/// buffer holds and no row can have.
pub const NO_TOKEN: u32 = u32::MAX;

/// What a row is sampled with: temperature, filters, penalties, and where its random numbers come from. A device buffer of
/// parameters has 12 words a row, in the order of the fields.
///
/// With a the logits after [`Adjust`](crate::Adjust), penalties and biases, `b = a / T`, and classes in the order of falling
/// b, then of rising number:
///
/// - min_p keeps the classes with `exp(b_c − m) ≥ min_p`, m the largest b;
/// - top_k keeps the first k;
/// - top_p keeps the shortest beginning of what these two leave, whose `Σ exp(b_c − m)` is at least top_p of the whole of
///   it; with [`Sample::joint`](crate::Sample::joint), or where the other two are off, of the sum over all classes.
///
/// At least one class is kept. A temperature of 0, and a top_k of 1, mean the first largest class, whatever the rest says.
///
/// The random numbers are those of Philox4x32-10 with `seed` as its key and `position` in its counter. Rows with the same
/// logits, parameters, seed and position have the same token, on every adapter, in any batch: rows that are to differ need
/// different seeds, and the steps of a row different positions.
///
/// ```
/// use wgpu_softmax::SampleParams;
/// let params = SampleParams { temperature: 0.7, top_k: 50, top_p: 0.95, ..SampleParams::default() };
/// let next_step = params.at(42, 7); // seed 42, position 7
/// assert_eq!((next_step.seed(), next_step.position()), (42, 7));
/// ```
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct SampleParams {
    /// T: 0, or from 2⁻¹²⁶ to 2¹²⁶. The logits are multiplied by 1/T, rounded to f32. 1 by default.
    pub temperature: f32,
    /// How many classes are kept at most; 0, the default, is all.
    pub top_k: u32,
    /// From 0 to 1, the default, which keeps all.
    pub top_p: f32,
    /// From 0, the default, which keeps all, to 1.
    pub min_p: f32,
    /// ρ, from 2⁻¹²⁶ to 2¹²⁶; 1 by default. A class in the row's history has `a / ρ` for a positive a, else `a · ρ`.
    pub repetition_penalty: f32,
    /// Subtracted from the a of each class that was generated, which is in the history after the prompt. 0 by default.
    pub presence_penalty: f32,
    /// Subtracted as many times as the class was generated. 0 by default.
    pub frequency_penalty: f32,
    /// The number of tokens at the beginning of the history that are the prompt.
    pub prompt_length: u32,
    /// The lower and the upper word of the seed.
    pub seed_words: [u32; 2],
    /// The lower and the upper word of the position: the number of the token in its sequence, say.
    pub position_words: [u32; 2],
}

impl Default for SampleParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            prompt_length: 0,
            seed_words: [0; 2],
            position_words: [0; 2],
        }
    }
}

fn words(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

fn number(words: [u32; 2]) -> u64 {
    u64::from(words[0]) | u64::from(words[1]) << 32
}

/// The words of a row's parameters.
pub(super) const PARAM_WORDS: usize = size_of::<SampleParams>() / 4;

impl SampleParams {
    /// The first largest class.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            ..Self::default()
        }
    }

    /// These parameters with a seed and a position.
    pub fn at(self, seed: u64, position: u64) -> Self {
        Self {
            seed_words: words(seed),
            position_words: words(position),
            ..self
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        number(self.seed_words)
    }

    /// The position.
    pub fn position(&self) -> u64 {
        number(self.position_words)
    }

    /// Whether the row gets its first largest class.
    pub fn is_greedy(&self) -> bool {
        self.temperature == 0.0 || self.top_k == 1
    }

    /// Whether a filter is on.
    pub(crate) fn is_filtered(&self, classes: usize) -> bool {
        let has_top_k = self.top_k > 0 && (self.top_k as usize) < classes;
        !self.is_greedy() && (has_top_k || self.top_p < 1.0 || self.min_p >= f32::MIN_POSITIVE)
    }

    /// The parameters as the device takes them, or what is wrong with them; `row` is that of a message.
    pub(super) fn checked(mut self, row: Option<usize>) -> Result<Self, EncodeError> {
        let penalty = "a finite number";
        for (option, value, must, is_good) in [
            (
                "temperature",
                self.temperature,
                "0, or from 2^-126 to 2^126",
                self.temperature == 0.0 || INVERTIBLE.contains(&self.temperature),
            ),
            ("top_p", self.top_p, "from 0 to 1", (0.0..=1.0).contains(&self.top_p)),
            ("min_p", self.min_p, "from 0 to 1", (0.0..=1.0).contains(&self.min_p)),
            (
                "repetition_penalty",
                self.repetition_penalty,
                "from 2^-126 to 2^126",
                INVERTIBLE.contains(&self.repetition_penalty),
            ),
            (
                "presence_penalty",
                self.presence_penalty,
                penalty,
                self.presence_penalty.is_finite(),
            ),
            (
                "frequency_penalty",
                self.frequency_penalty,
                penalty,
                self.frequency_penalty.is_finite(),
            ),
        ] {
            if !is_good {
                let value = row.map_or(value.to_string(), |row| format!("{value} in row {row}"));
                return Err(EncodeError::BadNumber { option, value, must });
            }
        }
        // The device compares bits, to which -0 is not 0.
        for share in [&mut self.temperature, &mut self.top_p, &mut self.min_p] {
            *share += 0.0;
        }
        Ok(self)
    }
}
