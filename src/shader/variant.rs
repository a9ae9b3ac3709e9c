//! [`Variant`]: one kernel as it is compiled. Its definitions choose code, through the template; its constants choose
//! numbers, through overrides.

use super::files;
use super::flags::FLAGS;
use super::slot::Slot;
use super::spec::{FinalStep, LossPass, NormalizerKind, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleStep};
use super::template::{Definitions, Rendered, TemplateError, render};
use crate::dtype::Dtype;
use crate::plan::{Plan, Reduce, RowShape, VectorWidth};
use crate::schedule::Schedule;
use std::fmt;

/// Where the statistics of a row come from: which file of `shaders/schedule`, and whether those of the row are combined
/// from those of its spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum StatsSource {
    Held,
    HeldChunks,
    Chunked,
    Split,
    SavedLse,
    Elementwise,
}

impl StatsSource {
    fn new(need: RowStatsNeed, plan: &Plan) -> Self {
        match (need, plan.schedule) {
            (RowStatsNeed::SavedLse, _) => Self::SavedLse,
            (RowStatsNeed::Nothing, _) => Self::Elementwise,
            (RowStatsNeed::Sums | RowStatsNeed::Shard, Schedule::Held { .. }) if plan.shape.row_chunks > 1 => {
                Self::HeldChunks
            }
            (RowStatsNeed::Sums | RowStatsNeed::Shard, Schedule::Held { .. }) => Self::Held,
            (RowStatsNeed::Sums | RowStatsNeed::Shard, Schedule::Chunked { .. }) => Self::Chunked,
            (RowStatsNeed::Sums | RowStatsNeed::Shard, Schedule::Split { .. }) => Self::Split,
        }
    }

    /// The file of `shaders/schedule`.
    fn file(self) -> &'static str {
        match self {
            Self::Held | Self::HeldChunks => "held",
            Self::Chunked => "chunked",
            Self::Split => "split",
            Self::SavedLse => "saved_lse",
            Self::Elementwise => "elementwise",
        }
    }

    fn has_spans(self) -> bool {
        matches!(self, Self::HeldChunks | Self::Chunked | Self::Split)
    }

    /// Whether the spans are kept in work-group memory.
    fn has_group_spans(self) -> bool {
        matches!(self, Self::HeldChunks | Self::Chunked)
    }
}

/// A kernel: a file of `shaders/`, with definitions and constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Variant(KernelKind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum KernelKind {
    Row(RowVariant),
    Loss {
        pass: LossPass,
        /// Whether it reads the rows rather than partial results.
        from_rows: bool,
        last: Option<FinalStep>,
        /// Invocations of a work-group.
        group: u32,
    },
    Jacobian,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct RowVariant {
    spec: RowSpec,
    width: VectorWidth,
    stats: StatsSource,
    /// Whether lanes go through a row chunk by chunk, rather than each chunk having lanes of its own.
    in_pieces: bool,
    shape: RowShape,
    /// Whether this is the dispatch before the one that writes, which leaves the statistics of the spans of split rows.
    first_pass: bool,
}

impl Variant {
    pub(crate) const JACOBIAN: Self = Self(KernelKind::Jacobian);

    /// The kernel that writes, or with `first_pass` the one before it, which leaves the statistics of the spans of
    /// split rows.
    pub(crate) fn row(spec: RowSpec, width: VectorWidth, first_pass: bool, plan: &Plan) -> Self {
        Self(KernelKind::Row(RowVariant {
            spec,
            width,
            stats: StatsSource::new(spec.stats, plan),
            in_pieces: !matches!(plan.schedule, Schedule::Held { .. }),
            shape: plan.shape,
            first_pass,
        }))
    }

