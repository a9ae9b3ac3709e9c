//! Every variant, apart from those that differ only in numbers which change no code.

use super::super::*;
use crate::dtype::{Dtype, Storage};
use crate::plan::{Capabilities, Plan, RowShape, VectorWidth};
use crate::rows::Rows;
use crate::schedule::Schedule;

fn slots(all: &[Slot]) -> Slots {
    all.iter().copied().collect()
}

pub(super) const PLAIN: RowSpec = RowSpec {
    op: RowOp::Softmax {
        log: false,
        lse_grad: false,
    },
    storage: Storage::all(Dtype::F32),
    fast: false,
    equal_rows: false,
    place: ResultPlace::Apart,
    stats: RowStatsNeed::Sums,
    adjust: AdjustSpec {
        is_adjusted: false,
        softcap: false,
        mask: MaskKind::None,
        grad_only: false,
    },
    sample: SampleSpec {
        is_sampled: false,
        temperature: false,
        edits: false,
        allowed: false,
        edges: false,
        maxima: false,
        joint: false,
        is_top: false,
        long_spans: false,
        one_step: false,
        is_sparse: false,
    },
    slots: Slots::NONE,
};

fn softcap(mask: MaskKind) -> AdjustSpec {
    AdjustSpec {
        is_adjusted: true,
        softcap: true,
        mask,
        grad_only: false,
    }
}

const ADJUST_SLOTS: [Slot; 3] = [Slot::Mask, Slot::Bias, Slot::RowScale];

/// Kernels of the softmax family with every option off, and with every option on that can be combined.
fn softmax_specs() -> [RowSpec; 9] {
    let softmax = |log, lse_grad| RowOp::Softmax { log, lse_grad };
    [
        PLAIN,
        RowSpec { fast: true, ..PLAIN },
        RowSpec {
            op: softmax(true, false),
            adjust: softcap(MaskKind::Full),
            slots: slots(&ADJUST_SLOTS),
            ..PLAIN
        },
        RowSpec {
            op: softmax(false, true),
            equal_rows: true,
            stats: RowStatsNeed::SavedLse,
            adjust: softcap(MaskKind::Causal),
            slots: slots(&[Slot::SavedLse, Slot::GradScale]),
            ..PLAIN
        },
        RowSpec {
            slots: slots(&[Slot::Sink, Slot::Lse]),
            ..PLAIN
        },
        RowSpec {
            op: softmax(false, true),
            equal_rows: true,
            slots: slots(&[Slot::Sink, Slot::SinkGrad, Slot::GradScale]),
            ..PLAIN
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: true },
            slots: slots(&[Slot::UpstreamMatrix]),
            ..PLAIN
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: false },
            slots: slots(&[Slot::UpstreamMatrix, Slot::Sink, Slot::SavedLse, Slot::SinkGrad]),
            ..PLAIN
        },
        RowSpec {
            op: RowOp::SoftmaxGrad { log: false },
            adjust: AdjustSpec {
                grad_only: true,
                ..softcap(MaskKind::None)
            },
            slots: slots(&[Slot::UpstreamMatrix, Slot::SoftcapLogits, Slot::Bias, Slot::RowScale]),
            ..PLAIN
        },
    ]
}

const ROW_OUTPUTS: [Slot; 6] = [
    Slot::Loss,
    Slot::Lse,
    Slot::RowZLoss,
    Slot::LogProb,
    Slot::Entropy,
    Slot::Argmax,
];

fn cross_entropy(op: CrossEntropySpec, bound: &[Slot]) -> RowSpec {
    RowSpec {
        op: RowOp::CrossEntropy(op),
        slots: slots(bound),
        ..PLAIN
    }
}

/// Products of Hessians and vectors.
fn hessian_specs() -> [RowSpec; 4] {
    let with_z = CrossEntropySpec {
        target_weight: true,
        target_sums: true,
        z_loss: true,
        ..CrossEntropySpec::default()
    };
    let softmax = |log| RowSpec {
        op: RowOp::SoftmaxGrad { log },
        slots: slots(&[Slot::UpstreamMatrix, Slot::Direction]),
        ..PLAIN
    };
    [
        softmax(false),
        softmax(true),
        cross_entropy(
            CrossEntropySpec::default(),
            &[Slot::Targets, Slot::GradScale, Slot::Direction],
        ),
        cross_entropy(with_z, &[Slot::SoftTargets, Slot::GradScale, Slot::Direction]),
    ]
}

