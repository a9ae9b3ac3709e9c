//! What a kernel computes, apart from the numbers of its plan: [`RowSpec`] for the kernels of rows.

use super::slot::{Slot, Slots};
use crate::dtype::{Dtype, Storage};

/// Where the result goes.
#[allow(clippy::enum_variant_names)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ResultPlace {
    /// Into a buffer of its own.
    Apart,
    /// Over the logits.
    InPlace,
    /// There is no result of the logits' shape.
    None,
}

/// What a mask (or the weight of binary cross-entropy) has a number for; the shaders' `MASK` constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[repr(u32)]
pub(crate) enum MaskKind {
    /// There is none.
    #[default]
    None = 0,
    /// It follows from the numbers of the row and the class.
    Causal = 1,
    /// Each class.
    PerClass = 2,
    /// Each element.
    Full = 3,
}

/// What `shaders/adjust.wgsl` does to the logits, apart from the options that have a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct AdjustSpec {
    pub(crate) is_adjusted: bool,
    pub(crate) softcap: bool,
    pub(crate) mask: MaskKind,
    /// Whether the logits' place holds something else, as in the backward pass of softmax: only the gradient is then
    /// multiplied by da/dx.
    pub(crate) grad_only: bool,
}

/// What a kernel of rows needs to know of a row before it can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowStatsNeed {
    /// Its maximum and sums.
    Sums,
    /// The same, of which a shard has a part: a dispatch of its own leaves them, and another takes those of all shards.
    Shard,
    /// The lse that a forward pass saved.
    SavedLse,
    /// Nothing: every element is computed by itself.
    Nothing,
}

/// What a kernel of rows computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RowOp {
    /// Softmax, log-softmax, logsumexp, and the gradient of logsumexp.
    Softmax {
        log: bool,
        lse_grad: bool,
    },
    /// The backward pass of softmax and log-softmax.
    SoftmaxGrad {
        log: bool,
    },
    CrossEntropy(CrossEntropySpec),
    /// The entropy, and its gradient.
    Entropy,
    BinaryCrossEntropy {
        weight: MaskKind,
    },
    Sample(SampleStep),
}

/// The options of cross-entropy, apart from those that have a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct CrossEntropySpec {
    /// Whether the input holds log-probabilities.
    pub(crate) nll: bool,
    /// Whether the weight of the target may differ from 1, or other classes have a target too.
    pub(crate) target_weight: bool,
    /// Whether every class has a target, so that the sums over them are needed.
    pub(crate) target_sums: bool,
    pub(crate) z_loss: bool,
    /// Whether the loss is KL(targets ‖ probabilities), and whether the targets are a teacher's logits, of which there are then no
    /// `target_sums`.
    pub(crate) divergence: bool,
    pub(crate) teacher: bool,
    pub(crate) entropy: bool,
    /// Whether rows are counted whose argmax is their target.
    pub(crate) correct: bool,
}

/// What is done to the logits of a row before a class is drawn, and what a kernel of sampling needs besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct SampleSpec {
    /// Whether the values are those that a row is sampled by.
    pub(crate) is_sampled: bool,
    pub(crate) temperature: bool,
    /// Penalties or biases.
    pub(crate) edits: bool,
    pub(crate) allowed: bool,
    /// Whether only the classes count that the filters leave.
    pub(crate) edges: bool,
    /// Whether the statistics pass leaves the largest value of each lane.
    pub(crate) maxima: bool,
    pub(crate) joint: bool,
    /// Whether the filter finds the first classes that are asked for.
    pub(crate) is_top: bool,
    /// Whether a span has more than one chunk.
    pub(crate) long_spans: bool,
    /// Whether each chunk of a row has lanes of its own in the statistics pass.
    pub(crate) one_step: bool,
    /// Whether what is kept is so little that the filter finds its statistics too.
    pub(crate) is_sparse: bool,
}

/// A step of sampling that has a kernel of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SampleStep {
    /// What history and biases make of logits.
    Edits,
    /// Which classes are kept.
    Filter,
    Draw,
    /// Which tokens of a draft take the place of those drawn.
    Draft,
    /// What is reported of the drawn class.
    Report,
    /// Which rows have no token.
    Summary,
}

/// A kernel of rows, apart from its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RowSpec {
    pub(crate) op: RowOp,
    pub(crate) storage: Storage,
    /// Whether arithmetic and functions are the driver's own.
    pub(crate) fast: bool,
    /// Whether a row of −∞ alone has the gradient of one whose values are equal.
    pub(crate) equal_rows: bool,
    pub(crate) place: ResultPlace,
    pub(crate) stats: RowStatsNeed,
    pub(crate) adjust: AdjustSpec,
    pub(crate) sample: SampleSpec,
    pub(crate) slots: Slots,
}

impl RowSpec {
    /// Words that encode the statistics of a span (`shaders/row/spans.wgsl`).
    pub(crate) fn span_words(&self) -> u32 {
        let argmax = u32::from(self.slots.has(Slot::Argmax));
        let target = u32::from(self.has_shard_target());
        let teacher = if self.has_teacher() { 3 } else { 0 };
        let direction = if self.slots.has(Slot::Direction) { 2 } else { 0 };
        argmax + target + teacher + direction + if self.has_more_sums() { 7 } else { 3 }
    }

    /// Whether statistics have the target's value too.
    pub(super) fn has_shard_target(&self) -> bool {
        self.stats == RowStatsNeed::Shard && self.slots.has(Slot::Targets)
    }

    /// Whether statistics have the sums of entropy and targets too.
    fn has_more_sums(&self) -> bool {
        match self.op {
            RowOp::CrossEntropy(op) => op.target_sums || op.entropy || op.divergence,
            op => op == RowOp::Entropy,
        }
    }

