//! What a kernel is bound to: buffers by their [`Slot`], checked and cut alike.

use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::kernel::Slice;
use crate::rows::{ELEMENT_BYTES, Part};

/// A binding; its number is also where `Params::offsets` has its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub(crate) enum Slot {
    Logits = 1,
    Result = 2,
    Scratch = 3,
    Targets = 4,
    Factor = 5,
    Loss = 6,
    Lse = 7,
    Argmax = 8,
    ZLoss = 9,
    LogProb = 10,
    Entropy = 11,
    Other = 12,
    Third = 13,
    Mask = 14,
    Bias = 15,
    RowScale = 16,
    Weights = 17,
    SavedLse = 18,
    PosWeights = 19,
}

/// Some slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub(crate) struct Slots(u32);

impl Slots {
    pub(crate) fn has(self, slot: Slot) -> bool {
        self.0 & (1 << slot as u32) != 0
    }

    pub(crate) fn len(self) -> u32 {
        self.0.count_ones()
    }

    pub(crate) fn with(self, more: impl IntoIterator<Item = Slot>) -> Self {
        Self(self.0 | Self::from_iter(more).0)
    }
}

/// Those that are bound.
impl FromIterator<(Slot, bool)> for Slots {
    fn from_iter<I: IntoIterator<Item = (Slot, bool)>>(slots: I) -> Self {
        let bound = slots.into_iter().filter(|(_, is_bound)| *is_bound);
        bound.map(|(slot, _)| slot).collect()
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        Self(slots.into_iter().fold(0, |all, slot| all | 1 << slot as u32))
    }
}

/// How many elements a buffer has, and which of them a part of the rows needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Laid out as the logits are, of so many bytes each.
    Matrix(u64),
    /// A word for each row.
    Row,
    /// So many words, for every part the same.
    Words(usize),
}

impl Extent {
    pub(crate) fn element_bytes(self) -> u64 {
        match self {
            Self::Matrix(bytes) => bytes,
            Self::Row | Self::Words(_) => ELEMENT_BYTES,
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

    /// What of it is bound for a part. Rows are counted from `first_row` of the whole batch, elements from the part's own.
    pub(crate) fn window(&self, gpu: &Gpu, part: &Part, first_row: usize) -> (wgpu::BufferBinding<'a>, u32) {
        let (first, elements) = match self.extent {
            Extent::Matrix(_) => (part.first_element, part.elements),
            Extent::Row => (first_row + part.first_row, part.rows),
            Extent::Words(words) => (0, words),
        };
        window(gpu, self.slice, first, elements, self.extent.element_bytes())
    }

    /// Checks its size, usage and offset for a batch of so many rows and elements.
    pub(crate) fn check(&self, rows: usize, elements: usize) -> Result<(), EncodeError> {
        let count = match self.extent {
            Extent::Matrix(_) => elements,
            Extent::Row => rows,
            Extent::Words(words) => words,
        };
        check(self.name, self.slice, count, self.extent.element_bytes())
    }
}

/// Binds elements `first..first + elements` of a slice from the alignment before them on; returns how many elements
/// further they begin.
pub(crate) fn window<'a>(
    gpu: &Gpu,
    slice: Slice<'a>,
    first: usize,
    elements: usize,
    bytes: u64,
) -> (wgpu::BufferBinding<'a>, u32) {
    let alignment = u64::from(gpu.limits().min_storage_buffer_offset_alignment);
    let start = slice.offset() + first as u64 * bytes;
    let offset = start / alignment * alignment;
    // Bindings are whole words; 16-bit kernels leave the other half of a last word as it is.
    let size = (start - offset + elements as u64 * bytes).next_multiple_of(4);
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

/// Checks that no dispatch binds a buffer both to read and to write, which WebGPU forbids even where the parts are
/// apart unless all are bound to be written, and that what is written meets nothing else once offsets are aligned.
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

/// The buffer or slice of an option: there when the option asks for it, and not otherwise.
pub(crate) fn asked<S>(
    buffer: &'static str,
    option: &'static str,
    slice: Option<S>,
    is_asked: bool,
) -> Result<Option<S>, EncodeError> {
    match (slice, is_asked) {
        (None, true) => Err(EncodeError::MissingBuffer { buffer, option }),
        (Some(_), false) => Err(EncodeError::UnusedBuffer { buffer, option }),
        (slice, _) => Ok(slice),
    }
}