/// Divergences from probabilities and from a teacher.
fn divergence_specs() -> [RowSpec; 3] {
    let divergence = CrossEntropySpec {
        target_sums: true,
        divergence: true,
        ..CrossEntropySpec::default()
    };
    let teacher = CrossEntropySpec {
        divergence: true,
        teacher: true,
        z_loss: true,
        entropy: true,
        ..CrossEntropySpec::default()
    };
    let upstream = [Slot::SoftTargets, Slot::Upstream, Slot::Loss, Slot::RowZLoss];
    [
        cross_entropy(divergence, &upstream),
        cross_entropy(
            teacher,
            &[Slot::SoftTargets, Slot::GradScale, Slot::RowWeights, Slot::Loss],
        ),
        RowSpec {
            adjust: softcap(MaskKind::None),
            fast: true,
            ..cross_entropy(teacher, &[Slot::SoftTargets, Slot::GradScale, Slot::Argmax])
        },
    ]
}

/// The same for the losses.
fn loss_specs() -> [RowSpec; 9] {
    let every = CrossEntropySpec {
        nll: false,
        target_weight: true,
        target_sums: true,
        z_loss: true,
        entropy: true,
        correct: true,
        divergence: false,
        teacher: false,
    };
    let weighted = CrossEntropySpec {
        target_weight: true,
        ..CrossEntropySpec::default()
    };
    let nll = CrossEntropySpec {
        nll: true,
        ..CrossEntropySpec::default()
    };
    let binary = |weight, bound: &[Slot]| RowSpec {
        op: RowOp::BinaryCrossEntropy { weight },
        stats: RowStatsNeed::Nothing,
        slots: slots(bound).with([Slot::SoftTargets, Slot::Loss, Slot::GradScale]),
        ..PLAIN
    };
    let with_targets = [Slot::Targets, Slot::GradScale, Slot::Loss];
    let upstream = [Slot::SoftTargets, Slot::Upstream, Slot::Loss, Slot::RowZLoss];
    let mut everything = cross_entropy(every, &with_targets);
    everything.equal_rows = true;
    everything.adjust = softcap(MaskKind::PerClass);
    everything.slots = everything
        .slots
        .with(ROW_OUTPUTS)
        .with(ADJUST_SLOTS)
        .with([Slot::Weights, Slot::RowWeights]);
    let saved = [Slot::Targets, Slot::GradScale, Slot::Weights, Slot::SavedLse];
    [
        cross_entropy(CrossEntropySpec::default(), &with_targets),
        everything,
        RowSpec {
            fast: true,
            ..everything
        },
        cross_entropy(every, &[Slot::SoftTargets, Slot::GradScale, Slot::Weights]),
        cross_entropy(every, &upstream),
        RowSpec {
            stats: RowStatsNeed::SavedLse,
            ..cross_entropy(weighted, &saved)
        },
        RowSpec {
            stats: RowStatsNeed::Nothing,
            ..cross_entropy(nll, &with_targets)
        },
        binary(MaskKind::None, &[]),
        binary(MaskKind::Full, &[Slot::Mask, Slot::PosWeights]),
    ]
}

fn specs() -> impl Iterator<Item = RowSpec> {
    let entropy = |bound: &[Slot]| RowSpec {
        op: RowOp::Entropy,
        slots: slots(bound),
        ..PLAIN
    };
    let entropies = [
        entropy(&[Slot::Entropy]),
        RowSpec {
            adjust: softcap(MaskKind::PerClass),
            ..entropy(&[Slot::Entropy, Slot::GradScale, Slot::Mask])
        },
    ];
    let losses = loss_specs()
        .into_iter()
        .chain(divergence_specs())
        .chain(hessian_specs());
    softmax_specs().into_iter().chain(losses).chain(entropies)
}

/// Short rows of every number of registers, and long rows of every schedule.
fn schedules() -> impl Iterator<Item = (usize, Schedule)> {
    let held = [1, 2, 4, 8, 16, 32].map(|regs| (regs * 32, Schedule::Held { lanes: 8 }));
    let long = [
        (100, Schedule::Held { lanes: 8 }),
        (3000, Schedule::Held { lanes: 8 }),
        (3000, Schedule::Chunked { lanes: 64 }),
        (3000, Schedule::Split { lanes: 8, pieces: 3 }),
    ];
    held.into_iter().chain(long)
}