    /// A pass of a loss over the rows, or over the partial results of an earlier dispatch; without `last` it leaves
    /// partial results itself. `is_wide` is for adapters that run 256 invocations better than 64.
    pub(crate) fn loss(pass: LossPass, from_rows: bool, last: Option<FinalStep>, is_wide: bool) -> Self {
        Self(KernelKind::Loss {
            pass,
            from_rows,
            last,
            group: if is_wide { 256 } else { 64 },
        })
    }

    /// The file that has the entry point.
    fn file(&self) -> &'static str {
        match &self.0 {
            KernelKind::Row(row) if row.first_pass => "kernels/split_stats",
            KernelKind::Row(row) => match row.spec.op {
                RowOp::Softmax { .. } => "kernels/softmax",
                RowOp::SoftmaxGrad { .. } => "kernels/softmax_grad",
                RowOp::CrossEntropy(_) => "kernels/cross_entropy",
                RowOp::BinaryCrossEntropy { .. } => "kernels/binary_cross_entropy",
                RowOp::Entropy => "kernels/entropy",
                RowOp::Sample(SampleStep::Edits) => "kernels/sample_edits",
                RowOp::Sample(SampleStep::Filter) => "kernels/sample_filter",
                RowOp::Sample(SampleStep::Draw) => "kernels/sample_draw",
                RowOp::Sample(SampleStep::Draft) => "kernels/sample_draft",
                RowOp::Sample(SampleStep::Report) => "kernels/sample_report",
                RowOp::Sample(SampleStep::Summary) => "kernels/sample_summary",
            },
            KernelKind::Loss { .. } => "loss/reduce",
            KernelKind::Jacobian => "kernels/softmax_jacobian",
        }
    }

    fn definitions(&self) -> Definitions {
        let mut all = Definitions::default();
        all.flags.extend(Slot::OPTIONAL.iter().map(|&(_, flag)| (flag, false)));
        all.flags.extend(FLAGS.iter().map(|&flag| (flag, false)));
        match &self.0 {
            KernelKind::Row(row) => row.define(&mut all),
            KernelKind::Loss {
                pass, from_rows, last, ..
            } => {
                let is_last = |what: fn(&FinalStep) -> bool| last.as_ref().is_some_and(what);
                all.flags.extend([
                    ("IS_FROM_ROWS", *from_rows),
                    ("IS_FINAL", last.is_some()),
                    ("COUNTS_TARGETS", pass.counts_targets),
                    ("COUNTS_CORRECT", pass.counts_correct),
                    ("SUMS_LOSSES", pass.sums_losses),
                    ("SUMS_Z_LOSSES", pass.sums_z_losses),
                    ("SUMS_WEIGHTS", pass.sums_weights),
                    ("HAS_TARGETS", *from_rows && pass.reads_targets()),
                    ("SUMS_ROW_WEIGHTS", pass.sums_row_weights),
                    ("HAS_WEIGHTS", *from_rows && pass.reads_weights()),
                    ("HAS_ROW_WEIGHTS", pass.reads_row_weights()),
                    ("HAS_ROW_CLASSES", *from_rows && pass.row_classes),
                    ("HAS_UPSTREAM", is_last(|last| last.writes_scale)),
                    (
                        "HAS_NORMALIZER_BUFFER",
                        is_last(|last| last.normalizer == NormalizerKind::Buffer),
                    ),
                    ("IS_MEAN", is_last(|last| last.is_mean)),
                    ("WRITES_ALL", is_last(|last| last.writes_all)),
                ]);
            }
            KernelKind::Jacobian => {}
        }
        all
    }

    /// What the pipeline's overrides are set to.
    pub(crate) fn constants(&self) -> Vec<(&'static str, u32)> {
        match &self.0 {
            KernelKind::Row(row) => row.constants(),
            KernelKind::Loss { last, group, .. } => {
                let kind = last.map(|last| ("NORMALIZER_KIND", last.normalizer as u32));
                kind.into_iter().chain([("GROUP", *group)]).collect()
            }
            KernelKind::Jacobian => Vec::new(),
        }
    }

    /// The source, with the file and line that each of its lines comes from.
    pub(crate) fn render(&self) -> Result<Rendered, TemplateError> {
        render(self.file(), &self.definitions(), files::find)
    }

    #[cfg(test)]
    pub(super) fn uses_subgroups(&self) -> bool {
        self.definitions().flags["SUBGROUPS"]
    }
}

