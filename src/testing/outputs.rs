//! All outputs of a loss at once.

use super::subject::{Subject, Verdict};
use crate::dtype::Element;
use crate::ops::cross_entropy::CrossEntropyOutput;

impl Subject<'_> {
    /// Checks that both have the same outputs, with the same bits.
    ///
    /// # Errors
    /// The first element of the first output that differs.
    pub fn same_outputs<T: Element>(&self, got: &CrossEntropyOutput<T>, expected: &CrossEntropyOutput<T>) -> Verdict {
        let one = |value: &Option<f32>| value.map(|value| vec![value]);
        self.optional_bits("loss", one(&got.loss).as_deref(), one(&expected.loss).as_deref())?;
        self.optional_bits("z-loss", one(&got.z_loss).as_deref(), one(&expected.z_loss).as_deref())?;
        for (output, got, expected) in [
            ("row losses", &got.row_losses, &expected.row_losses),
            ("row z-losses", &got.row_z_losses, &expected.row_z_losses),
            ("lse", &got.lse, &expected.lse),
            ("log_prob", &got.log_prob, &expected.log_prob),
            ("entropy", &got.entropy, &expected.entropy),
        ] {
            self.optional_bits(output, got.as_deref(), expected.as_deref())?;
        }
        self.optional_bits("gradient", got.gradient.as_deref(), expected.gradient.as_deref())?;
        self.equal(
            "whether there is argmax",
            &got.argmax.is_some(),
            &expected.argmax.is_some(),
        )?;
        self.each(
            "argmax",
            got.argmax.as_deref().unwrap_or_default(),
            expected.argmax.as_deref().unwrap_or_default(),
        )?;
        self.equal("correct", &got.correct, &expected.correct)?;
        self.equal("counted", &got.counted, &expected.counted)
    }
}
