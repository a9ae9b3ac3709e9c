//! The options of cross-entropy, its formulas, and which kernel they ask for.

use crate::dtype::Storage;
use crate::ops::adjust::{Adjust, Adjusted};
use crate::ops::loss::{EmptyMean, Gradient, LossSpec, Normalizer, Reduction, RowOutputs, Upstream};
use crate::ops::row_op::FullyMasked;
use crate::ops::values::Values;
use crate::ragged::RowLayout;
use crate::schedule::Schedule;
use crate::shader::{CrossEntropySpec, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot, Slots};

/// What the logits are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Input {
    /// Logits, of which the loss takes the log-softmax.
    #[default]
    Logits,
    /// Log-probabilities, as in PyTorch's `nll_loss`: `ℓ = −w_t x_t`, with gradient `−w_t [c = t]`.
    #[doc(alias = "nll_loss")]
    LogProbs,
}

/// What the targets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
pub enum Targets {
    /// A class index for each row.
    #[default]
    Indices,
    /// A probability for each class, laid out and stored as the logits are: "soft targets".
    Probabilities,
    /// A teacher's logits t, laid out and stored as the logits are, for distillation: the targets are `q = softmax(t / T)`, with the
    /// [`temperature`](CrossEntropy::temperature) T, and the loss is `KL(q ‖ softmax(a / T))`.
    #[doc(alias = "distillation")]
    TeacherLogits,
}

