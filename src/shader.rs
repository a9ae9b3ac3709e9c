//! [`Variant`] → WGSL source: the only place that joins the fragments of `shaders/`. Files choose code, overrides choose
//! numbers.

use crate::dtype::{Dtype, Storage};
use crate::operand::{Slot, Slots};
use crate::plan::{Plan, Schedule};
use crate::rows::Access;
use std::fmt;

/// A file of `shaders/`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment {
    pub(crate) path: &'static str,
    pub(crate) source: &'static str,
}

macro_rules! fragment {
    ($path:expr) => {
        Fragment {
            path: $path,
            source: include_str!(concat!("../shaders/", $path)),
        }
    };
}

/// The numbers of one dispatch, as `shaders/params.wgsl` documents them.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, bytemuck::Pod, bytemuck::Zeroable)]
pub(crate) struct Params {
    pub(crate) rows: u32,
    pub(crate) classes: u32,
    pub(crate) inner: u32,
    pub(crate) outer_stride: u32,
    pub(crate) first_row: u32,
    pub(crate) groups_x: u32,
    pub(crate) pieces: u32,
    pub(crate) spans: u32,
    pub(crate) policy: u32,
    pub(crate) ignore_index: u32,
    pub(crate) factor_stride: u32,
    pub(crate) zero: u32,
    pub(crate) scale: f32,
    pub(crate) softcap: f32,
    pub(crate) softcap_inverse: f32,
    pub(crate) causal_group: u32,
    pub(crate) causal_offset: i32,
    pub(crate) kept: f32,
    pub(crate) spread: f32,
    pub(crate) smoothing: f32,
    pub(crate) z_loss: f32,
    pub(crate) normalizer: f32,
    pub(crate) unused_1: u32,
    pub(crate) unused_2: u32,
    pub(crate) offsets: [u32; 20],
}

/// Where the result goes.
#[allow(clippy::enum_variant_names)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Apart,
    InPlace,
    None,
}

/// What `value/shaped.wgsl` does to the logits, beside what has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Shaping {
    pub(crate) is_shaped: bool,
    pub(crate) softcap: bool,
    /// 0 none, 1 causal, 2 one for each class, 3 laid out as the logits are.
    pub(crate) mask: u32,
    /// What stands in the logits' place is none: the slope alone counts.
    pub(crate) is_slope: bool,
}

/// How lanes meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reduce {
    /// By shuffles among `lanes`, and through group memory beyond.
    Subgroup { lanes: u32 },
    /// Through group memory.
    Workgroup { rows_adjacent: bool },
}

/// The numbers of a plan that its pipeline is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RowShape {
    pub(crate) workgroup_size: u32,
    pub(crate) lanes: u32,
    /// Chunks of a row that have as many lanes each.
    pub(crate) row_chunks: u32,
    pub(crate) held: u32,
    /// Quads of them that a lane needs.
    pub(crate) used: u32,
    /// The only number of classes it is made for, or 0 for any.
    pub(crate) classes: u32,
    pub(crate) reduce: Reduce,
    pub(crate) group_spans: u32,
}

impl RowShape {
    /// Rows that a work-group takes.
    pub(crate) fn rows(&self) -> usize {
        (self.workgroup_size / self.lanes / self.row_chunks) as usize
    }
}

/// Which fragment of `shaders/schedule` finds the maximum and the sums of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stats {
    Held,
    HeldChunks,
    Chunked,
    Split,
    Given,
    Unread,
}

impl Stats {
    /// Whether a row's sums are put together from those of its spans.
    fn has_spans(self) -> bool {
        matches!(self, Self::HeldChunks | Self::Chunked | Self::Split)
    }

    /// Whether they are kept in group memory.
    fn has_group_spans(self) -> bool {
        matches!(self, Self::HeldChunks | Self::Chunked)
    }
}

/// What a kernel of rows needs to know of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Needs {
    /// Its maximum and sums.
    Sums,
    /// They follow from a saved lse.
    SavedLse,
    /// Nothing.
    Nothing,
}

