//! The buffers that a kernel is bound to, each in its slot, checked, and cut to the part of a batch that a dispatch
//! processes.

use super::partition::Part;
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::rows::ELEMENT_BYTES;
use crate::shader::Slot;

/// The part of a device buffer that is bound: any `buffer.slice(..)`.
pub type Slice<'a> = wgpu::BufferSlice<'a>;

/// How many elements a buffer has, and which of them a part of the rows needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Elements laid out as the logits are, each of this many bytes.
    Matrix(u64),
    /// A word for each row.
    Row,
    /// This many words for each row.
    RowWords(usize),
    /// This many words for each group of so many rows.
    GroupWords { group: usize, words: usize },
    /// This many words, the same for every part.
    Words(usize),
}

impl Extent {
    /// The elements for so many rows of what is not laid out as the logits are.
    pub(crate) fn elements(self, rows: usize) -> usize {
        match self {
            Self::Matrix(_) => 0,
            Self::Row => rows,
            Self::RowWords(words) => rows.saturating_mul(words),
            Self::GroupWords { group, words } => (rows / group).saturating_mul(words),
            Self::Words(words) => words,
        }
    }

    pub(crate) fn element_bytes(self) -> u64 {
        match self {
            Self::Matrix(bytes) => bytes,
            Self::Row | Self::RowWords(_) | Self::GroupWords { .. } | Self::Words(_) => ELEMENT_BYTES,
        }
    }
}

/// A buffer in its slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    pub(crate) slot: Slot,
    pub(crate) name: &'static str,
    pub(crate) slice: Slice<'a>,
    pub(crate) extent: Extent,
    pub(crate) is_written: bool,
}

impl<'a> Operand<'a> {
    pub(crate) fn read(slot: Slot, name: &'static str, slice: Slice<'a>, extent: Extent) -> Self {
        Self {
            slot,
            name,
            slice,
            extent,
            is_written: false,
        }
    }

    pub(crate) fn written(slot: Slot, name: &'static str, slice: Slice<'a>, extent: Extent) -> Self {
        Self {
            is_written: true,
            ..Self::read(slot, name, slice, extent)
        }
    }

    /// The binding for `part`, whose rows are counted from row `first_row` of the whole batch. A buffer with a word for
    /// each row holds those of the whole batch; a matrix begins with row `first_row`.
    pub(crate) fn window(&self, gpu: &Gpu, part: &Part, first_row: usize) -> (wgpu::BufferBinding<'a>, u32) {
        let (first, elements) = match self.extent {
            Extent::Matrix(_) => (part.first_element, part.elements),
            Extent::Row => (first_row + part.first_row, part.rows),
            Extent::RowWords(words) => ((first_row + part.first_row) * words, part.rows * words),
            Extent::GroupWords { group, words } => {
                ((first_row + part.first_row) / group * words, part.rows / group * words)
            }
            Extent::Words(words) => (0, words),
        };
        window(gpu, self.slice, first, elements, self.extent.element_bytes())
    }

    /// Checks the buffer's size, usage and offset for a batch of `rows` rows and `elements` elements.
    pub(crate) fn check(&self, rows: usize, elements: usize) -> Result<(), EncodeError> {
        let count = match self.extent {
            Extent::Matrix(_) => elements,
            by_row => by_row.elements(rows),
        };
        check(self.name, self.slice, count, self.extent.element_bytes())
    }
}

/// The bytes of the widest load.
const VEC4_BYTES: u64 = 16;

/// Binds elements `first..first + elements` of a slice, from the last aligned byte before them; also returns at which
/// element of the binding they begin. Where there are none, as of empty rows, the first of the slice are bound, since
/// a binding has at least what one load takes.
pub(crate) fn window<'a>(
    gpu: &Gpu,
    slice: Slice<'a>,
    first: usize,
    elements: usize,
    bytes: u64,
) -> (wgpu::BufferBinding<'a>, u32) {
    let first = if elements == 0 { 0 } else { first };
    let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
    let start = slice.offset() + first as u64 * bytes;
    let offset = start / alignment * alignment;
    // Bindings are whole words; 16-bit kernels leave the other half of a last word as it is.
    let size = match elements {
        0 => VEC4_BYTES.min(slice.buffer().size() - offset),
        _ => (start - offset + elements as u64 * bytes).next_multiple_of(4),
    };
    let binding = wgpu::BufferBinding {
        buffer: slice.buffer(),
        offset,
        size: wgpu::BufferSize::new(size),
    };
    (binding, ((start - offset) / bytes) as u32)
}

/// Checks a buffer that the caller binds: its size, usage and offset.
pub(crate) fn check(name: &'static str, slice: Slice<'_>, elements: usize, bytes: u64) -> Result<(), EncodeError> {
    let needed = elements as u64 * bytes;
    let too_small = |needed| EncodeError::BufferTooSmall {
        buffer: name,
        needed,
        bound: slice.size(),
    };
    if slice.size() < needed {
        return Err(too_small(needed));
    }
    let end = slice.offset() + needed;
    if end.next_multiple_of(4) > slice.buffer().size() {
        return Err(too_small(needed + end.next_multiple_of(4) - end));
    }
    if !slice.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
        return Err(EncodeError::MissingUsage {
            buffer: name,
            usage: "STORAGE",
        });
    }
    if !slice.offset().is_multiple_of(bytes) {
        return Err(EncodeError::MisalignedOffset {
            buffer: name,
            offset: slice.offset(),
            alignment: bytes,
        });
    }
    Ok(())
}

/// Checks that no dispatch binds a buffer both to read and to write, which WebGPU forbids even for separate parts of
/// it, unless all are bound to be written; and that what is written overlaps nothing else once offsets are aligned.
pub(crate) fn check_apart(gpu: &Gpu, operands: &[Operand<'_>]) -> Result<(), EncodeError> {
    let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
    let start = |slice: &Slice<'_>| slice.offset() / alignment * alignment;
    let end = |slice: &Slice<'_>| (slice.offset() + slice.size()).next_multiple_of(4);
    for (i, a) in operands.iter().enumerate().filter(|(_, a)| a.is_written) {
        for (j, b) in operands.iter().enumerate() {
            let meets = start(&a.slice) < end(&b.slice) && start(&b.slice) < end(&a.slice);
            let forbidden = match (b.is_written, gpu.shares_buffers()) {
                (true, _) => i < j && meets,
                (false, shares) => !shares || meets,
            };
            if forbidden && a.slice.buffer() == b.slice.buffer() {
                return Err(EncodeError::Overlap { a: a.name, b: b.name });
            }
        }
    }
    Ok(())
}

/// The buffer or slice of an option, which must be there if, and only if, the option asks for it.
pub(crate) fn require_iff<S>(
    is_required: bool,
    buffer: &'static str,
    option: &'static str,
    slice: Option<S>,
) -> Result<Option<S>, EncodeError> {
    match (slice, is_required) {
        (None, true) => Err(EncodeError::MissingBuffer { buffer, option }),
        (Some(_), false) => Err(EncodeError::UnusedBuffer { buffer, option }),
        (slice, _) => Ok(slice),
    }
}