/// Options of cross-entropy.
///
/// With `m = max a`, `d = Σ exp(a_c − m)`, `lse = m + ln d`, `y_c = exp(a_c − m) / d`, weights w, label smoothing ε and
/// z-loss λ, where a is what [`Adjust`] makes of the logits:
///
/// - index targets: `ℓ = (1−ε) w_t (lse − a_t) + (ε/C) Σ_c w_c (lse − a_c) + λ lse²`,
///   gradient `((1−ε) w_t (y_c − [c = t]) + (ε/C)(y_c Σ w − w_c) + 2λ lse y_c) · da/dx`;
/// - soft targets: `ℓ = Σ_c w_c q'_c (lse − a_c) + λ lse²`, `q' = (1−ε) q + ε/C`,
///   gradient `(y_c Σ_k w_k q'_k − w_c q'_c + 2λ lse y_c) · da/dx`.
///
/// - soft targets with [`CrossEntropy::divergence`]: `ℓ = KL(q ‖ y) = Σ q (ln q − ln y) + λ lse²`, with the gradient of soft targets;
///   likewise from a teacher's logits ([`Targets::TeacherLogits`]), where nothing cancels however near the two are; of more than 1,024
///   classes the divergence K may be off by `6e-8 √(2K)` more than said below.
///
/// `lse − a_t` is computed as `ln d − (a_t − m)`, which loses no digits to a large offset common to all logits; and of d
/// the maxima are counted apart from the sum s of the others, so that neither a loss nor a gradient loses digits where a
/// row is all but certain: `ln d = log1p(s)` and, at a target that is the maximum, `y − 1 = −s / d`. Losses are within
/// 4 ULP of themselves, gradients within 6 ULP of their largest term. The gradient is that of the reduced loss, times
/// [`CrossEntropy::upstream`].
///
/// | row | loss | gradient |
/// |---|---|---|
/// | has a NaN or +∞ | NaN | NaN |
/// | some −∞, not the target | as if those classes were absent | 0 there |
/// | −∞ at the target, or where smoothing or a soft target gives weight | +∞, or −∞ by a negative weight | as for y = 0 |
/// | −∞ alone | [`FullyMasked`] | [`FullyMasked`] |
/// | target is `ignore_index`, or weight 0 in [`CrossEntropy::row_weights`] | 0, whatever the logits | 0 |
/// | target is no class | NaN, and counted in [`CrossEntropySummary`](crate::CrossEntropySummary) | NaN |
/// | soft target with a NaN | NaN | NaN |
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropy {
    /// Scale, bias, softcap and mask.
    pub adjust: Adjust,
    /// How logits and gradient are stored. The calls that take host slices use the slices' type instead.
    pub storage: Storage,
    /// Logits, or log-probabilities.
    pub input: Input,
    /// Class indices or probabilities. The calls that take host slices ignore it: their names say which.
    pub targets: Targets,
    /// A weight for each class: finite, or an error where they are on the host. Negative ones are computed with as they are. A mean
    /// over class indices, without a z-loss and where the losses of the rows are not asked for, may have weights of any size on the
    /// host: there `[1e38, 1e38, 1e38]` and `[1e-40, 1e-40, 1e-40]` give what `[1, 1, 1]` gives. A sum of weights that overflows f32 all
    /// the same makes the mean and its gradient NaN.
    pub weights: Option<Values>,
    /// A weight r for each row, also called sample weight: finite and at least 0, or an error where they are on the host. Loss and
    /// gradient of row i are multiplied by r_i; a mean divides by `Σ r_i w_t` over the rows that are not ignored (by `Σ r_i` with soft
    /// targets), its z-losses by `Σ r_i`. A row of weight 0 takes no part at all, whatever it holds, as if it were ignored.
    #[doc(alias = "sample_weight")]
    pub row_weights: Option<Values>,
    /// With soft targets q, the loss is the Kullback–Leibler divergence `KL(q ‖ y) = Σ q (ln q − ln y)`, which is cross-entropy less the
    /// entropy of q; 0 ln 0 is 0, and a q below 0 makes the loss NaN. Without class weights and label smoothing. With
    /// [`Targets::TeacherLogits`] it is anyway.
    #[doc(alias = "kl_div")]
    pub divergence: bool,
    /// T of [`Targets::TeacherLogits`], by which both logits are divided, as a product with 1/T rounded to f32: from 2⁻¹²⁶ to 2¹²⁶.
    /// With another one than 1, [`Adjust::scale`] must be 1, without bias and softcap, and a mask is added to what has been divided.
    pub temperature: f32,
    /// Whether the divergence from a teacher, and so its gradient, is multiplied by T², so that gradients at different temperatures
    /// have about the same size. T is then from 2⁻⁶³ to 2⁶³.
    pub times_squared_temperature: bool,
    /// ε: the share of the target that is spread evenly over all classes, 0 to 1.
    pub label_smoothing: f32,
    /// λ: what lse² is multiplied by before it is added to the loss; also called lse_square_scale. Rows' losses have it in them, so that a
    /// mean by weights of which most are far below 1 has the rounding of `λ lse²` over their mean.
    pub z_loss: f32,
    /// How the losses of the rows are reduced to one.
    pub reduction: Reduction,
    /// The mean's denominator.
    pub normalizer: Normalizer,
    /// Rows with this target take no part. It need not be a possible class.
    pub ignore_index: i64,
    /// What the mean over nothing gives: that over no rows, or with a denominator of 0.
    pub empty_mean: EmptyMean,
    /// What a row of −∞ alone gives.
    pub fully_masked: FullyMasked,
    /// Whether, and where, the gradient is computed.
    pub gradient: Gradient,
    /// The product of the loss's Hessian and a direction v takes the gradient's place, for those who train with the gradient's norm or
    /// take second derivatives: with the weight W of all targets and `t = Σ y v`,
    /// `W y_c (v_c − t) + 2λ y_c (lse (v_c − t) + t)`, times the square of the scale, and of the row's weight, the upstream gradient and
    /// the denominator as the gradient is. v is laid out and stored as the logits are. Without a softcap, `from_lse`,
    /// log-probabilities and [`FullyMasked::Uniform`]. Off by at most 2e-6 times the largest of `W |v_c|` of a row, of which `Σ e v` must
    /// not overflow.
    pub hessian_vector: bool,
    /// What the gradient is multiplied by.
    pub upstream: Upstream,
    /// The lse of each row that an earlier call left, for a backward pass alone, which gives the gradient and nothing
    /// else. Nothing is reduced again, except where soft targets, weights with label smoothing or
    /// [`FullyMasked::Uniform`] need it. The rounding of the lse becomes an error of the gradient.
    pub from_lse: Option<Values>,
    /// The loss of each row; with [`Reduction::None`] it is given anyway.
    pub row_losses: bool,
    /// The part `λ lse²` of each row's loss.
    pub row_z_losses: bool,
    /// `m + ln d` of each row.
    pub lse: bool,
    /// `ln y_t` of each row: 0 for ignored rows.
    pub log_prob: bool,
    /// `−Σ y ln y` of each row.
    pub entropy: bool,
    /// The first largest class of each row, or its first NaN.
    pub argmax: bool,
    /// How many rows have their target as argmax, and neither a NaN, nor +∞, nor −∞ alone.
    pub correct: bool,
    /// Native exp and log, sums and products that the driver may fuse, no second number for what rounding loses: fewer
    /// instructions where arithmetic is what a GPU is short of. The order of summation stays, so that a row's bits are
    /// still the same in every batch, plan and run on one adapter, but not on another. Errors are what the driver's
    /// functions make of them: [`Gpu::verify`](crate::Gpu::verify) measures them.
    pub fast: bool,
    /// A schedule to use instead of the best known one, to measure or to test it.
    pub schedule: Option<Schedule>,
}

impl Default for CrossEntropy {
    fn default() -> Self {
        Self {
            adjust: Adjust::default(),
            storage: Storage::default(),
            input: Input::default(),
            targets: Targets::default(),
            weights: None,
            row_weights: None,
            hessian_vector: false,
            divergence: false,
            temperature: 1.0,
            times_squared_temperature: false,
            label_smoothing: 0.0,
            z_loss: 0.0,
            reduction: Reduction::default(),
            normalizer: Normalizer::default(),
            ignore_index: -100,
            empty_mean: EmptyMean::default(),
            fully_masked: FullyMasked::default(),
            gradient: Gradient::default(),
            upstream: Upstream::default(),
            from_lse: None,
            row_losses: false,
            row_z_losses: false,
            lse: false,
            log_prob: false,
            entropy: false,
            argmax: false,
            correct: false,
            fast: false,
            schedule: None,
        }
    }
}