/// What a kernel of rows computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowOp {
    Softmax { log: bool, gradient: bool },
    SoftmaxGrad { log: bool },
    CrossEntropy(CrossEntropyOp),
    Binary { weight: u32 },
}

/// What cross-entropy has beside what has a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct CrossEntropyOp {
    pub(crate) nll: bool,
    pub(crate) share: bool,
    pub(crate) dense: bool,
    pub(crate) z_loss: bool,
    pub(crate) entropy: bool,
}

/// A kernel of rows, but for its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RowSpec {
    pub(crate) op: RowOp,
    pub(crate) storage: Storage,
    pub(crate) place: Place,
    pub(crate) needs: Needs,
    pub(crate) shaping: Shaping,
    pub(crate) slots: Slots,
}

impl RowSpec {
    /// Words that a schedule keeps of a span.
    pub(crate) fn span_words(&self) -> u32 {
        match self.op {
            RowOp::CrossEntropy(op) if op.dense || op.entropy => 7,
            _ => 3,
        }
    }

    /// Whether the exponentials that its sum is made of serve its result too.
    fn keeps_terms(&self) -> bool {
        match self.op {
            RowOp::Softmax { log, .. } => !log,
            RowOp::CrossEntropy(op) => !op.nll,
            RowOp::SoftmaxGrad { .. } | RowOp::Binary { .. } => false,
        }
    }

    /// Whether it takes drivers long to compile.
    pub(crate) fn is_heavy(&self) -> bool {
        self.span_words() > 3 || self.shaping.is_shaped
    }

    /// The options that its source names, on or off.
    fn options(&self, first_pass: bool) -> Vec<Slot> {
        let mut all = vec![Slot::Other, Slot::Third, Slot::Argmax];
        if self.shaping.is_shaped {
            all.extend([Slot::Mask, Slot::Bias, Slot::RowScale]);
        }
        match self.op {
            RowOp::CrossEntropy(op) if first_pass => all.extend(op.dense.then_some(Slot::Weights)),
            _ if first_pass => {}
            RowOp::Softmax { .. } => all.extend([Slot::Lse, Slot::Factor]),
            RowOp::SoftmaxGrad { .. } => {}
            RowOp::Binary { .. } => all.extend([Slot::Mask, Slot::PosWeights, Slot::Factor, Slot::Loss]),
            RowOp::CrossEntropy(_) => all.extend([
                Slot::Targets,
                Slot::Factor,
                Slot::Loss,
                Slot::Lse,
                Slot::ZLoss,
                Slot::LogProb,
                Slot::Entropy,
                Slot::Weights,
            ]),
        }
        all
    }

    /// Whether its first pass, over a split row, is bound to a slot. (Whether there is an argmax is all it asks of that.)
    pub(crate) fn first_pass_reads(&self, slot: Slot) -> bool {
        slot == Slot::Scratch || (slot != Slot::Argmax && self.options(true).contains(&slot))
    }
}

/// A kernel: what to join, and with which constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Variant(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Row {
        spec: RowSpec,
        access: Access,
        stats: Stats,
        shape: RowShape,
        first_pass: bool,
    },
    Reduce {
        shape: RowShape,
        end: Option<End>,
    },
    Targets {
        weights: bool,
    },
    Settle {
        mean: u32,
        weights: bool,
        targets: bool,
    },
    CountCorrect,
    Jacobian,
}

/// What becomes of a sum over the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct End {
    /// The word of the summary that it goes to.
    pub(crate) word: u32,
    /// Whether it is divided by the mean's denominators, and z-losses by their own.
    pub(crate) mean: bool,
    pub(crate) z_loss: bool,
}

