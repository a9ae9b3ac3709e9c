//! [`RowOutputs`]: what a loss gives for each row, listed once.

use crate::shader::Slot;

/// One of each: whether it is wanted, its buffer, its numbers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RowOutputs<T> {
    pub(crate) row_losses: T,
    pub(crate) row_z_losses: T,
    pub(crate) lse: T,
    pub(crate) log_prob: T,
    pub(crate) entropy: T,
    pub(crate) argmax: T,
}

impl<T> RowOutputs<T> {
    /// Each with its slot and the name of its option.
    pub(crate) fn named(self) -> [(Slot, &'static str, T); 6] {
        [
            (Slot::Loss, "row_losses", self.row_losses),
            (Slot::RowZLoss, "row_z_losses", self.row_z_losses),
            (Slot::Lse, "lse", self.lse),
            (Slot::LogProb, "log_prob", self.log_prob),
            (Slot::Entropy, "entropy", self.entropy),
            (Slot::Argmax, "argmax", self.argmax),
        ]
    }

    /// What `make` makes of each, given the name of its option.
    pub(crate) fn try_map<U, E>(self, make: impl Fn(&'static str, T) -> Result<U, E>) -> Result<RowOutputs<U>, E> {
        let [row_losses, row_z_losses, lse, log_prob, entropy, argmax] = self.named();
        let made = |(_, name, value)| make(name, value);
        Ok(RowOutputs {
            row_losses: made(row_losses)?,
            row_z_losses: made(row_z_losses)?,
            lse: made(lse)?,
            log_prob: made(log_prob)?,
            entropy: made(entropy)?,
            argmax: made(argmax)?,
        })
    }

    pub(crate) fn map<U>(self, make: impl Fn(T) -> U) -> RowOutputs<U> {
        RowOutputs {
            row_losses: make(self.row_losses),
            row_z_losses: make(self.row_z_losses),
            lse: make(self.lse),
            log_prob: make(self.log_prob),
            entropy: make(self.entropy),
            argmax: make(self.argmax),
        }
    }

    pub(crate) fn as_ref(&self) -> RowOutputs<&T> {
        RowOutputs {
            row_losses: &self.row_losses,
            row_z_losses: &self.row_z_losses,
            lse: &self.lse,
            log_prob: &self.log_prob,
            entropy: &self.entropy,
            argmax: &self.argmax,
        }
    }
}
