//! [`Variant`] → WGSL source: the only place that joins the fragments of `shaders/`. Files choose code, overrides choose
//! numbers.

use crate::plan::{Plan, Schedule};
use std::fmt;

/// A file of `shaders/`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment {
    pub(crate) path: &'static str,
    pub(crate) source: &'static str,
}

macro_rules! fragment {
    ($path:literal) => {
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
    pub(crate) logits_offset: u32,
    pub(crate) result_offset: u32,
    pub(crate) targets_offset: u32,
    pub(crate) loss_offset: u32,
    pub(crate) lse_offset: u32,
    pub(crate) argmax_offset: u32,
    pub(crate) first_row: u32,
    pub(crate) groups_x: u32,
    pub(crate) pieces: u32,
    pub(crate) spans: u32,
    pub(crate) policy: u32,
    pub(crate) ignore_index: u32,
    pub(crate) scale_offset: u32,
    pub(crate) scale_stride: u32,
    pub(crate) zero: u32,
    pub(crate) unused: u32,
}

/// How a quad is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Elem {
    /// Four neighbours at a time.
    F32,
    /// One element at a time, any distance apart.
    F32Strided,
}

/// Where the result goes.
#[allow(clippy::enum_variant_names)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Apart,
    InPlace,
    None,
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
    pub(crate) held: u32,
    pub(crate) reduce: Reduce,
    pub(crate) group_spans: u32,
}

impl RowShape {
    /// Rows that a work-group takes.
    pub(crate) fn rows(&self) -> usize {
        (self.workgroup_size / self.lanes) as usize
    }
}

/// Which fragment of `shaders/schedule` finds the maximum and the sum of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Stats {
    Held,
    Chunked,
    Split,
}

/// What a kernel of rows computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowOp {
    Softmax {
        log: bool,
    },
    CrossEntropy {
        gradient: bool,
        loss: bool,
        lse: bool,
        argmax: bool,
    },
    SplitStats {
        argmax: bool,
    },
}

/// A kernel: what to join, and with which constants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Variant(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Row {
        op: RowOp,
        elem: Elem,
        place: Place,
        stats: Stats,
        shape: RowShape,
    },
    ReduceLoss {
        shape: RowShape,
        is_final: bool,
        mean: bool,
    },
    Targets,
    Settle {
        mean: bool,
    },
    CountCorrect,
}

const HELD: [Fragment; 6] = [
    fragment!("held/1.wgsl"),
    fragment!("held/2.wgsl"),
    fragment!("held/4.wgsl"),
    fragment!("held/8.wgsl"),
    fragment!("held/16.wgsl"),
    fragment!("held/32.wgsl"),
];

impl Variant {
    pub(crate) const TARGETS: Self = Self(Kind::Targets);
    pub(crate) const COUNT_CORRECT: Self = Self(Kind::CountCorrect);

    pub(crate) fn row(op: RowOp, elem: Elem, place: Place, plan: &Plan) -> Self {
        let stats = match plan.schedule {
            Schedule::Held { .. } => Stats::Held,
            Schedule::Chunked { .. } => Stats::Chunked,
            Schedule::Split { .. } => Stats::Split,
        };
        let shape = plan.shape;
        Self(Kind::Row {
            op,
            elem,
            place,
            stats,
            shape,
        })
    }

    pub(crate) fn settle(mean: bool) -> Self {
        Self(Kind::Settle { mean })
    }

    /// The loss is reduced by as many lanes as hold 32 quads each, which every adapter runs well enough.
    pub(crate) fn reduce_loss(is_final: bool, mean: bool) -> Self {
        let shape = RowShape {
            workgroup_size: 8,
            lanes: 8,
            held: 32,
            reduce: Reduce::Workgroup { rows_adjacent: false },
            group_spans: 0,
        };
        Self(Kind::ReduceLoss { shape, is_final, mean })
    }

