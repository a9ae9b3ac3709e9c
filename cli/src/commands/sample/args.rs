//! The flags of `sample`, checked and translated into the library's options.

use super::lists;
use super::params::ParamArgs;
use crate::failure::Failure;
use crate::layout::Layout;
use crate::number::{axis, integer};
use crate::output;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use wgpu_softmax::{LogProbs, Sample};

const STEPS: &str = "A token of each row is drawn with the probabilities of softmax, after penalties, --allowed, \
    --logit-bias, --temperature, --min-p, --top-k and --top-p, in this order. Every flag that takes a number also takes a \
    file of numbers, one for each row: an array of the logits' shape without the class axis, or of one axis.";

#[derive(Args)]
#[command(after_help = STEPS)]
pub(crate) struct SampleArgs {
    /// An array of f32, f16, bf16 or f64 (which is rounded to f32): FILE.npy, or FILE.safetensors[:NAME].
    pub(super) logits: PathBuf,
    /// Where the tokens go, int64 of the logits' shape without the class axis, -1 for a row without a candidate: one with a
    /// NaN or +inf, or in which nothing is allowed. - is standard output.
    #[arg(short, alias = "output", value_name = "TOKENS")]
    pub(super) output: PathBuf,
    /// The class axis; a negative one counts from the end.
    #[arg(long, default_value_t = -1, allow_negative_numbers = true, value_parser = axis)]
    pub(super) axis: isize,
    #[command(flatten)]
    params: ParamArgs,
    /// --top-p is a share of the probability of all classes, rather than of those that --top-k and --min-p leave.
    #[arg(long)]
    joint: bool,
    /// Which classes can be drawn: a bit for each, 32 to a word of u32 or i32, the lowest bit first; of shape
    /// [words] or [rows, words].
    #[arg(long, value_name = "BITS")]
    allowed: Option<PathBuf>,
    /// A JSON object of classes and what is added to their logits, or a list of such objects, one for each row; "-inf" bans
    /// a class.
    #[arg(long, value_name = "FILE.json")]
    logit_bias: Option<PathBuf>,
    /// The tokens that the rows have had so far, for the penalties: integers of shape [rows, n], -1 pads at the end.
    #[arg(long, value_name = "FILE.npy")]
    history: Option<PathBuf>,
    /// Each token's log-probability.
    #[arg(long, value_name = "OUT")]
    pub(super) log_probs: Option<PathBuf>,
    /// Whose log-probabilities --log-probs and --top-n report: the model's, log-softmax of LOGITS, or the final ones, that
    /// the token is drawn with [default: model].
    #[arg(long, value_enum)]
    of: Option<OfWord>,
    /// Each token's rank, int64: the number of classes before it. -1 where there is no token.
    #[arg(long, value_name = "OUT")]
    pub(super) ranks: Option<PathBuf>,
    /// How many classes of each row the filters leave, int64.
    #[arg(long, value_name = "OUT")]
    pub(super) kept: Option<PathBuf>,
    /// The probabilities that the tokens are drawn with, of the logits' shape.
    #[arg(long, value_name = "OUT")]
    pub(super) probs: Option<PathBuf>,
    /// How many of the most probable classes --top-ids and --top-log-probs report, 1 to 128.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = top_n)]
    pub(super) top_n: Option<usize>,
    /// The N most probable classes of each row, int64 in one more axis; -1 where there are fewer.
    #[arg(long, value_name = "OUT")]
    pub(super) top_ids: Option<PathBuf>,
    /// Their log-probabilities; -inf where there are fewer.
    #[arg(long, value_name = "OUT")]
    pub(super) top_log_probs: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum OfWord {
    Model,
    Final,
}

/// The most classes that are reported.
const TOP_N_MAX: usize = 128;

fn top_n(word: &str) -> Result<usize, String> {
    integer(word, 1, TOP_N_MAX)
}

impl SampleArgs {
    /// Checks what does not depend on the files. The library checks the same, but its messages have its own names for the
    /// options, not the flags.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let refused = |message: &str| Err(Failure::Caller(message.into()));
        let reports_top = self.top_ids.is_some() || self.top_log_probs.is_some();
        match self.top_n {
            None if reports_top => {
                let flag = if self.top_ids.is_some() {
                    "--top-ids"
                } else {
                    "--top-log-probs"
                };
                return refused(&format!(
                    "{flag} needs --top-n, the number of classes, 1 to {TOP_N_MAX}"
                ));
            }
            Some(_) if !reports_top => return refused("--top-n needs --top-ids or --top-log-probs, which report them"),
            Some(n) if n == 0 || n > TOP_N_MAX => {
                return refused(&format!("--top-n is {n}, but must be from 1 to {TOP_N_MAX}"));
            }
            _ => {}
        }
        if self.of.is_some() && self.log_probs.is_none() && self.top_n.is_none() {
            return refused("--of needs --log-probs or --top-n: it says whose log-probabilities they report");
        }
        let outs = self.outs();
        output::check(&outs)?;
        output::check_inputs(&self.ins(), &outs)
    }

    /// The flags that name an output, and what was given to each.
    pub(super) fn outs(&self) -> [(&'static str, Option<&Path>); 7] {
        [
            ("-o", Some(&self.output)),
            ("--log-probs", self.log_probs.as_deref()),
            ("--ranks", self.ranks.as_deref()),
            ("--kept", self.kept.as_deref()),
            ("--probs", self.probs.as_deref()),
            ("--top-ids", self.top_ids.as_deref()),
            ("--top-log-probs", self.top_log_probs.as_deref()),
        ]
    }

    /// The flags that name a file that is read.
    fn ins(&self) -> Vec<(&'static str, &Path)> {
        let mut ins = vec![("LOGITS", self.logits.as_path())];
        for (flag, path) in [
            ("--allowed", &self.allowed),
            ("--logit-bias", &self.logit_bias),
            ("--history", &self.history),
        ] {
            ins.extend(path.as_deref().map(|path| (flag, path)));
        }
        ins.extend(self.params.files());
        ins
    }

    /// The library's options.
    pub(super) fn options(&self, layout: &Layout) -> Result<Sample, Failure> {
        if let Some(n) = self.top_n.filter(|&n| n > layout.classes()) {
            let classes = layout.classes();
            let message = format!("--top-n is {n}, but {} have {classes} classes", layout.describe());
            return Err(Failure::Caller(message));
        }
        let history = self.history.as_deref().map(|path| lists::history(path, layout));
        let history = history.transpose()?;
        let length = history.as_ref().map(|history| history.length);
        let allowed = self.allowed.as_deref().map(|path| lists::allowed(path, layout));
        let bias = self.logit_bias.as_deref().map(|path| lists::bias(path, layout));
        Ok(Sample {
            rows: self.params.rows(layout, length)?,
            joint: self.joint,
            history: history.filter(|history| history.length > 0),
            allowed: allowed.transpose()?,
            bias: bias.transpose()?.flatten(),
            log_probs: match self.of {
                _ if self.log_probs.is_none() && self.top_n.is_none() => LogProbs::None,
                Some(OfWord::Final) => LogProbs::Final,
                _ => LogProbs::Model,
            },
            ranks: self.ranks.is_some(),
            kept: self.kept.is_some(),
            probs: self.probs.is_some(),
            top_n: self.top_n.unwrap_or(0),
            ..Sample::default()
        })
    }
}