impl CrossEntropy {
    /// Whether every class has a target.
    pub(super) fn is_soft(&self) -> bool {
        self.targets != Targets::Indices
    }

    pub(super) fn has_teacher(&self) -> bool {
        self.targets == Targets::TeacherLogits
    }

    /// What the divergence from a teacher is multiplied by.
    pub(crate) fn divergence_scale(&self) -> f32 {
        match self.times_squared_temperature {
            true => self.temperature * self.temperature,
            false => 1.0,
        }
    }

    /// Rows, whose classes share the label smoothing.
    pub(super) fn of_rows(&self, layout: RowLayout) -> RowLayout {
        RowLayout {
            smoothing: self.label_smoothing,
            ..layout
        }
    }

    /// What the caller wants of each row.
    pub(super) fn outputs(&self) -> RowOutputs<bool> {
        RowOutputs {
            row_losses: self.row_losses || (self.reduction == Reduction::None && self.from_lse.is_none()),
            row_z_losses: self.row_z_losses,
            lse: self.lse,
            log_prob: self.log_prob,
            entropy: self.entropy,
            argmax: self.argmax,
        }
    }

    /// Whether there is a loss to reduce.
    pub(super) fn reduces(&self) -> bool {
        self.reduction != Reduction::None && self.from_lse.is_none()
    }

    pub(super) fn loss_spec(&self) -> LossSpec {
        LossSpec {
            soft_targets: self.is_soft(),
            class_weights: self.weights.is_some(),
            row_weights: self.row_weights.is_some(),
            z_loss: self.z_loss != 0.0,
            reduction: self.reduction,
            normalizer: self.normalizer,
            empty_mean: self.empty_mean,
            gradient: self.gradient != Gradient::None,
            reduces: self.reduces(),
            upstream: self.upstream.clone(),
            outputs: self.outputs(),
            correct: self.correct,
        }
    }

    pub(super) fn wants_argmax(&self) -> bool {
        self.argmax || self.correct
    }

    pub(super) fn row_stats_need(&self) -> RowStatsNeed {
        let target_by_class = self.is_soft() || (self.weights.is_some() && self.label_smoothing != 0.0);
        if self.input == Input::LogProbs && !self.wants_argmax() {
            RowStatsNeed::Nothing
        } else if self.from_lse.is_some() && !target_by_class && self.fully_masked != FullyMasked::Uniform {
            RowStatsNeed::SavedLse
        } else {
            RowStatsNeed::Sums
        }
    }

    /// The kernel of the rows, and which buffers it binds.
    pub(super) fn row_spec(&self, adjusted: &Adjusted) -> RowSpec {
        let stats = self.row_stats_need();
        let has_gradient = self.gradient != Gradient::None;
        let reduces = self.reduces();
        let has_z_loss = self.z_loss != 0.0;
        let outputs = RowOutputs {
            row_losses: self.outputs().row_losses || reduces,
            row_z_losses: self.row_z_losses || (reduces && has_z_loss),
            argmax: self.wants_argmax(),
            ..self.outputs()
        };
        let inputs = [
            (Slot::Logits, self.gradient != Gradient::InPlace),
            (Slot::Result, has_gradient),
            (Slot::Targets, !self.is_soft()),
            (Slot::SoftTargets, self.is_soft()),
            (Slot::Weights, self.weights.is_some()),
            (Slot::RowWeights, self.row_weights.is_some()),
            (Slot::Direction, self.hessian_vector),
            (Slot::SavedLse, stats == RowStatsNeed::SavedLse),
        ];
        let outputs = outputs.named().map(|(slot, _, is_bound)| (slot, is_bound));
        let bound: Slots = inputs.into_iter().chain(outputs).collect();
        let bound = bound.with(self.loss_spec().grad_slot());
        let target_sums = (self.is_soft() && !self.has_teacher()) || self.label_smoothing != 0.0;
        RowSpec {
            op: RowOp::CrossEntropy(CrossEntropySpec {
                nll: self.input == Input::LogProbs,
                target_weight: target_sums || self.weights.is_some(),
                target_sums,
                z_loss: has_z_loss,
                divergence: self.divergence || self.has_teacher(),
                teacher: self.has_teacher(),
                entropy: self.entropy,
                correct: self.correct,
            }),
            storage: self.storage,
            fast: self.fast,
            equal_rows: self.fully_masked == FullyMasked::Uniform,
            place: self.gradient.place(),
            stats,
            adjust: adjusted.spec,
            sample: SampleSpec::default(),
            slots: bound.with(adjusted.slots()),
        }
    }
}