macro_rules! option_fragments {
    ($($slot:ident $name:literal),*) => {
        fn option_fragment(slot: Slot, on: bool) -> Option<Fragment> {
            match slot {
                $(Slot::$slot if on => Some(fragment!(concat!("option/on/", $name, ".wgsl"))),
                Slot::$slot => Some(fragment!(concat!("option/off/", $name, ".wgsl"))),)*
                Slot::Logits | Slot::Result | Slot::Scratch | Slot::SavedLse => None,
            }
        }
    };
}

option_fragments!(
    Targets "targets", Factor "factor", Loss "loss", Lse "lse", Argmax "argmax", ZLoss "z_loss", LogProb "log_prob",
    Entropy "entropy", Other "other", Third "third", Mask "mask", Bias "bias", RowScale "row_scale",
    Weights "weights", PosWeights "pos_weights"
);

const HELD: [Fragment; 6] = [
    fragment!("held/1.wgsl"),
    fragment!("held/2.wgsl"),
    fragment!("held/4.wgsl"),
    fragment!("held/8.wgsl"),
    fragment!("held/16.wgsl"),
    fragment!("held/32.wgsl"),
];

/// One of three files, for up to 8, 16 and 32 slots.
fn by_slots(held: u32, fragments: [Fragment; 3]) -> Fragment {
    let [eight, sixteen, all] = fragments;
    match held {
        ..=8 => eight,
        9..=16 => sixteen,
        _ => all,
    }
}

/// The fragments of how a type is loaded.
fn load_fragments(dtype: Dtype, access: Access) -> Vec<Fragment> {
    let widen = match dtype {
        Dtype::F32 => fragment!("widen/f32.wgsl"),
        Dtype::F16 => fragment!("widen/f16.wgsl"),
        Dtype::Bf16 => fragment!("widen/bf16.wgsl"),
    };
    let mut all = vec![widen];
    all.push(match (dtype, access) {
        (Dtype::F32, Access::Quads) => fragment!("load/f32_quads.wgsl"),
        (Dtype::F32, Access::Pairs) => fragment!("load/f32_pairs.wgsl"),
        (Dtype::F32, Access::Singles) => fragment!("load/f32_singles.wgsl"),
        (_, Access::Quads) => fragment!("load/half_quads.wgsl"),
        (_, Access::Pairs) => fragment!("load/half_pairs.wgsl"),
        (_, Access::Singles) => fragment!("load/half_singles.wgsl"),
    });
    all.extend(match access {
        Access::Quads => None,
        Access::Pairs => Some(fragment!("load/pairs.wgsl")),
        Access::Singles => Some(fragment!("load/singles.wgsl")),
    });
    all
}

/// The fragments of how a type is stored.
fn store_fragments(dtype: Dtype, access: Access) -> Vec<Fragment> {
    let half = match access {
        Access::Quads => fragment!("store/half_quads.wgsl"),
        Access::Pairs => fragment!("store/half_pairs.wgsl"),
        Access::Singles => fragment!("store/half_singles.wgsl"),
    };
    match dtype {
        Dtype::F32 => vec![match access {
            Access::Quads => fragment!("store/f32_quads.wgsl"),
            Access::Pairs => fragment!("store/f32_pairs.wgsl"),
            Access::Singles => fragment!("store/f32_singles.wgsl"),
        }],
        Dtype::F16 => vec![fragment!("narrow/f16.wgsl"), half],
        Dtype::Bf16 => vec![fragment!("narrow/bf16.wgsl"), half],
    }
}

/// Which lanes share a row, and what they hold of it.
fn lane_fragments(shape: &RowShape) -> [Fragment; 8] {
    let reduce = match shape.reduce {
        Reduce::Subgroup { .. } => fragment!("reduce/subgroup.wgsl"),
        Reduce::Workgroup { .. } => fragment!("reduce/workgroup.wgsl"),
    };
    [
        fragment!("bits.wgsl"),
        fragment!("math.wgsl"),
        fragment!("reduce/lane.wgsl"),
        reduce,
        HELD[shape.held.trailing_zeros() as usize],
        fragment!("chunk.wgsl"),
        by_slots(
            shape.held,
            [
                fragment!("slots/8.wgsl"),
                fragment!("slots/16.wgsl"),
                fragment!("slots/32.wgsl"),
            ],
        ),
        fragment!("source.wgsl"),
    ]
}

