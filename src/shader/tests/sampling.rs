//! The variants of sampling.

use super::super::*;
use super::variants::PLAIN;
use crate::dtype::{Dtype, Storage};
use crate::plan::{Capabilities, Plan, VectorWidth};
use crate::rows::Rows;

const CHANGED: SampleSpec = SampleSpec {
    is_sampled: true,
    temperature: true,
    edits: true,
    allowed: true,
    edges: false,
    maxima: false,
    joint: false,
    is_top: false,
    long_spans: false,
    one_step: false,
    is_sparse: false,
};

/// Statistics passes with every option off and on, in one step and in several.
fn passes() -> [RowSpec; 3] {
    let plain = SampleSpec {
        is_sampled: true,
        one_step: true,
        ..SampleSpec::default()
    };
    let all = SampleSpec {
        maxima: true,
        ..CHANGED
    };
    let kept = SampleSpec { edges: true, ..CHANGED };
    [plain, all, kept].map(|sample| RowSpec { sample, ..PLAIN })
}

/// The kernels in which a work-group has a row to itself.
fn steps() -> Vec<RowSpec> {
    let step = |step, sample, slots: &[Slot]| RowSpec {
        op: RowOp::Sample(step),
        place: ResultPlace::None,
        sample,
        slots: slots.iter().copied().collect(),
        ..PLAIN
    };
    let plain = SampleSpec {
        is_sampled: true,
        ..SampleSpec::default()
    };
    let kept = SampleSpec { edges: true, ..CHANGED };
    let long = SampleSpec {
        long_spans: true,
        ..CHANGED
    };
    let sparse = SampleSpec {
        is_sparse: true,
        ..CHANGED
    };
    let top = SampleSpec { is_top: true, ..plain };
    let both = [Slot::History, Slot::BiasClasses, Slot::BiasValues];
    let reports = [Slot::LogProb, Slot::Ranks, Slot::Kept, Slot::TopIds, Slot::TopLogProbs];
    vec![
        step(SampleStep::Edits, plain, &both),
        step(SampleStep::Edits, plain, &both[..1]),
        step(SampleStep::Filter, plain, &[]),
        step(SampleStep::Filter, sparse, &[]),
        step(SampleStep::Filter, top, &[]),
        step(SampleStep::Draw, plain, &[]),
        step(SampleStep::Draw, kept, &[]),
        step(SampleStep::Draw, long, &[]),
        step(SampleStep::Draft, plain, &[Slot::DraftTokens, Slot::Accepted]),
        step(SampleStep::Draft, long, &[Slot::DraftTokens, Slot::Accepted]),
        step(
            SampleStep::Draft,
            kept,
            &[Slot::DraftTokens, Slot::Accepted, Slot::DraftProbs],
        ),
        step(SampleStep::Report, plain, &reports[..1]),
        step(SampleStep::Summary, plain, &[Slot::SampleSummary]),
        step(SampleStep::Report, kept, &reports),
        RowSpec {
            sample: kept,
            slots: [Slot::Logits, Slot::Result].into_iter().collect(),
            ..PLAIN
        },
    ]
}

/// The same for shards, for which there are neither drafts nor lists of what is kept.
fn of_rows(spec: RowSpec, rows: &Rows) -> Option<RowSpec> {
    let is_whole = spec.op == RowOp::Sample(SampleStep::Draft) || spec.sample.is_sparse;
    match rows.is_shard() {
        false => Some(spec),
        true if is_whole => None,
        true => Some(RowSpec {
            stats: RowStatsNeed::Shard,
            ..spec
        }),
    }
}

/// All of them, for one adapter.
pub(super) fn all(adapter: &Capabilities) -> Vec<Variant> {
    let mut all = Vec::new();
    for (dtype, width) in [
        (Dtype::F32, VectorWidth::X4),
        (Dtype::F16, VectorWidth::X1),
        (Dtype::Bf16, VectorWidth::X2),
    ] {
        let storage = Storage {
            logits: dtype,
            result: Dtype::F32,
        };
        for rows in [Rows::new(4, 3000), Rows::new(4, 3072).shard(1024, 5000)] {
            let [stats, row] = Plan::of_passes(&rows, adapter, None).unwrap();
            for (specs, is_stats, plan) in [(passes().to_vec(), true, stats), (steps(), false, row)] {
                let specs = specs.into_iter().filter_map(|spec| of_rows(spec, &rows));
                all.extend(specs.map(|spec| Variant::row(RowSpec { storage, ..spec }, width, is_stats, &plan)));
            }
        }
    }
    all
}
