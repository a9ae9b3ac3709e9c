//! The dispatches of sampling, in the order in which they are recorded, and what each of them reads and writes.

use super::options::{LogProbs, Sample};
use super::params::SampleParams;
use crate::dtype::{Dtype, Storage};
use crate::ops::adjust::Adjusted;
use crate::plan::Plan;
use crate::rows::Rows;
use crate::shader::{ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, SampleStep, Slot, Slots};

/// The most classes that a list on the device holds: the shaders' `LIST_MAX`.
const LIST_MAX: usize = 512;

/// Whose values a step takes: the model's, those after penalties, biases and temperature, or of these the ones that are
/// kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum View {
    Model,
    Tempered,
    Kept,
}

/// A buffer that the kernel keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Own {
    Stats(View),
    /// Those of a shard, of which the first kind has all.
    ShardStats(View),
    Maxima(View),
    Edges,
    Edits,
    Searches,
}

/// When a step of a shard runs: between two exchanges with the other shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The statistics before the filters.
    Statistics,
    /// A round of the search for what the filters leave.
    Search,
    /// The statistics of that.
    Kept,
    Draw,
    Report,
}

/// One dispatch for each part of a batch.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) spec: RowSpec,
    /// Whether it is a pass that leaves statistics, for which several work-groups share a row.
    pub(super) is_stats: bool,
    pub(super) own: Vec<(Slot, Own)>,
}

impl Step {
    pub(super) fn phase(&self) -> Phase {
        match (self.view_of_statistics(), self.spec.op) {
            (Some(View::Kept), _) => Phase::Kept,
            (Some(_), _) | (_, RowOp::Sample(SampleStep::Edits)) => Phase::Statistics,
            _ if self.spec.is_round() => Phase::Search,
            (_, RowOp::Sample(SampleStep::Draw)) => Phase::Draw,
            _ => Phase::Report,
        }
    }

    /// Whose statistics it finds for a shard.
    pub(super) fn view_of_statistics(&self) -> Option<View> {
        self.own.iter().find_map(|(_, own)| match own {
            Own::ShardStats(view) => Some(*view),
            _ => None,
        })
    }

    /// Whether it is one work-group that looks at the tokens of all rows.
    pub(super) fn is_summary(&self) -> bool {
        self.spec.op == RowOp::Sample(SampleStep::Summary)
    }

    /// Whether it binds one of the caller's buffers.
    pub(super) fn binds(&self, slot: Slot) -> bool {
        let (sample, op) = (self.spec.sample, self.spec.op);
        let is = |step| op == RowOp::Sample(step);
        match slot {
            Slot::Logits => !self.is_summary(),
            Slot::Mask | Slot::Bias | Slot::RowScale => self.spec.adjust.is_adjusted && !self.is_summary(),
            Slot::Allowed => sample.allowed,
            Slot::SampleParams => {
                let own = [
                    SampleStep::Edits,
                    SampleStep::Filter,
                    SampleStep::Draw,
                    SampleStep::Draft,
                ];
                sample.temperature || own.into_iter().any(is)
            }
            Slot::Tokens => {
                is(SampleStep::Draw) || is(SampleStep::Draft) || is(SampleStep::Report) || self.is_summary()
            }
            slot => self.spec.slots.has(slot),
        }
    }
}

/// What some row of a batch asks for.
struct Needs {
    /// What is done to the model's values: see [`SampleSpec`].
    changes: SampleSpec,
    edges: bool,
    /// Whether the classes that each row keeps fit a list.
    is_sparse: bool,
    top: bool,
    maxima: bool,
}

impl Needs {
    fn new(options: &Sample, rows: &Rows) -> Self {
        let classes = rows.whole_classes();
        let has_temperature = |p: &SampleParams| !p.is_greedy() && p.temperature != 1.0;
        let reports_kept =
            options.log_probs == LogProbs::Final || options.kept || options.probs || options.draft.is_some();
        let needs_edge = |p: &SampleParams| p.is_filtered(classes) || (p.is_greedy() && reports_kept);
        let (edges, top) = (options.any_row(needs_edge), options.top_n > 0);
        let keeps_few = |p: &SampleParams| p.is_greedy() || (p.top_k as usize).wrapping_sub(1) < LIST_MAX;
        Self {
            is_sparse: edges && options.all_rows(keeps_few) && !rows.is_shard() && !rows.has_long_spans(),
            changes: SampleSpec {
                is_sampled: true,
                temperature: options.any_row(has_temperature),
                edits: options.history.is_some() || options.bias.is_some(),
                allowed: options.allowed.is_some(),
                joint: options.joint,
                ..SampleSpec::default()
            },
            edges,
            top,
            maxima: edges || top || options.ranks || options.kept,
        }
    }

