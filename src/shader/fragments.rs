//! Which fragments of `shaders/` a kernel is joined of.

use super::{Kind, Place, Reduce, RowOp, RowShape, Stats, Variant};
use crate::dtype::Dtype;
use crate::operand::Slot;
use crate::rows::Access;

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
            source: include_str!(concat!("../../shaders/", $path)),
        }
    };
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
    /// The fragments, in order.
    pub(crate) fn fragments(&self) -> Vec<Fragment> {
        let mut all = vec![fragment!("params.wgsl")];
        let option = |slot: Slot, on: bool| option_fragment(slot, on).into_iter();
        match &self.0 {
            Kind::Row {
                spec,
                access,
                stats,
                in_pieces,
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
                if *in_pieces {
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
                    match stats {
                        Stats::Held | Stats::HeldChunks => {}
                        _ if *in_pieces => all.push(fragment!("write_pieces.wgsl")),
                        _ => all.push(fragment!("write_once.wgsl")),
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