impl RowVariant {
    fn define(&self, all: &mut Definitions) {
        all.texts.insert("SCHEDULE", self.stats.file());
        all.numbers.insert("REGS_PER_LANE", self.shape.regs_per_lane);
        let first_pass = self.first_pass;
        for &(slot, flag) in Slot::OPTIONAL {
            let is_known = !first_pass || self.spec.first_pass_finds(slot) || self.spec.first_pass_reads(slot);
            all.flags.insert(flag, is_known && self.spec.slots.has(slot));
        }
        all.flags.extend(self.storage_flags());
        all.flags.extend([
            ("SUBGROUPS", matches!(self.shape.reduce, Reduce::Subgroup { .. })),
            ("IS_ADJUSTED", self.spec.adjust.is_adjusted),
            ("HAS_SOFTCAP", self.spec.adjust.softcap),
            ("ADJUSTS_GRAD_ONLY", self.spec.adjust.grad_only),
            ("HAS_SPANS", self.stats.has_spans()),
            ("IN_PIECES", self.in_pieces),
            ("IS_FIRST_PASS", first_pass),
            ("IS_SHARD", self.spec.stats == RowStatsNeed::Shard),
            ("HAS_SHARD_TARGET", self.spec.has_shard_target()),
            ("FROM_SAVED_LSE", self.stats == StatsSource::SavedLse),
            ("CACHES_EXP", self.spec.caches_exp() && !first_pass),
            ("FAST", self.spec.fast),
            ("HAS_EXACT_DIFF", self.spec.has_exact_diff()),
            ("HAS_EQUAL_EXP", self.spec.equal_rows && self.spec.caches_exp()),
            ("IS_FULL", self.shape.is_full),
            ("IS_RASTERISER", self.shape.is_software),
            ("IS_PROBS", self.spec.gives_probs()),
        ]);
        all.flags.extend(self.sample_flags());
        match self.spec.op {
            RowOp::Softmax { log, lse_grad } => {
                let has_sink = self.spec.slots.has(Slot::Sink);
                all.flags
                    .extend([("IS_LOG", log), ("IS_LSE_GRAD", lse_grad), ("ADDS_SINK", has_sink)]);
            }
            RowOp::SoftmaxGrad { log } => {
                all.flags.extend([("IS_LOG", log), ("HAS_UPSTREAM_TERMS", true)]);
            }
            RowOp::CrossEntropy(op) => all.flags.extend([
                ("HAS_DIVERGENCE", op.divergence),
                ("HAS_TEACHER", op.teacher),
                ("HAS_ENTROPY_SUM", op.entropy),
                ("HAS_TARGET_STORE", self.spec.stores_target()),
                ("HAS_TARGET_SUMS", op.target_sums),
                ("HAS_TARGET_WEIGHT", op.target_weight),
                ("HAS_Z_LOSS", op.z_loss),
                ("IS_NLL", op.nll),
                ("MARKS_ODD_ROWS", op.correct),
            ]),
            RowOp::Entropy => all.flags.extend([("HAS_ENTROPY_SUM", true)]),
            RowOp::BinaryCrossEntropy { .. } | RowOp::Sample(_) => {}
        }
    }

