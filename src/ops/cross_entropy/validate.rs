//! Checks cross-entropy for options that contradict each other and for numbers out of range.

use super::options::{CrossEntropy, Input};
use crate::error::EncodeError;
use crate::ops::adjust::{Adjust, Scale};
use crate::ops::loss::Gradient;
use crate::ops::row_op::{FullyMasked, check_in_place};
use crate::ops::values::{INVERTIBLE, Values, check_elements, check_finite, check_number};

/// The options that may not go with another one: the name of each, whether it is on, and why it may not.
type Others = [(&'static str, bool, &'static str)];

fn reject(a: &'static str, is_on: bool, others: &Others) -> Result<(), EncodeError> {
    match others.iter().find(|(_, other_is_on, _)| is_on && *other_is_on) {
        Some(&(b, _, why)) => Err(EncodeError::Conflict { a, b, why }),
        None => Ok(()),
    }
}

/// Checks the weights of the rows that are on the host.
fn check_row_weights(weights: Option<&Values>) -> Result<(), EncodeError> {
    let is_weight = |weight: f32| weight.is_finite() && weight >= 0.0;
    check_elements("row_weights", weights, "finite and at least 0", is_weight)
}

impl CrossEntropy {
    /// Checks the options that [`LossSpec`](crate::ops::loss::LossSpec) does not check.
    pub(crate) fn validate(&self) -> Result<(), EncodeError> {
        check_in_place(self.gradient == Gradient::InPlace, self.storage)?;
        let epsilon = self.label_smoothing;
        let is_share = (0.0..=1.0).contains(&epsilon);
        check_number("label_smoothing", epsilon, "from 0 to 1", is_share)?;
        check_number("z_loss", self.z_loss, "finite", true)?;
        check_finite("weights", self.weights.as_ref())?;
        check_row_weights(self.row_weights.as_ref())?;
        self.validate_log_probs()?;
        self.validate_soft_targets()?;
        self.validate_divergence()?;
        self.validate_hessian()?;
        self.validate_from_lse()
    }

    fn validate_log_probs(&self) -> Result<(), EncodeError> {
        const NO_LSE: &str = "log-probabilities have an lse of 0";
        const FOR_LOGITS: &str = "scale, bias, softcap and mask are for logits";
        const EVERY_CLASS: &str = "smoothing needs every class's log-softmax";
        let is_adjusted = self.adjust != Adjust::default();
        reject(
            "input: LogProbs",
            self.input == Input::LogProbs,
            &[
                ("label_smoothing", self.label_smoothing != 0.0, EVERY_CLASS),
                ("z_loss", self.z_loss != 0.0, NO_LSE),
                ("adjust", is_adjusted, FOR_LOGITS),
                ("soft targets", self.is_soft(), "nll_loss takes class indices"),
                ("lse", self.lse, NO_LSE),
                ("row_z_losses", self.row_z_losses, NO_LSE),
                ("entropy", self.entropy, "the entropy is taken of logits"),
                ("from_lse", self.from_lse.is_some(), NO_LSE),
            ],
        )
    }

    fn validate_soft_targets(&self) -> Result<(), EncodeError> {
        const NO_CLASS: &str = "there is no target class to be right about";
        reject(
            "soft targets",
            self.is_soft(),
            &[
                ("correct", self.correct, NO_CLASS),
                ("log_prob", self.log_prob, "there is no one target"),
            ],
        )
    }

    fn validate_divergence(&self) -> Result<(), EncodeError> {
        const OF_PROBABILITIES: &str = "a divergence is that of two distributions";
        const NO_UNIFORM: &str = "a row of -inf alone is NaN or left out";
        const BOTH_LOGITS: &str = "the temperature is that of a teacher's logits and of these";
        const AFTER_ALL: &str = "a temperature divides what comes of them";
        let t = self.temperature;
        check_number("temperature", t, "from 2^-126 to 2^126", INVERTIBLE.contains(&t))?;
        let is_squared = self.times_squared_temperature;
        let has_square = !is_squared || INVERTIBLE.contains(&(t * t));
        check_number("temperature", t, "from 2^-63 to 2^63 where it is squared", has_square)?;
        let is_scaled = matches!(self.adjust.scale, Scale::PerRow(_)) || self.adjust.scale != Scale::default();
        reject(
            "a temperature",
            t != 1.0,
            &[
                ("targets that are no TeacherLogits", !self.has_teacher(), BOTH_LOGITS),
                ("adjust.scale", is_scaled, "use one of them"),
                ("bias", self.adjust.bias.is_some(), AFTER_ALL),
                ("softcap", self.adjust.softcap.is_some(), AFTER_ALL),
            ],
        )?;
        let is_on = self.divergence || self.has_teacher();
        let is_uniform = self.fully_masked == FullyMasked::Uniform;
        reject(
            "a divergence",
            is_on,
            &[
                ("targets: Indices", !self.is_soft(), OF_PROBABILITIES),
                ("weights", self.weights.is_some(), OF_PROBABILITIES),
                ("label_smoothing", self.label_smoothing != 0.0, OF_PROBABILITIES),
                ("from_lse", self.from_lse.is_some(), "it needs the sums of both"),
                ("fully_masked: Uniform", is_uniform, NO_UNIFORM),
            ],
        )
    }

    fn validate_hessian(&self) -> Result<(), EncodeError> {
        const SUMS: &str = "it needs the sums of the rows";
        reject(
            "hessian_vector",
            self.hessian_vector,
            &[
                (
                    "gradient: None",
                    self.gradient == Gradient::None,
                    "it takes the gradient's place",
                ),
                (
                    "softcap",
                    self.adjust.softcap.is_some(),
                    "a softcap has a second derivative of its own",
                ),
                (
                    "input: LogProbs",
                    self.input == Input::LogProbs,
                    "the loss of log-probabilities is linear",
                ),
                ("from_lse", self.from_lse.is_some(), SUMS),
                ("fully_masked: Uniform", self.fully_masked == FullyMasked::Uniform, SUMS),
            ],
        )
    }

    fn validate_from_lse(&self) -> Result<(), EncodeError> {
        const GRADIENT_ALONE: &str = "it computes the gradient alone";
        let outputs = self.row_losses || self.row_z_losses || self.lse || self.log_prob || self.entropy;
        reject(
            "from_lse",
            self.from_lse.is_some(),
            &[
                ("the losses, lse, log_prob or entropy of rows", outputs, GRADIENT_ALONE),
                ("argmax or correct", self.wants_argmax(), GRADIENT_ALONE),
                ("gradient: None", self.gradient == Gradient::None, GRADIENT_ALONE),
            ],
        )
    }
}