/// The types in turn, so that each meets every operation.
const STORAGE: [Storage; 4] = [
    Storage::all(Dtype::F32),
    Storage::all(Dtype::F16),
    Storage::all(Dtype::Bf16),
    Storage {
        logits: Dtype::Bf16,
        result: Dtype::F32,
    },
];

/// One operation under one plan, in every vector width and place.
fn row_variants(spec: RowSpec, plan: &Plan, turn: usize, all: &mut Vec<Variant>) {
    for width in [VectorWidth::X1, VectorWidth::X2, VectorWidth::X4] {
        for place in [ResultPlace::Apart, ResultPlace::InPlace, ResultPlace::None] {
            let turns = if place == ResultPlace::InPlace { 3 } else { 4 };
            let storage = STORAGE[turn % turns];
            all.push(Variant::row(RowSpec { storage, place, ..spec }, width, false, plan));
        }
        if matches!(plan.schedule, Schedule::Split { .. }) && spec.stats == RowStatsNeed::Sums {
            all.push(Variant::row(spec, width, true, plan));
        }
    }
}

/// The two dispatches of an operation on a shard, in one vector width.
fn shard_variants(spec: RowSpec, plan: &Plan, all: &mut Vec<Variant>) {
    let can_be = match spec.op {
        RowOp::Softmax { lse_grad, .. } => !lse_grad,
        RowOp::CrossEntropy(op) => !op.nll,
        _ => false,
    };
    if can_be && spec.stats == RowStatsNeed::Sums {
        let spec = RowSpec {
            stats: RowStatsNeed::Shard,
            ..spec
        };
        let width = [VectorWidth::X1, VectorWidth::X2, VectorWidth::X4][all.len() % 3];
        all.extend([true, false].map(|first_pass| Variant::row(spec, width, first_pass, plan)));
    }
}

/// An operation on rows of unequal length, in one vector width.
fn ragged_variants(spec: RowSpec, plan: &Plan, all: &mut Vec<Variant>) {
    if matches!(spec.op, RowOp::BinaryCrossEntropy { .. }) {
        return;
    }
    let spec = RowSpec {
        slots: spec.slots.with([Slot::RowTable]),
        ..spec
    };
    let plan = Plan {
        shape: RowShape {
            is_full: false,
            classes: 0,
            ..plan.shape
        },
        ..*plan
    };
    let width = [VectorWidth::X1, VectorWidth::X2, VectorWidth::X4][all.len() % 3];
    all.push(Variant::row(spec, width, false, &plan));
    if matches!(plan.schedule, Schedule::Split { .. }) && spec.stats == RowStatsNeed::Sums {
        all.push(Variant::row(spec, width, true, &plan));
    }
}

/// A rasteriser without subgroups, and a GPU with them.
pub(super) fn adapters() -> [Capabilities; 2] {
    [(false, wgpu::DeviceType::Cpu), (true, wgpu::DeviceType::DiscreteGpu)].map(|(subgroups, device_type)| {
        let info = wgpu::AdapterInfo {
            subgroup_min_size: 8,
            ..wgpu::AdapterInfo::new(device_type, wgpu::Backend::Vulkan)
        };
        Capabilities::new(&info, &wgpu::Limits::default(), subgroups)
    })
}

/// Every operation on rows but sampling, in every storage, place and schedule.
pub(super) fn all() -> Vec<Variant> {
    let mut all = Vec::new();
    for adapter in adapters() {
        for (turn, (classes, schedule)) in schedules().enumerate() {
            for spec in specs() {
                let words = spec.span_words() as usize;
                let plan = Plan::new(&Rows::new(4, classes), &adapter, words, false, Some(schedule)).unwrap();
                row_variants(spec, &plan, turn, &mut all);
                if classes >= 100 {
                    ragged_variants(spec, &plan, &mut all);
                }
                if matches!(schedule, Schedule::Split { .. }) {
                    shard_variants(spec, &plan, &mut all);
                }
            }
        }
    }
    all
}
