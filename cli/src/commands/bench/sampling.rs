//! What `bench` samples with.

use super::case::{Op, logit};
use crate::failure::Failure;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    Dtype, Element, Gpu, History, LogProbs, Rows, Sample, SampleBuffers, SampleKernel, SampleParams, SampleRows,
    Schedule, Words, twin,
};

/// The tokens of a row's history, where there are penalties.
const HISTORY: usize = 2048;
/// How many classes are reported.
const TOP: usize = 20;

/// What all rows are sampled with, apart from their seeds.
fn params(op: Op) -> SampleParams {
    let tempered = SampleParams {
        temperature: 0.8,
        ..SampleParams::default()
    };
    let filtered = SampleParams {
        top_k: 50,
        top_p: 0.95,
        min_p: 0.05,
        ..tempered
    };
    match op {
        Op::SampleGreedy => SampleParams::greedy(),
        Op::SampleTopP => SampleParams {
            top_p: 0.95,
            ..tempered
        },
        Op::SampleFilters | Op::SampleReport => filtered,
        Op::SamplePenalties => SampleParams {
            repetition_penalty: 1.1,
            frequency_penalty: 0.1,
            ..filtered
        },
        _ => tempered,
    }
}

/// Tokens that each row has had: pseudo-random, and the same in every run.
fn history(rows: &Rows) -> Vec<u32> {
    let token = |i: usize| logit(i).to_bits().wrapping_mul(0x9e37_79b9) as usize % rows.classes();
    (0..rows.count() * HISTORY).map(|i| token(i) as u32).collect()
}

/// The library's options; each row has a seed of its own.
pub(super) fn options(op: Op, rows: &Rows, dtype: Dtype, schedule: Option<Schedule>) -> Sample {
    let per_row: Vec<SampleParams> = (0..rows.count()).map(|row| params(op).at(row as u64, 1)).collect();
    let is_reported = op == Op::SampleReport;
    Sample {
        history: (op == Op::SamplePenalties).then(|| History {
            length: HISTORY,
            tokens: history(rows).into(),
        }),
        log_probs: if is_reported { LogProbs::Model } else { LogProbs::None },
        top_n: if is_reported { TOP.min(rows.classes()) } else { 0 },
        dtype,
        schedule,
        ..Sample::per_row(per_row)
    }
}

/// Sampling, and the buffers of what it reports besides the tokens.
pub(super) struct Sampling {
    pub(super) kernel: SampleKernel,
    report: Option<[wgpu::Buffer; 3]>,
}

impl Sampling {
    pub(super) fn new(gpu: &Gpu, rows: Rows, options: &Sample) -> Result<Self, Failure> {
        let buffer = |words: usize| {
            gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("bench"),
                size: (rows.count() * words * 4) as u64,
                usage: Usage::STORAGE,
                mapped_at_creation: false,
            })
        };
        let top = options.top_n;
        Ok(Self {
            kernel: options.prepare(gpu, rows)?,
            report: (top > 0).then(|| [buffer(1), buffer(top), buffer(top)]),
        })
    }

    pub(super) fn buffers<'a>(&'a self, logits: &'a wgpu::Buffer, tokens: &'a wgpu::Buffer) -> SampleBuffers<'a> {
        let of = |i: usize| self.report.as_ref().map(|report| report[i].slice(..));
        SampleBuffers {
            log_probs: of(0),
            top_ids: of(1),
            top_log_probs: of(2),
            ..SampleBuffers::new(logits.slice(..), tokens.slice(..))
        }
    }
}

/// The tokens of the first rows of these logits, by the library's twin in plain Rust.
pub(super) fn tokens<T: Element>(logits: &[T], rows: &Rows, options: &Sample) -> Vec<u32> {
    let history = match &options.history {
        Some(History {
            tokens: Words::Host(all),
            ..
        }) => &all[..],
        _ => &[],
    };
    let token = |(row, logits): (usize, &[T])| {
        let params = match &options.rows {
            SampleRows::PerRow(all) => all[row],
            _ => SampleParams::default(),
        };
        let a: Vec<f32> = logits.iter().map(|&x| x.into() as f32).collect();
        let edits = twin::Edits {
            history: history.get(row * HISTORY..(row + 1) * HISTORY).unwrap_or_default(),
            ..twin::Edits::default()
        };
        twin::draw(&twin::values(&a, &params, edits), &params, options.joint).token
    };
    logits.chunks(rows.classes()).enumerate().map(token).collect()
}
