//! The flags that each row may have a number of its own for, checked and translated into the library's parameters.

use crate::failure::Failure;
use crate::layout::Layout;
use crate::number::{Column, INVERTIBLE, INVERTIBLE_WORDS, NumberArg};
use clap::Args;
use std::path::Path;
use wgpu_softmax::{SampleParams, SampleRows};

#[derive(Args)]
pub(super) struct ParamArgs {
    /// The logits are divided by it. 0 takes the first largest class.
    #[arg(long, value_name = "T", default_value = "1", allow_hyphen_values = true)]
    temperature: NumberArg<f32>,
    /// Only the first K classes can be drawn, in the order of falling logits, then of rising number. 0 keeps all.
    #[arg(long, value_name = "K", default_value = "0", allow_hyphen_values = true)]
    top_k: NumberArg<i128>,
    /// Only the first classes can be drawn, as many as have P of the probability that --top-k and --min-p leave.
    #[arg(long, value_name = "P", default_value = "1", allow_hyphen_values = true)]
    top_p: NumberArg<f32>,
    /// Only classes can be drawn that are at least P times as probable as the most probable one.
    #[arg(long, value_name = "P", default_value = "0", allow_hyphen_values = true)]
    min_p: NumberArg<f32>,
    /// The key of the random numbers, 0 to 2^64 - 1. A token depends on its row's logits and parameters, its seed and its
    /// position, and on nothing else: with one seed for all, rows of equal logits get the same token. For independent draws
    /// give a file with a seed for each row.
    #[arg(long, value_name = "S", default_value = "0", allow_hyphen_values = true)]
    seed: NumberArg<i128>,
    /// The counter of the random numbers, 0 to 2^64 - 1: the number of the token in its sequence, so that each step draws
    /// anew with the same seed.
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    position: NumberArg<i128>,
    /// How many tokens at the beginning of each row's history are the prompt, which --presence-penalty and
    /// --frequency-penalty do not count. 0 if it is not given.
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    prompt_lengths: Option<NumberArg<i128>>,
    /// Divides the positive logits of the tokens in the history, and multiplies the others. Above 0.
    #[arg(long, value_name = "R", default_value = "1", allow_hyphen_values = true)]
    repetition_penalty: NumberArg<f32>,
    /// Subtracted from the logits of the tokens in the history after the prompt.
    #[arg(long, value_name = "P", default_value = "0", allow_hyphen_values = true)]
    presence_penalty: NumberArg<f32>,
    /// Subtracted from them as many times as they are there.
    #[arg(long, value_name = "F", default_value = "0", allow_hyphen_values = true)]
    frequency_penalty: NumberArg<f32>,
}

/// The numbers of the rows.
struct Columns {
    temperature: Column<f32>,
    top_k: Column<i128>,
    top_p: Column<f32>,
    min_p: Column<f32>,
    seed: Column<i128>,
    position: Column<i128>,
    prompt_length: Column<i128>,
    repetition: Column<f32>,
    presence: Column<f32>,
    frequency: Column<f32>,
}

impl Columns {
    fn is_per_row(&self) -> bool {
        let integers = [&self.top_k, &self.seed, &self.position, &self.prompt_length];
        let floats = [&self.temperature, &self.top_p, &self.min_p];
        let penalties = [&self.repetition, &self.presence, &self.frequency];
        let mut floats = floats.into_iter().chain(penalties);
        integers.into_iter().any(Column::is_per_row) || floats.any(Column::is_per_row)
    }

    /// The parameters of a row. The integers have been found to be in their ranges; only a top_k may be more than a u32, and
    /// then keeps all.
    fn at(&self, row: usize) -> SampleParams {
        let word = |integer: i128| u32::try_from(integer).unwrap_or(u32::MAX);
        let params = SampleParams {
            temperature: self.temperature.at(row),
            top_k: word(self.top_k.at(row)),
            top_p: self.top_p.at(row),
            min_p: self.min_p.at(row),
            repetition_penalty: self.repetition.at(row),
            presence_penalty: self.presence.at(row),
            frequency_penalty: self.frequency.at(row),
            prompt_length: word(self.prompt_length.at(row)),
            ..SampleParams::default()
        };
        params.at(self.seed.at(row) as u64, self.position.at(row) as u64)
    }
}