    /// What is done to the logits of a row before a class is drawn.
    fn sample_flags(&self) -> [(&'static str, bool); 11] {
        let sample = self.spec.sample;
        [
            ("IS_SAMPLED", sample.is_sampled),
            ("HAS_TEMPERATURE", sample.temperature),
            ("HAS_EDITS", sample.edits),
            ("HAS_ALLOWED", sample.allowed),
            ("HAS_EDGES", sample.edges),
            ("HAS_MAXIMA", sample.maxima && self.first_pass),
            ("HAS_LONG_SPANS", sample.long_spans),
            ("IS_ONE_STEP", sample.one_step),
            ("IS_SPARSE", sample.is_sparse),
            ("IS_ROUND", self.spec.is_round()),
            (
                "COUNTS_CLASSES",
                self.spec.slots.has(Slot::Ranks) || self.spec.slots.has(Slot::Kept),
            ),
        ]
    }

    /// How logits and result are stored, and how many elements are loaded and stored at once.
    fn storage_flags(&self) -> [(&'static str, bool); 12] {
        let (logits, result) = (self.spec.storage.logits, self.spec.storage.result);
        let place = if self.first_pass {
            ResultPlace::None
        } else {
            self.spec.place
        };
        let shares_words = result != Dtype::F32 && self.width == VectorWidth::X1;
        [
            ("X1", self.width == VectorWidth::X1),
            ("X2", self.width == VectorWidth::X2),
            ("X4", self.width == VectorWidth::X4),
            ("LOGITS_F32", logits == Dtype::F32),
            ("LOGITS_F16", logits == Dtype::F16),
            ("LOGITS_BF16", logits == Dtype::Bf16),
            ("RESULT_F32", result == Dtype::F32),
            ("RESULT_F16", result == Dtype::F16),
            ("RESULT_BF16", result == Dtype::Bf16),
            ("HAS_RESULT", place != ResultPlace::None),
            ("IN_PLACE", place == ResultPlace::InPlace),
            ("RESULT_IS_ATOMIC", place != ResultPlace::None && shares_words),
        ]
    }

    fn constants(&self) -> Vec<(&'static str, u32)> {
        let mut all = shape_constants(&self.shape);
        if self.stats.has_group_spans() {
            all.push(("GROUP_WORDS", self.shape.group_spans * self.spec.span_words()));
        }
        if self.stats.has_spans() && !self.spec.is_without_spans() {
            all.push(("SPAN_WORDS", self.spec.span_words()));
        }
        if self.spec.adjust.is_adjusted {
            all.push(("MASK_KIND", self.spec.adjust.mask as u32));
        }
        if let RowOp::BinaryCrossEntropy { weight } = self.spec.op {
            all.push(("WEIGHT_KIND", weight as u32));
        }
        if self.spec.op == RowOp::Sample(SampleStep::Filter) {
            all.push(("IS_JOINT", self.spec.sample.joint.into()));
            all.push(("IS_TOP", self.spec.sample.is_top.into()));
        }
        all
    }
}

fn shape_constants(shape: &RowShape) -> Vec<(&'static str, u32)> {
    let reduce = match shape.reduce {
        Reduce::Subgroup { lanes } => ("SUBGROUP_LANES", lanes),
        Reduce::Workgroup { rows_adjacent } => ("ROWS_ADJACENT", rows_adjacent.into()),
    };
    let mut all = vec![("WORKGROUP_SIZE", shape.workgroup_size), ("LANES", shape.lanes), reduce];
    if shape.used_regs < shape.regs_per_lane {
        all.push(("USED_REGS", shape.used_regs));
    }
    if shape.classes > 0 {
        all.push(("CLASSES", shape.classes));
    }
    if shape.row_chunks > 1 {
        all.push(("ROW_CHUNKS", shape.row_chunks));
    }
    all
}

/// The file, the flags that are on, and the numbers.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Definitions { flags, numbers, texts } = self.definitions();
        write!(f, "{}", self.file())?;
        texts.values().try_for_each(|text| write!(f, " {text}"))?;
        let mut on = flags.iter().filter(|(_, on)| **on);
        on.try_for_each(|(flag, _)| write!(f, " {flag}"))?;
        let numbers = numbers.into_iter().chain(self.constants());
        numbers
            .into_iter()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}
