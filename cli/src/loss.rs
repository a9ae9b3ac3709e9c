//! What the commands that compute a loss share: how it is reduced, and how it is printed.

use clap::ValueEnum;
use serde_json::{Value, json};
use wgpu_softmax::Reduction;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(crate) enum ReductionWord {
    None,
    Mean,
    Sum,
}

impl From<ReductionWord> for Reduction {
    fn from(word: ReductionWord) -> Self {
        match word {
            ReductionWord::None => Self::None,
            ReductionWord::Mean => Self::Mean,
            ReductionWord::Sum => Self::Sum,
        }
    }
}

/// What is wrong with `--reduction none` where no output is asked for.
pub(crate) const NOTHING_TO_PRINT: &str =
    "--reduction none gives more than one loss, and none to print: give --loss OUT, or another output";

/// The line that says what the loss is, if it has been reduced to one.
pub(crate) fn line(loss: Option<f32>) -> String {
    loss.map_or("loss none".into(), |loss| format!("loss {}", digits(loss)))
}

/// A loss with at least six significant digits, however small it is, or fewer where the others are zeros.
fn digits(loss: f32) -> String {
    match loss.abs() {
        0.0 => "0".into(),
        size if !(1e-3..1e7).contains(&size) && loss.is_finite() => {
            let text = format!("{loss:.6e}");
            match text.split_once('e') {
                Some((number, power)) => format!("{}e{power}", number.trim_end_matches('0').trim_end_matches('.')),
                None => text,
            }
        }
        size if size < 0.1 => format!("{loss:.8}"),
        _ => format!("{loss:.6}"),
    }
}

/// A loss in JSON, which has no NaN and no infinity: they are printed as strings.
pub(crate) fn in_json(loss: f32) -> Value {
    if loss.is_finite() {
        json!(loss)
    } else {
        json!(loss.to_string())
    }
}