impl Variant {
    pub(crate) const COUNT_CORRECT: Self = Self(Kind::CountCorrect);
    pub(crate) const JACOBIAN: Self = Self(Kind::Jacobian);

    /// The kernel that writes, or with `first_pass` the one before it that leaves the spans of split rows.
    pub(crate) fn row(spec: RowSpec, access: Access, first_pass: bool, plan: &Plan) -> Self {
        let stats = match (spec.needs, plan.schedule) {
            (Needs::SavedLse, _) => Stats::Given,
            (Needs::Nothing, _) => Stats::Unread,
            (Needs::Sums, Schedule::Held { .. }) if plan.shape.row_chunks > 1 => Stats::HeldChunks,
            (Needs::Sums, Schedule::Held { .. }) => Stats::Held,
            (Needs::Sums, Schedule::Chunked { .. }) => Stats::Chunked,
            (Needs::Sums, Schedule::Split { .. }) => Stats::Split,
        };
        let shape = plan.shape;
        Self(Kind::Row {
            spec,
            access,
            stats,
            shape,
            first_pass,
        })
    }

    pub(crate) fn targets(weights: bool) -> Self {
        Self(Kind::Targets { weights })
    }

    /// `mean`: the kind of denominator, as settle.wgsl says.
    pub(crate) fn settle(mean: u32, weights: bool, targets: bool) -> Self {
        Self(Kind::Settle { mean, weights, targets })
    }

    /// A sum over rows, by as many lanes as hold 32 quads each, which every adapter runs well enough.
    pub(crate) fn reduce(end: Option<End>) -> Self {
        let shape = RowShape {
            workgroup_size: 8,
            lanes: 8,
            row_chunks: 1,
            held: 32,
            used: 32,
            classes: 0,
            reduce: Reduce::Workgroup { rows_adjacent: false },
            group_spans: 0,
        };
        Self(Kind::Reduce { shape, end })
    }

