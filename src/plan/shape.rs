//! The numbers that a kernel of rows is compiled with.

use crate::rows::Rows;

/// Classes of a chunk.
pub(crate) const CHUNK: usize = 1024;
/// The most spans that a row may have.
pub(super) const SPANS_MAX: usize = 1024;
/// The most registers that a lane may have.
pub(super) const REGS_MAX: usize = 32;
/// The most lanes that a row, or each of its chunks, may have.
pub(super) const LANES_MAX: u32 = 256;

/// The number of neighbouring elements that are loaded and stored at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum VectorWidth {
    X1,
    X2,
    X4,
}

impl VectorWidth {
    /// The widest that fits data at multiples of `elements`.
    pub(crate) fn of(elements: usize) -> Self {
        match elements % 4 {
            0 => Self::X4,
            2 => Self::X2,
            _ => Self::X1,
        }
    }

    /// The widest that fits rows that begin at the start of a binding.
    pub(crate) fn of_rows(rows: &Rows) -> Self {
        if rows.inner() == 1 {
            Self::of(rows.classes()).min(Self::of(rows.outer_stride()))
        } else {
            Self::X1
        }
    }
}

/// How the lanes of a row combine what they have found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reduce {
    /// By shuffles among `lanes`, and through work-group memory beyond.
    Subgroup { lanes: u32 },
    /// Through work-group memory. With `rows_adjacent`, neighbouring invocations take neighbouring rows.
    Workgroup { rows_adjacent: bool },
}

/// The numbers of a plan that its pipeline is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RowShape {
    pub(crate) workgroup_size: u32,
    /// Invocations that share a row, or a chunk of it.
    pub(crate) lanes: u32,
    /// Chunks of a row that are processed at once, each by `lanes` lanes of its own.
    pub(crate) row_chunks: u32,
    /// Registers of a lane, of a vec4 each; a power of two.
    pub(crate) regs_per_lane: u32,
    /// The registers that hold classes; the others are not used.
    pub(crate) used_regs: u32,
    /// Whether a software rasteriser runs it.
    pub(crate) is_software: bool,
    /// Whether the lanes hold exactly the classes of a row, so that no bounds need checking.
    pub(crate) is_full: bool,
    /// The only number of classes it is made for, or 0 for any.
    pub(crate) classes: u32,
    pub(crate) reduce: Reduce,
    /// Spans that a work-group keeps in its memory.
    pub(crate) group_spans: u32,
}

impl RowShape {
    /// Rows that one work-group processes.
    pub(crate) fn rows(&self) -> usize {
        (self.workgroup_size / self.lanes / self.row_chunks) as usize
    }
}
