//! [`RowOutputs`]: what a loss gives for each row, listed once.

use crate::shader::Slot;

macro_rules! row_outputs {
    ($($field:ident: $slot:ident),*) => {
        /// A value for each output of a row: whether it is wanted, its buffer, or its numbers.
        #[derive(Debug, Clone, Copy, Default)]
        pub(crate) struct RowOutputs<T> {
            $(pub(crate) $field: T,)*
        }

        impl<T> RowOutputs<T> {
            /// Each with its slot and the name of its option.
            pub(crate) fn named(self) -> impl Iterator<Item = (Slot, &'static str, T)> {
                [$((Slot::$slot, stringify!($field), self.$field)),*].into_iter()
            }

            /// What `make` makes of each, given the name of its option.
            pub(crate) fn try_map<U, E>(
                self,
                make: impl Fn(&'static str, T) -> Result<U, E>,
            ) -> Result<RowOutputs<U>, E> {
                Ok(RowOutputs { $($field: make(stringify!($field), self.$field)?),* })
            }

            pub(crate) fn map<U>(self, make: impl Fn(T) -> U) -> RowOutputs<U> {
                RowOutputs { $($field: make(self.$field)),* }
            }

            pub(crate) fn as_ref(&self) -> RowOutputs<&T> {
                RowOutputs { $($field: &self.$field),* }
            }
        }
    };
}

// The fields of the options, the buffers and the results of a loss have these names; beside each is the slot of its
// buffer.
row_outputs!(
    row_losses: Loss,
    row_z_losses: RowZLoss,
    lse: Lse,
    log_prob: LogProb,
    entropy: Entropy,
    argmax: Argmax
);
