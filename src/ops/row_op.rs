//! What the operations on rows share.

use crate::dispatch::{Extent, Operand, Slice, require_iff};
use crate::dtype::Storage;
use crate::error::EncodeError;
use crate::shader::{ResultPlace, RowSpec, Slot};

/// What a row of −∞ alone gives; the mathematics leaves it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum FullyMasked {
    /// NaN, as in PyTorch: softmax, log-softmax, lse, loss and gradient.
    #[default]
    Nan = 0,
    /// softmax 0; log-softmax and lse −∞; loss and gradient 0.
    Zeros = 1,
    /// As if all logits were equal: softmax 1/C; log-softmax and lse −ln C; loss ln C and gradient y − t.
    Uniform = 2,
}

/// Checks that a result that replaces the logits has their type.
pub(crate) fn check_in_place(in_place: bool, storage: Storage) -> Result<(), EncodeError> {
    if in_place && storage.logits != storage.result {
        return Err(EncodeError::Conflict {
            a: "a result in place",
            b: "storage of two types",
            why: "what replaces the logits has their type",
        });
    }
    Ok(())
}

/// The logits of a kernel that writes no result.
pub(crate) fn logits_operand<'a>(spec: &RowSpec, logits: Slice<'a>) -> Vec<Operand<'a>> {
    let matrix = Extent::Matrix(spec.storage.logits.bytes());
    vec![Operand::read(Slot::Logits, "logits", logits, matrix)]
}

/// The logits and the result of a kernel, apart or in place.
pub(crate) fn matrix_operands<'a>(
    spec: &RowSpec,
    logits: Slice<'a>,
    result: Option<Slice<'a>>,
) -> Result<Vec<Operand<'a>>, EncodeError> {
    let result = require_iff(spec.place == ResultPlace::Apart, "result", "a result apart", result)?;
    let (read, written) = (spec.storage.logits.bytes(), spec.storage.result.bytes());
    if spec.place == ResultPlace::InPlace {
        return Ok(vec![Operand::written(
            Slot::Result,
            "logits",
            logits,
            Extent::Matrix(read),
        )]);
    }
    let mut all = vec![Operand::read(Slot::Logits, "logits", logits, Extent::Matrix(read))];
    all.extend(result.map(|slice| Operand::written(Slot::Result, "result", slice, Extent::Matrix(written))));
    Ok(all)
}

/// What a Hessian is multiplied by.
pub(crate) fn direction_operand<'a>(
    spec: &RowSpec,
    direction: Option<Slice<'a>>,
) -> Result<Option<Operand<'a>>, EncodeError> {
    let is_needed = spec.slots.has(Slot::Direction);
    let direction = require_iff(is_needed, "direction", "hessian_vector", direction)?;
    let matrix = Extent::Matrix(spec.storage.logits.bytes());
    Ok(direction.map(|slice| Operand::read(Slot::Direction, "direction", slice, matrix)))
}
