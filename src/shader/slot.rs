//! [`Slot`]: the buffers that kernels are bound to, by the number of their binding.

/// Slots that there can be: `Params` has an offset for each, and [`Slots`] a bit.
pub(crate) const SLOTS_MAX: usize = 52;

/// A binding. Its number is also the index of its offset in `Params::offsets`. The shaders have the same names and
/// numbers, mostly in `shaders/bindings.wgsl`; a test compares them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Slot {
    Logits = 1,
    Result = 2,
    Scratch = 3,
    Targets = 4,
    GradScale = 5,
    Loss = 6,
    Lse = 7,
    Argmax = 8,
    RowZLoss = 9,
    LogProb = 10,
    Entropy = 11,
    SoftTargets = 12,
    SoftcapLogits = 13,
    Mask = 14,
    Bias = 15,
    RowScale = 16,
    Weights = 17,
    SavedLse = 18,
    PosWeights = 19,
    UpstreamMatrix = 20,
    Summary = 21,
    Upstream = 22,
    Normalizer = 23,
    Partials = 24,
    NextPartials = 25,
    SampleParams = 26,
    Allowed = 27,
    Edits = 28,
    Maxima = 29,
    Edges = 30,
    Tokens = 31,
    History = 32,
    BiasClasses = 33,
    BiasValues = 34,
    Ranks = 35,
    Kept = 36,
    TopIds = 37,
    TopLogProbs = 38,
    KeptScratch = 39,
    SampleSummary = 40,
    DraftTokens = 41,
    DraftProbs = 42,
    Accepted = 43,
    Searches = 44,
    RowWeights = 46,
    Sink = 47,
    SinkGrad = 48,
    Direction = 49,
    RowTable = 45,
}

impl Slot {
    /// The slots that a kernel of rows may go without, with the shaders' flag for each.
    pub(crate) const OPTIONAL: &[(Self, &str)] = &[
        (Self::Targets, "HAS_TARGETS"),
        (Self::GradScale, "HAS_GRAD_SCALE"),
        (Self::Upstream, "HAS_UPSTREAM"),
        (Self::Loss, "HAS_LOSS"),
        (Self::Lse, "HAS_LSE"),
        (Self::Argmax, "HAS_ARGMAX"),
        (Self::RowZLoss, "HAS_ROW_Z_LOSS"),
        (Self::LogProb, "HAS_LOG_PROB"),
        (Self::Entropy, "HAS_ENTROPY"),
        (Self::SoftTargets, "HAS_SOFT_TARGETS"),
        (Self::SoftcapLogits, "HAS_SOFTCAP_LOGITS"),
        (Self::UpstreamMatrix, "HAS_UPSTREAM_MATRIX"),
        (Self::Direction, "HAS_DIRECTION"),
        (Self::Mask, "HAS_MASK"),
        (Self::Bias, "HAS_BIAS"),
        (Self::RowScale, "HAS_ROW_SCALE"),
        (Self::Weights, "HAS_WEIGHTS"),
        (Self::RowWeights, "HAS_ROW_WEIGHTS"),
        (Self::SavedLse, "HAS_SAVED_LSE"),
        (Self::Sink, "HAS_SINK"),
        (Self::SinkGrad, "HAS_SINK_GRAD"),
        (Self::PosWeights, "HAS_POS_WEIGHTS"),
        (Self::History, "HAS_HISTORY"),
        (Self::BiasClasses, "HAS_BIAS_CLASSES"),
        (Self::Ranks, "HAS_RANKS"),
        (Self::Kept, "HAS_KEPT"),
        (Self::TopIds, "HAS_TOP"),
        (Self::DraftProbs, "HAS_DRAFT_PROBS"),
        (Self::RowTable, "IS_RAGGED"),
    ];

    /// Whether what it holds is laid out, and stored, as the logits are.
    pub(crate) fn is_laid_out_as_logits(self) -> bool {
        matches!(
            self,
            Self::Logits
                | Self::Result
                | Self::SoftTargets
                | Self::SoftcapLogits
                | Self::UpstreamMatrix
                | Self::Direction
        )
    }
}

/// A set of slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Slots(u64);

impl Slots {
    #[cfg(test)]
    pub(super) const NONE: Self = Self(0);

    pub(crate) fn has(self, slot: Slot) -> bool {
        self.0 & (1 << slot as u64) != 0
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn with(self, more: impl IntoIterator<Item = Slot>) -> Self {
        Self(self.0 | Self::from_iter(more).0)
    }
}

/// The slots that are bound.
impl FromIterator<(Slot, bool)> for Slots {
    fn from_iter<I: IntoIterator<Item = (Slot, bool)>>(slots: I) -> Self {
        let bound = slots.into_iter().filter(|(_, is_bound)| *is_bound);
        bound.map(|(slot, _)| slot).collect()
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        Self(slots.into_iter().fold(0, |all, slot| all | 1 << slot as u64))
    }
}
