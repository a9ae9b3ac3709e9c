//! [`Variant`] → WGSL source: the only place that joins the fragments of `shaders/`. Files choose code (`fragments`), overrides
//! choose numbers.

mod fragments;

use crate::dtype::Storage;
use crate::operand::{Slot, Slots};
use crate::plan::{Plan, Schedule};
use crate::rows::Access;
use std::fmt;

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
        /// Whether lanes go through a row chunk by chunk, rather than have one each.
        in_pieces: bool,
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
            in_pieces: !matches!(plan.schedule, Schedule::Held { .. }),
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
mod tests;
