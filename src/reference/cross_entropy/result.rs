//! What the reference of cross-entropy gives.

#[cfg(doc)]
use crate::ops::cross_entropy::Input;
#[cfg(doc)]
use crate::ops::loss::Reduction;

/// The result of [`cross_entropy`](crate::reference::cross_entropy) and [`cross_entropy_soft`](crate::reference::cross_entropy_soft).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropyReference {
    /// The reduced loss; 0 with [`Reduction::None`].
    pub loss: f64,
    /// The part `λ lse²` of the rows' losses, summed whatever the reduction.
    pub z_loss: f64,
    /// The loss of each row.
    pub row_losses: Vec<f64>,
    /// The part `λ lse²` of each row's loss.
    pub row_z_losses: Vec<f64>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Vec<f64>,
    /// `m + ln d` of each row.
    pub lse: Vec<f64>,
    /// `ln y_t` of each row, or its logit with [`Input::LogProbs`]: 0 for ignored rows and with soft targets, NaN for a
    /// target out of range.
    pub log_probs: Vec<f64>,
    /// `−Σ y ln y` of each row.
    pub entropies: Vec<f64>,
    /// The first largest class of each row, or its first NaN.
    pub argmax: Vec<usize>,
    /// Rows whose argmax is their target, without a NaN or +∞, and not of −∞ alone; 0 with soft targets.
    pub correct: usize,
    /// Rows whose target is a class and not ignored, with soft targets all of them; but none of weight 0.
    pub counted: usize,
    /// What an f32's errors are in proportion to.
    #[doc(hidden)]
    pub scales: LossScales,
}

/// What the errors of a loss in f32 are in proportion to, where that is not the result itself.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LossScales {
    /// `ln d` of each row: NaN for rows of which there is none.
    pub ln_sums: Vec<f64>,
    /// The size of the largest term of each element's gradient, or of that itself: of what the target's own weight gives the
    /// target, of the class's own weight by label smoothing or soft targets, and of all that is in proportion to y, of the
    /// loss, of the z-loss and of both.
    pub gradient_terms: Vec<f64>,
    /// The size of all that each element's gradient has in proportion to its probability.
    pub y_terms: Vec<f64>,
    /// What the z-losses of a mean are divided by, and 1 for other reductions.
    pub z_denominator: f64,
}

impl CrossEntropyReference {
    /// Of so many elements, before anything is known of the rows.
    pub(super) fn of(elements: usize, counted: usize, z_denominator: f64) -> Self {
        Self {
            gradient: vec![0.0; elements],
            scales: LossScales {
                gradient_terms: vec![0.0; elements],
                y_terms: vec![0.0; elements],
                z_denominator,
                ..LossScales::default()
            },
            counted,
            ..Self::default()
        }
    }
}
