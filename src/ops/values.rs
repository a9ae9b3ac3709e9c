//! Numbers that an option needs: kept with the kernel, or in one of the caller's buffers.

use crate::dispatch::{Extent, Operand, Slice};
use crate::error::{EncodeError, RunError, check_length};
use crate::gpu::Gpu;
use crate::shader::Slot;
use std::sync::Arc;

/// Numbers that an option needs, f32.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Kept with the kernel, uploaded once.
    Host(Arc<[f32]>),
    /// In a buffer that the caller hands to `encode`. Calls that take host slices refuse it.
    Buffer,
}

impl<V: Into<Arc<[f32]>>> From<V> for Values {
    fn from(values: V) -> Self {
        Self::Host(values.into())
    }
}

/// The error of a call that takes host slices, where an option asks for a buffer.
pub(crate) const NO_BUFFER: RunError = RunError::NeedsBuffer {
    option: "Values::Buffer",
    instead: "Values::Host",
};

/// The [`Values`] of an option in their slot: kept here, or given by the caller.
#[derive(Debug, Clone)]
pub(crate) struct OptionBuffer {
    slot: Slot,
    name: &'static str,
    extent: Extent,
    own: Option<wgpu::Buffer>,
}

impl OptionBuffer {
    /// `count` values, which are uploaded now if the option holds them on the host.
    pub(crate) fn new(
        gpu: &Gpu,
        slot: Slot,
        name: &'static str,
        extent: Extent,
        count: usize,
        values: &Values,
    ) -> Result<Self, EncodeError> {
        let own = match values {
            Values::Buffer => None,
            Values::Host(values) => {
                check_length(name, count, values.len())?;
                Some(gpu.buffer_of(name, bytemuck::cast_slice(values), wgpu::BufferUsages::STORAGE)?)
            }
        };
        Ok(Self {
            slot,
            name,
            extent,
            own,
        })
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    fn operand<'a>(&'a self, slice: Option<Slice<'a>>) -> Result<Operand<'a>, EncodeError> {
        let slice = match (&self.own, slice) {
            (Some(own), None) => own.slice(..),
            (None, Some(slice)) => slice,
            (None, None) => {
                return Err(EncodeError::MissingBuffer {
                    buffer: self.name,
                    option: "Values::Buffer",
                });
            }
            (Some(_), Some(_)) => {
                return Err(EncodeError::UnusedBuffer {
                    buffer: self.name,
                    option: "Values::Host",
                });
            }
        };
        Ok(Operand::read(self.slot, self.name, slice, self.extent))
    }
}

/// The operand of an option's numbers, with the caller's buffer if there is one.
pub(crate) fn option_operand<'a>(
    numbers: &'a Option<OptionBuffer>,
    name: &'static str,
    slice: Option<Slice<'a>>,
) -> Result<Option<Operand<'a>>, EncodeError> {
    match (numbers, slice) {
        (Some(numbers), slice) => numbers.operand(slice).map(Some),
        (None, None) => Ok(None),
        (None, Some(_)) => Err(EncodeError::UnusedBuffer {
            buffer: name,
            option: "its option, which is off,",
        }),
    }
}

/// The numbers that have a normal reciprocal: drivers may take others for 0 or infinite.
pub(crate) const INVERTIBLE: std::ops::RangeInclusive<f32> = f32::MIN_POSITIVE..=8.507_059e37;

pub(crate) fn check_number(
    option: &'static str,
    value: f32,
    must: &'static str,
    is_good: bool,
) -> Result<(), EncodeError> {
    if is_good && value.is_finite() {
        return Ok(());
    }
    Err(EncodeError::BadNumber {
        option,
        value: value.to_string(),
        must,
    })
}

/// Checks the numbers of an option that are on the host.
pub(crate) fn check_elements(
    option: &'static str,
    values: Option<&Values>,
    must: &'static str,
    is_good: impl Fn(f32) -> bool,
) -> Result<(), EncodeError> {
    let Some(Values::Host(values)) = values else {
        return Ok(());
    };
    match values.iter().position(|&value| !is_good(value)) {
        None => Ok(()),
        Some(index) => Err(EncodeError::BadElement {
            option,
            index,
            value: values[index].to_string(),
            must,
        }),
    }
}

pub(crate) fn check_finite(option: &'static str, values: Option<&Values>) -> Result<(), EncodeError> {
    check_elements(option, values, "finite", f32::is_finite)
}