    /// The fragments, in order.
    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        let mut all = vec![fragment!("params.wgsl")];
        let lanes = |shape: &RowShape| {
            let reduce = match shape.reduce {
                Reduce::Subgroup { .. } => fragment!("reduce/subgroup.wgsl"),
                Reduce::Workgroup { .. } => fragment!("reduce/workgroup.wgsl"),
            };
            let held = HELD[shape.held.trailing_zeros() as usize];
            [
                fragment!("bits.wgsl"),
                fragment!("math.wgsl"),
                fragment!("reduce/lane.wgsl"),
                reduce,
                held,
                fragment!("chunk.wgsl"),
            ]
        };
        match &self.0 {
            Kind::Row {
                op,
                elem,
                place,
                stats,
                shape,
            } => {
                all.extend(lanes(shape));
                all.push(match elem {
                    Elem::F32 => fragment!("elem/f32.wgsl"),
                    Elem::F32Strided => fragment!("elem/f32_strided.wgsl"),
                });
                all.push(match place {
                    Place::Apart => fragment!("place/apart.wgsl"),
                    Place::InPlace => fragment!("place/in_place.wgsl"),
                    Place::None => fragment!("place/none.wgsl"),
                });
                all.push(fragment!("row.wgsl"));
                all.extend(match stats {
                    Stats::Held => vec![fragment!("schedule/held.wgsl")],
                    Stats::Chunked => vec![fragment!("spans.wgsl"), fragment!("schedule/chunked.wgsl")],
                    Stats::Split => vec![fragment!("spans.wgsl"), fragment!("schedule/split.wgsl")],
                });
                all.extend(match op {
                    RowOp::Softmax { .. } => vec![fragment!("softmax.wgsl"), fragment!("write.wgsl")],
                    RowOp::CrossEntropy { .. } => vec![fragment!("cross_entropy.wgsl"), fragment!("write.wgsl")],
                    RowOp::SplitStats { .. } => vec![fragment!("split_stats.wgsl")],
                });
            }
            Kind::ReduceLoss { shape, .. } => {
                all.extend(lanes(shape));
                all.extend([
                    fragment!("elem/f32_strided.wgsl"),
                    fragment!("place/apart.wgsl"),
                    fragment!("reduce_loss.wgsl"),
                ]);
            }
            Kind::Targets => all.push(fragment!("targets.wgsl")),
            Kind::Settle { .. } => all.push(fragment!("settle.wgsl")),
            Kind::CountCorrect => all.push(fragment!("count_correct.wgsl")),
        }
        all
    }

    /// What the pipeline's overrides are set to.
    pub(crate) fn constants(&self) -> Vec<(&'static str, u32)> {
        let mut all = Vec::new();
        match &self.0 {
            Kind::Row { op, stats, shape, .. } => {
                all.extend(shape.constants());
                if *stats == Stats::Chunked {
                    all.push(("GROUP_SPANS", shape.group_spans));
                }
                match *op {
                    RowOp::Softmax { log } => all.push(("LOG", log.into())),
                    RowOp::SplitStats { argmax } => all.push(("HAS_ARGMAX", argmax.into())),
                    RowOp::CrossEntropy {
                        gradient,
                        loss,
                        lse,
                        argmax,
                    } => all.extend([
                        ("HAS_GRADIENT", gradient.into()),
                        ("HAS_LOSS", loss.into()),
                        ("HAS_LSE", lse.into()),
                        ("HAS_ARGMAX", argmax.into()),
                    ]),
                }
            }
            Kind::ReduceLoss { shape, is_final, mean } => {
                all.extend(shape.constants());
                all.extend([("FINAL", u32::from(*is_final)), ("MEAN", u32::from(*mean))]);
            }
            Kind::Settle { mean } => all.push(("MEAN", u32::from(*mean))),
            Kind::Targets | Kind::CountCorrect => {}
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
    fn constants(&self) -> [(&'static str, u32); 3] {
        let family = match self.reduce {
            Reduce::Subgroup { lanes } => ("SUBGROUP_LANES", lanes),
            Reduce::Workgroup { rows_adjacent } => ("ROWS_ADJACENT", rows_adjacent.into()),
        };
        [("WORKGROUP_SIZE", self.workgroup_size), ("LANES", self.lanes), family]
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