    /// The fragments, in order.
    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        let mut all = vec![fragment!("params.wgsl")];
        let option = |slot: Slot, on: bool| option_fragment(slot, on).into_iter();
        match &self.0 {
            Kind::Row {
                spec,
                access,
                stats,
                shape,
                first_pass,
            } => {
                all.extend(lane_fragments(shape));
                all.extend(load_fragments(spec.storage.logits, *access));
                let place = if *first_pass { Place::None } else { spec.place };
                match place {
                    Place::None => all.push(fragment!("store/none.wgsl")),
                    _ => all.extend(store_fragments(spec.storage.result, *access)),
                }
                all.push(match place {
                    Place::Apart => fragment!("place/apart.wgsl"),
                    Place::InPlace if spec.storage.result != Dtype::F32 && *access == Access::Singles => {
                        fragment!("place/in_place_shared.wgsl")
                    }
                    Place::InPlace => fragment!("place/in_place.wgsl"),
                    Place::None => fragment!("place/none.wgsl"),
                });
                for slot in spec.options(*first_pass) {
                    all.extend(option(slot, spec.slots.has(slot)));
                }
                all.push(if spec.shaping.is_shaped {
                    fragment!("value/shaped.wgsl")
                } else {
                    fragment!("value/plain.wgsl")
                });
                all.push(fragment!("row.wgsl"));
                all.push(match spec.op {
                    RowOp::CrossEntropy(op) if op.dense => fragment!("terms/dense.wgsl"),
                    RowOp::SoftmaxGrad { .. } => fragment!("terms/product.wgsl"),
                    _ => fragment!("terms/exp.wgsl"),
                });
                if !matches!(stats, Stats::Held | Stats::HeldChunks) {
                    all.push(fragment!("pieces.wgsl"));
                }
                if stats.has_spans() {
                    all.push(fragment!("spans.wgsl"));
                }
                if stats.has_group_spans() {
                    all.push(fragment!("schedule/group_spans.wgsl"));
                }
                all.push(match stats {
                    Stats::Held => fragment!("schedule/held.wgsl"),
                    Stats::HeldChunks => fragment!("schedule/held_chunks.wgsl"),
                    Stats::Chunked => fragment!("schedule/chunked.wgsl"),
                    Stats::Split => fragment!("schedule/split.wgsl"),
                    Stats::Given => fragment!("schedule/given.wgsl"),
                    Stats::Unread => fragment!("schedule/unread.wgsl"),
                });
                let kernel = match spec.op {
                    _ if *first_pass => fragment!("split_stats.wgsl"),
                    RowOp::Softmax { .. } => fragment!("softmax.wgsl"),
                    RowOp::SoftmaxGrad { .. } => fragment!("softmax_grad.wgsl"),
                    RowOp::CrossEntropy(_) => fragment!("cross_entropy.wgsl"),
                    RowOp::Binary { .. } => fragment!("binary.wgsl"),
                };
                all.push(kernel);
                if !first_pass {
                    all.push(fragment!("write.wgsl"));
                    all.push(by_slots(
                        shape.held,
                        [
                            fragment!("write/8.wgsl"),
                            fragment!("write/16.wgsl"),
                            fragment!("write/32.wgsl"),
                        ],
                    ));
                    if !matches!(stats, Stats::Held | Stats::HeldChunks) {
                        all.push(fragment!("write_pieces.wgsl"));
                    }
                }
            }
            Kind::Reduce { shape, .. } => {
                all.extend(lane_fragments(shape));
                all.extend(load_fragments(Dtype::F32, Access::Singles));
                all.extend(store_fragments(Dtype::F32, Access::Singles));
                all.extend([fragment!("place/apart.wgsl"), fragment!("value/plain.wgsl")]);
                all.extend(option(Slot::Other, false).chain(option(Slot::Third, false)));
                all.push(fragment!("reduce_loss.wgsl"));
            }
            Kind::Targets { weights } => {
                all.extend(option(Slot::Targets, true).chain(option(Slot::Weights, *weights)));
                all.extend(option(Slot::Loss, *weights));
                all.push(fragment!("targets.wgsl"));
            }
            Kind::Settle { mean, weights, targets } => {
                all.push(fragment!("bits.wgsl"));
                all.extend(option(Slot::Targets, *targets).chain(option(Slot::Factor, *mean == 3)));
                all.extend(option(Slot::Weights, *weights));
                all.push(fragment!("settle.wgsl"));
            }
            Kind::CountCorrect => {
                all.extend(option(Slot::Targets, true));
                all.push(fragment!("count_correct.wgsl"));
            }
            Kind::Jacobian => all.extend([
                fragment!("bits.wgsl"),
                fragment!("math.wgsl"),
                fragment!("jacobian.wgsl"),
            ]),
        }
        all
    }

    /// What the pipeline's overrides are set to.
    pub(crate) fn constants(&self) -> Vec<(&'static str, u32)> {
        let mut all = Vec::new();
        match &self.0 {
            Kind::Row {
                spec,
                stats,
                shape,
                first_pass,
                ..
            } => {
                all.extend(shape.constants());
                if stats.has_group_spans() {
                    all.push(("GROUP_WORDS", shape.group_spans * spec.span_words()));
                }
                if stats.has_spans() {
                    all.push(("SPAN_WORDS", spec.span_words()));
                }
                if spec.keeps_terms() && !first_pass {
                    all.push(("KEEPS_TERMS", 1));
                }
                if spec.shaping.is_shaped {
                    let source = match spec.op {
                        RowOp::SoftmaxGrad { .. } => Slot::Third as u32,
                        _ => Slot::Logits as u32,
                    };
                    all.push(("HAS_SOFTCAP", spec.shaping.softcap.into()));
                    all.push(("MASK_KIND", spec.shaping.mask));
                    all.push(("SLOPE_SOURCE", source));
                    all.push(("IS_SLOPE", spec.shaping.is_slope.into()));
                }
                match spec.op {
                    RowOp::SoftmaxGrad { log } => {
                        all.extend([("LOG", log.into()), ("IS_PLAIN", 1)]);
                    }
                    RowOp::CrossEntropy(op) => {
                        all.extend([("HAS_HEAT", op.entropy.into()), ("HAS_DENSE", op.dense.into())]);
                        if !first_pass {
                            all.extend([
                                ("IS_NLL", op.nll.into()),
                                ("HAS_SHARE", op.share.into()),
                                ("HAS_Z_LOSS", op.z_loss.into()),
                            ]);
                        }
                    }
                    RowOp::Softmax { log, gradient } if !first_pass => {
                        all.extend([("LOG", log.into()), ("IS_GRADIENT", gradient.into())]);
                    }
                    RowOp::Binary { weight } => all.push(("WEIGHT_KIND", weight)),
                    RowOp::Softmax { .. } => {}
                }
            }
            Kind::Reduce { shape, end } => {
                all.extend(shape.constants());
                if let Some(end) = end {
                    all.extend([
                        ("FINAL", 1),
                        ("FINAL_WORD", end.word),
                        ("MEAN", end.mean.into()),
                        ("HAS_Z_LOSS", end.z_loss.into()),
                    ]);
                }
            }
            Kind::Settle { mean, .. } => all.push(("MEAN_KIND", *mean)),
            Kind::Targets { .. } | Kind::CountCorrect | Kind::Jacobian => {}
        }
        all
    }

    pub(crate) fn source(&self) -> String {
        self.fragments().iter().map(|f| f.source).collect()
    }

    /// A compiler's message, with the lines of the joined source replaced by those of the fragments' own files.
    pub(crate) fn located(&self, message: &str) -> String {
        let mut out = String::new();
        let mut rest = message;
        while let Some(at) = rest.find("wgsl:") {
            let (before, after) = rest.split_at(at + "wgsl:".len());
            let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
            match after[..digits].parse::<usize>().ok().and_then(|line| self.locate(line)) {
                Some((path, line)) => {
                    out.push_str(&format!("{}shaders/{path}:{line}", before.trim_end_matches("wgsl:")))
                }
                None => out.push_str(&format!("{before}{}", &after[..digits])),
            }
            rest = &after[digits..];
        }
        out + rest
    }

    fn locate(&self, line: usize) -> Option<(&'static str, usize)> {
        let mut before = 0;
        for fragment in self.fragments() {
            let lines = fragment.source.lines().count();
            if line <= before + lines {
                return Some((fragment.path, line - before));
            }
            before += lines;
        }
        None
    }
}

impl RowShape {
    fn constants(&self) -> Vec<(&'static str, u32)> {
        let family = match self.reduce {
            Reduce::Subgroup { lanes } => ("SUBGROUP_LANES", lanes),
            Reduce::Workgroup { rows_adjacent } => ("ROWS_ADJACENT", rows_adjacent.into()),
        };
        let mut all = vec![("WORKGROUP_SIZE", self.workgroup_size), ("LANES", self.lanes), family];
        if self.used < self.held {
            all.push(("USED", self.used));
        }
        if self.classes > 0 {
            all.push(("CLASSES", self.classes));
        }
        if self.row_chunks > 1 {
            all.push(("ROW_CHUNKS", self.row_chunks));
        }
        all
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self
            .fragments()
            .iter()
            .map(|f| f.path.trim_end_matches(".wgsl"))
            .collect();
        write!(f, "{}", names.join("+"))?;
        self.constants()
            .iter()
            .try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

#[cfg(test)]
#[path = "shader_tests.rs"]
mod tests;