    fn is_changed(&self) -> bool {
        self.changes.temperature || self.changes.edits || self.changes.allowed
    }

    /// The view that has the same values as this one.
    fn view(&self, view: View) -> View {
        match view {
            View::Kept if self.edges => View::Kept,
            View::Model if self.is_changed() => View::Model,
            _ => View::Tempered,
        }
    }

    fn sample(&self, view: View) -> SampleSpec {
        match view {
            View::Model => SampleSpec {
                is_sampled: true,
                ..SampleSpec::default()
            },
            View::Tempered => self.changes,
            View::Kept => SampleSpec {
                edges: self.edges,
                ..self.changes
            },
        }
    }
}

/// Lists the steps.
pub(super) struct Steps<'a> {
    options: &'a Sample,
    adjusted: &'a Adjusted,
    needs: Needs,
    rows: &'a Rows,
    one_step: bool,
    steps: Vec<Step>,
}

impl<'a> Steps<'a> {
    pub(super) fn list(options: &'a Sample, adjusted: &'a Adjusted, rows: &'a Rows, plan: &Plan) -> Vec<Step> {
        let mut steps = Self {
            options,
            adjusted,
            needs: Needs::new(options, rows),
            rows,
            one_step: plan.is_one_step(rows),
            steps: Vec::new(),
        };
        steps.add_draw();
        steps.add_reports();
        steps.steps
    }

    fn spec(&self, op: RowOp, sample: SampleSpec, slots: Slots) -> RowSpec {
        RowSpec {
            op,
            storage: Storage {
                logits: self.options.dtype,
                result: Dtype::F32,
            },
            fast: false,
            equal_rows: false,
            place: if slots.has(Slot::Result) {
                ResultPlace::Apart
            } else {
                ResultPlace::None
            },
            stats: match self.rows.is_shard() {
                true => RowStatsNeed::Shard,
                false => RowStatsNeed::Sums,
            },
            adjust: self.adjusted.spec,
            sample,
            slots: slots.with(self.adjusted.slots()),
        }
    }

    /// A step with a kernel of its own, which takes the values of a view.
    fn add(&mut self, step: SampleStep, view: View, slots: &[Slot], own: &[(Slot, Own)]) {
        let sample = SampleSpec {
            long_spans: self.rows.has_long_spans() && matches!(step, SampleStep::Draw | SampleStep::Draft),
            ..self.needs.sample(self.needs.view(view))
        };
        self.push(RowOp::Sample(step), sample, slots, own, false);
    }

    fn push(&mut self, op: RowOp, sample: SampleSpec, slots: &[Slot], own: &[(Slot, Own)], is_stats: bool) {
        let mut own = own.to_vec();
        own.extend(sample.edits.then_some((Slot::Edits, Own::Edits)));
        own.extend(sample.edges.then_some((Slot::Edges, Own::Edges)));
        let slots = slots.iter().copied().collect();
        self.steps.push(Step {
            spec: self.spec(op, sample, slots),
            is_stats,
            own,
        });
    }

    /// The statistics of a view, and the maxima that searches start from.
    fn add_stats(&mut self, view: View, maxima: bool) {
        let softmax = RowOp::Softmax {
            log: false,
            lse_grad: false,
        };
        let sample = SampleSpec {
            maxima,
            one_step: self.one_step,
            ..self.needs.sample(view)
        };
        let found = match self.rows.is_shard() {
            true => Own::ShardStats(view),
            false => Own::Stats(view),
        };
        let mut own = vec![(Slot::Scratch, found)];
        own.extend(maxima.then_some((Slot::Maxima, Own::Maxima(view))));
        self.push(softmax, sample, &[Slot::Logits], &own, true);
    }

    fn stats(&self, view: View) -> (Slot, Own) {
        (Slot::Scratch, Own::Stats(self.needs.view(view)))
    }

    /// What the filters leave is a part of the tempered values.
    fn unfiltered(&self, view: View) -> View {
        match self.needs.view(view) {
            View::Kept => View::Tempered,
            view => view,
        }
    }