    fn has_teacher(&self) -> bool {
        matches!(self.op, RowOp::CrossEntropy(op) if op.teacher)
    }

    /// Whether the result is computed from the exponentials that are summed, so that these are kept.
    pub(super) fn caches_exp(&self) -> bool {
        match self.op {
            RowOp::Softmax { log, .. } => !log,
            RowOp::CrossEntropy(op) => !op.nll,
            RowOp::SoftmaxGrad { .. } | RowOp::BinaryCrossEntropy { .. } => false,
            RowOp::Entropy | RowOp::Sample(_) => false,
        }
    }

    /// Whether the target's gradient is written by itself, after those of all classes.
    pub(super) fn stores_target(&self) -> bool {
        matches!(self.op, RowOp::CrossEntropy(op) if !op.nll && !op.target_sums && !op.teacher)
            && !self.slots.has(Slot::Direction)
            && self.place != ResultPlace::None
            && self.slots.has(Slot::Targets)
    }

    /// Whether the result is probabilities.
    pub(super) fn gives_probs(&self) -> bool {
        self.op
            == RowOp::Softmax {
                log: false,
                lse_grad: false,
            }
    }

    /// Whether differences of logits have to be computed in two numbers, because rounded to one they might not be exact.
    pub(super) fn has_exact_diff(&self) -> bool {
        let is_changed =
            self.adjust.is_adjusted || self.slots.has(Slot::Sink) || self.sample.temperature || self.sample.edits;
        self.storage.logits == Dtype::F32 || is_changed || self.stats == RowStatsNeed::SavedLse
    }

    /// Whether it needs no statistics.
    pub(super) fn is_without_spans(&self) -> bool {
        matches!(self.op, RowOp::Sample(SampleStep::Edits | SampleStep::Summary))
    }

    /// Whether it is a round of a filter's search, which other shards take part in; the first classes are looked for here only.
    pub(crate) fn is_round(&self) -> bool {
        let is_filter = self.op == RowOp::Sample(SampleStep::Filter) && !self.sample.is_top;
        is_filter && self.stats == RowStatsNeed::Shard
    }

    /// Whether drivers take long to compile it.
    pub(crate) fn compiles_slowly(&self) -> bool {
        self.has_more_sums() || self.adjust.is_adjusted
    }

    /// Whether its first pass, over a split row, finds what the second writes to a slot.
    pub(super) fn first_pass_finds(&self, slot: Slot) -> bool {
        slot == Slot::Argmax
    }

    /// Whether the first pass over a split row binds `slot`.
    pub(crate) fn first_pass_reads(&self, slot: Slot) -> bool {
        match slot {
            Slot::RowTable
            | Slot::Scratch
            | Slot::SoftTargets
            | Slot::SoftcapLogits
            | Slot::UpstreamMatrix
            | Slot::Direction => true,
            Slot::Mask | Slot::Bias | Slot::RowScale => self.adjust.is_adjusted,
            Slot::Targets => self.has_shard_target(),
            Slot::Weights => matches!(self.op, RowOp::CrossEntropy(op) if op.target_sums),
            _ => false,
        }
    }
}

/// What a mean is divided by; the shaders' `NORMALIZER` constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum NormalizerKind {
    /// There is no mean.
    None = 0,
    /// The number of targets that count, or the sum of their weights.
    Counted = 1,
    /// `Params::normalizer`.
    Number = 2,
    /// The number in a buffer.
    Buffer = 3,
    /// What the pass before the rows left in the summary.
    Summary = 4,
}

/// A pass over one word or two of each row, before the kernel of the rows or after it: `shaders/loss/reduce.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct LossPass {
    /// Whether a row's target is a class, and whether classes and rows have weights.
    pub(crate) has_targets: bool,
    pub(crate) has_weights: bool,
    pub(crate) has_row_weights: bool,
    pub(crate) counts_targets: bool,
    pub(crate) counts_correct: bool,
    pub(crate) sums_losses: bool,
    pub(crate) sums_z_losses: bool,
    /// The weights of the targets' classes times those of the rows.
    pub(crate) sums_weights: bool,
    /// The weights of the rows, where they are not summed so.
    pub(crate) sums_row_weights: bool,
    /// Whether each row has a number of classes of its own, which its target is compared with.
    pub(crate) row_classes: bool,
}

impl LossPass {
    /// Whether it reads anything of the rows.
    pub(crate) fn reads_rows(&self) -> bool {
        self.sums_losses || self.sums_z_losses || self.is_about_targets()
    }

    /// Whether it reads what the caller gives of the rows.
    fn is_about_targets(&self) -> bool {
        self.counts_targets || self.counts_correct || self.sums_weights || self.sums_row_weights
    }

    pub(crate) fn reads_targets(&self) -> bool {
        self.has_targets && self.is_about_targets()
    }

    pub(crate) fn reads_weights(&self) -> bool {
        self.has_weights && self.sums_weights
    }

    pub(crate) fn reads_row_weights(&self) -> bool {
        self.has_row_weights && self.is_about_targets()
    }

    /// Words of a partial result: `PARTIAL_WORDS` in shaders/loss/reduce.wgsl.
    pub(crate) fn partial_words(&self) -> usize {
        if self.sums_row_weights { 9 } else { 8 }
    }
}

/// The last step of such a pass, which writes the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FinalStep {
    pub(crate) normalizer: NormalizerKind,
    /// Whether no pass has written the summary before.
    pub(crate) writes_all: bool,
    /// Whether it finds what the gradient is multiplied by.
    pub(crate) writes_scale: bool,
    /// Whether the losses are divided by the denominators.
    pub(crate) is_mean: bool,
}
