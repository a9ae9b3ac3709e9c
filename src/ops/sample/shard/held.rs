//! [`Held`]: an operand without the lifetime of its buffer.

use crate::dispatch::{Extent, Operand};
use crate::shader::Slot;

/// An operand that is kept from one exchange to the next.
pub(super) struct Held {
    slot: Slot,
    name: &'static str,
    buffer: wgpu::Buffer,
    bytes: std::ops::Range<u64>,
    extent: Extent,
}

impl Held {
    pub(super) fn of(operand: &Operand<'_>) -> Self {
        let slice = operand.slice;
        Self {
            slot: operand.slot,
            name: operand.name,
            buffer: slice.buffer().clone(),
            bytes: slice.offset()..slice.offset() + slice.size(),
            extent: operand.extent,
        }
    }

    pub(super) fn operand(&self) -> Operand<'_> {
        Operand::read(self.slot, self.name, self.buffer.slice(self.bytes.clone()), self.extent)
    }
}