    fn maxima(&self, view: View) -> (Slot, Own) {
        (Slot::Maxima, Own::Maxima(self.unfiltered(view)))
    }

    fn add_draw(&mut self) {
        if self.needs.changes.edits {
            let mut slots = Vec::new();
            slots.extend(self.options.history.as_ref().map(|_| Slot::History));
            if self.options.bias.is_some() {
                slots.extend([Slot::BiasClasses, Slot::BiasValues]);
            }
            let model = self.needs.sample(View::Model);
            let own = [(Slot::Edits, Own::Edits)];
            self.push(RowOp::Sample(SampleStep::Edits), model, &slots, &own, false);
        }
        self.add_stats(View::Tempered, self.needs.maxima);
        if self.needs.edges {
            let mut own = vec![
                self.stats(View::Tempered),
                self.maxima(View::Tempered),
                (Slot::Edges, Own::Edges),
            ];
            own.extend(self.rows.is_shard().then_some((Slot::Searches, Own::Searches)));
            let is_sparse = self.needs.is_sparse;
            own.extend(is_sparse.then_some((Slot::KeptScratch, Own::Stats(View::Kept))));
            let sample = SampleSpec {
                is_sparse,
                ..self.needs.sample(View::Tempered)
            };
            self.push(RowOp::Sample(SampleStep::Filter), sample, &[], &own, false);
            if !is_sparse {
                self.add_stats(View::Kept, false);
            }
        }
        let own = [self.stats(View::Kept)];
        self.add(SampleStep::Draw, View::Kept, &[], &own);
        if let Some(draft) = &self.options.draft {
            let mut slots = vec![Slot::DraftTokens, Slot::Accepted];
            slots.extend(draft.probs.as_ref().map(|_| Slot::DraftProbs));
            self.add(SampleStep::Draft, View::Kept, &slots, &own);
        }
    }

    fn add_reports(&mut self) {
        let options = self.options;
        let view = match options.log_probs {
            LogProbs::Model => View::Model,
            _ => View::Kept,
        };
        if options.log_probs != LogProbs::None && self.needs.view(view) == View::Model {
            self.add_stats(View::Model, self.needs.top);
        }
        if self.needs.top {
            // Kept classes come first, so their first ones are found among all.
            let sample = SampleSpec {
                is_top: true,
                ..self.needs.sample(self.unfiltered(view))
            };
            let own = [self.stats(view), self.maxima(view), (Slot::Edges, Own::Edges)];
            self.push(RowOp::Sample(SampleStep::Filter), sample, &[], &own, false);
            self.add_report(view, &[Slot::TopIds, Slot::TopLogProbs]);
        }
        if options.log_probs != LogProbs::None {
            self.add_report(view, &[Slot::LogProb]);
        }
        let counts = [(Slot::Ranks, options.ranks), (Slot::Kept, options.kept)];
        let counts: Vec<Slot> = counts
            .into_iter()
            .filter(|(_, is_on)| *is_on)
            .map(|(slot, _)| slot)
            .collect();
        self.add_report(View::Kept, &counts);
        if options.summary {
            let model = self.needs.sample(View::Model);
            self.push(
                RowOp::Sample(SampleStep::Summary),
                model,
                &[Slot::SampleSummary],
                &[],
                false,
            );
        }
        if options.probs {
            let softmax = RowOp::Softmax {
                log: false,
                lse_grad: false,
            };
            let own = [self.stats(View::Kept)];
            let sample = self.needs.sample(self.needs.view(View::Kept));
            self.push(softmax, sample, &[Slot::Logits, Slot::Result], &own, false);
        }
    }

    fn add_report(&mut self, view: View, slots: &[Slot]) {
        if slots.is_empty() {
            return;
        }
        let mut own = vec![self.stats(view)];
        let counts = slots.contains(&Slot::Ranks) || slots.contains(&Slot::Kept);
        if counts || slots.contains(&Slot::TopIds) {
            own.push(self.maxima(view));
        }
        if slots.contains(&Slot::TopIds) {
            // Where the view needs no edges itself.
            let needs_edges = self.needs.view(view) == View::Kept;
            own.extend((!needs_edges).then_some((Slot::Edges, Own::Edges)));
        }
        self.add(SampleStep::Report, view, slots, &own);
    }
}