impl ParamArgs {
    /// The flags that were given a file.
    pub(super) fn files(&self) -> Vec<(&'static str, &Path)> {
        let prompt_lengths = self.prompt_lengths.as_ref();
        let flags = [
            ("--temperature", self.temperature.file()),
            ("--top-k", self.top_k.file()),
            ("--top-p", self.top_p.file()),
            ("--min-p", self.min_p.file()),
            ("--seed", self.seed.file()),
            ("--position", self.position.file()),
            ("--prompt-lengths", prompt_lengths.and_then(NumberArg::file)),
            ("--repetition-penalty", self.repetition_penalty.file()),
            ("--presence-penalty", self.presence_penalty.file()),
            ("--frequency-penalty", self.frequency_penalty.file()),
        ];
        flags
            .into_iter()
            .filter_map(|(flag, path)| Some((flag, path?)))
            .collect()
    }

    /// The parameters of the rows. `history` is the length of their histories, if there are any.
    pub(super) fn rows(&self, layout: &Layout, history: Option<usize>) -> Result<SampleRows, Failure> {
        let columns = self.columns(layout, history)?;
        if history.is_none() {
            let no_history = |flag| Failure::Caller(format!("{flag} needs --history, the tokens that it is for"));
            for (flag, column, neutral) in [
                ("--repetition-penalty", &columns.repetition, 1.0),
                ("--presence-penalty", &columns.presence, 0.0),
                ("--frequency-penalty", &columns.frequency, 0.0),
            ] {
                if column.any(|penalty| penalty != neutral) {
                    return Err(no_history(flag));
                }
            }
            if self.prompt_lengths.is_some() {
                return Err(no_history("--prompt-lengths"));
            }
        }
        Ok(if columns.is_per_row() {
            let rows: Vec<SampleParams> = (0..layout.count()).map(|row| columns.at(row)).collect();
            SampleRows::PerRow(rows.into())
        } else {
            SampleRows::All(columns.at(0))
        })
    }

    fn columns(&self, layout: &Layout, history: Option<usize>) -> Result<Columns, Failure> {
        let share = |arg: &NumberArg<f32>, flag, must| arg.column(flag, layout, must, |p| (0.0..=1.0).contains(&p));
        let finite = |arg: &NumberArg<f32>, flag| arg.column(flag, layout, "a finite number", f32::is_finite);
        let u64_of = |arg: &NumberArg<i128>, flag| {
            let must = format!("an integer from 0 to {}", u64::MAX);
            arg.column(flag, layout, &must, |n| u64::try_from(n).is_ok())
        };
        let invertible = INVERTIBLE_WORDS;
        let temperatures = format!("0, which takes the largest class, or {invertible}");
        Ok(Columns {
            temperature: self.temperature.column("--temperature", layout, &temperatures, |t| {
                t == 0.0 || INVERTIBLE.contains(&t)
            })?,
            top_k: self
                .top_k
                .column("--top-k", layout, "0, which keeps all classes, or more", |k| k >= 0)?,
            top_p: share(&self.top_p, "--top-p", "from 0 to 1, which keeps all classes")?,
            min_p: share(&self.min_p, "--min-p", "from 0, which keeps all classes, to 1")?,
            seed: u64_of(&self.seed, "--seed")?,
            position: u64_of(&self.position, "--position")?,
            prompt_length: self.prompt_lengths(layout, history.unwrap_or(u32::MAX as usize))?,
            repetition: self
                .repetition_penalty
                .column("--repetition-penalty", layout, invertible, |r| INVERTIBLE.contains(&r))?,
            presence: finite(&self.presence_penalty, "--presence-penalty")?,
            frequency: finite(&self.frequency_penalty, "--frequency-penalty")?,
        })
    }

    fn prompt_lengths(&self, layout: &Layout, most: usize) -> Result<Column<i128>, Failure> {
        let Some(lengths) = &self.prompt_lengths else {
            return Ok(Column::All(0));
        };
        let must = format!("from 0 to {most}, the length of the histories");
        lengths.column("--prompt-lengths", layout, &must, |n| (0..=most as i128).contains(&n))
    }
}
