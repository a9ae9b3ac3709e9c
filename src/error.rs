//! What can go wrong: one enum for creating a [`Gpu`](crate::Gpu), one for preparing and recording on the device, one
//! for the calls that take and give host slices.

use crate::schedule::Schedule;

/// Why there is no [`Gpu`](crate::Gpu).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter at all, or none that fits what was asked for.
    #[error("no GPU adapter{wanted}; found: {found}. {hint}")]
    NoAdapter {
        /// What was asked for; empty if nothing was.
        wanted: String,
        /// The adapters that were found.
        found: String,
        /// What to install or to change.
        hint: &'static str,
    },
    /// `WGPU_BACKEND` names no backend.
    #[error("WGPU_BACKEND={value} names no backend; use vulkan, metal, dx12 or gl")]
    UnknownBackend {
        /// The variable's value.
        value: String,
    },
    /// The adapter is there, but gave no device.
    #[error("adapter {adapter} gave no device: {message}")]
    NoDevice {
        /// The adapter's name.
        adapter: String,
        /// What wgpu said.
        message: String,
    },
    /// The device lacks something that every kernel needs.
    #[error("adapter {adapter} cannot run compute shaders with {needed} (it has {available})")]
    TooSmall {
        /// The adapter's name.
        adapter: String,
        /// What is needed.
        needed: &'static str,
        /// What the device has.
        available: String,
    },
}

/// Why an operation could not be prepared or recorded. Nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// A softmax over nothing is not defined.
    #[error("rows have 0 classes; at least 1 is needed")]
    NoClasses,
    /// Rows of unequal length without offsets.
    #[error("there are no offsets; n rows have n + 1, the first of which is 0")]
    NoOffsets,
    /// An offset of rows of unequal length that does not ascend from 0.
    #[error("offsets[{index}] is {offset}, but must be {}", offset_rule(*index, *before))]
    BadOffset {
        /// Which offset, the first that is wrong.
        index: usize,
        /// What it is.
        offset: usize,
        /// The offset before it.
        before: usize,
    },
    /// A shard that is not where one can be.
    #[error("a shard of {held} classes from class {first} of {classes}: {why}; the grid is {grid} classes")]
    BadShard {
        /// Its first class.
        first: usize,
        /// Its classes.
        held: usize,
        /// Classes of the whole row.
        classes: usize,
        /// In whose multiples rows are cut: [`Rows::shard_grid`](crate::Rows::shard_grid).
        grid: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// An axis that the shape does not have.
    #[error("axis {axis} is outside a shape of {dims} dimensions")]
    AxisOutOfRange {
        /// The axis asked for.
        axis: isize,
        /// Dimensions of the shape.
        dims: usize,
    },
    /// Rows would overlap.
    #[error("row_stride {row_stride} is less than {classes} classes: rows would overlap")]
    RowStrideTooSmall {
        /// Elements from one row to the next.
        row_stride: usize,
        /// Classes of a row.
        classes: usize,
    },
    /// A row stride was given, but the class axis is not the last.
    #[error("row_stride {row_stride} needs the class axis last, but {inner} rows lie side by side")]
    RowStrideNeedsLastAxis {
        /// Elements from one row to the next.
        row_stride: usize,
        /// Rows side by side.
        inner: usize,
    },
    /// A shape whose number of elements does not fit a `usize`, or whose number of rows does not fit a `u32`.
    #[error("{outer} x {classes} x {inner} elements are more than can be addressed, of at most 2^32 - 1 rows")]
    TooLarge {
        /// Rows before the class axis.
        outer: usize,
        /// Classes.
        classes: usize,
        /// Rows after the class axis.
        inner: usize,
    },
    /// What must be bound at once is larger than the device can bind.
    #[error(
        "{classes} classes of {inner} rows side by side take {needed} bytes at once, but this device binds at most {limit}"
    )]
    RowTooLong {
        /// Classes of a row.
        classes: usize,
        /// Rows side by side.
        inner: usize,
        /// Bytes of one block of such rows.
        needed: u64,
        /// The device's limit.
        limit: u64,
    },
    /// The numbers of an option, or a slice, have the wrong length.
    #[error("{what} has {got} elements, but the shape asks for {expected}")]
    WrongLength {
        /// Which option or argument.
        what: &'static str,
        /// Elements it must have.
        expected: usize,
        /// Elements it has.
        got: usize,
    },
    /// A buffer that holds less than the shape asks for.
    #[error("buffer {buffer} needs {needed} bytes, but {bound} are bound")]
    BufferTooSmall {
        /// Which buffer.
        buffer: &'static str,
        /// Bytes it must have.
        needed: u64,
        /// Bytes it has from its offset on.
        bound: u64,
    },
    /// A buffer was made without a usage that its role needs.
    #[error("buffer {buffer} was made without usage {usage}")]
    MissingUsage {
        /// Which buffer.
        buffer: &'static str,
        /// The usage that is missing.
        usage: &'static str,
    },
    /// An offset that falls between two elements, or, for the summary, one that is not aligned as the device requires.
    #[error("buffer {buffer} begins at byte {offset}, which is no multiple of {alignment}")]
    MisalignedOffset {
        /// Which buffer.
        buffer: &'static str,
        /// Its offset in bytes.
        offset: u64,
        /// What the offset must be a multiple of.
        alignment: u64,
    },
    /// The options ask for a result, or need an input, for which no buffer was given.
    #[error("buffer {buffer} is missing, which {option} asks for")]
    MissingBuffer {
        /// Which buffer.
        buffer: &'static str,
        /// The option that needs it.
        option: &'static str,
    },
    /// A buffer was given that the options leave unused.
    #[error("buffer {buffer} was given, but {option} does not use it")]
    UnusedBuffer {
        /// Which buffer.
        buffer: &'static str,
        /// The option that leaves it unused.
        option: &'static str,
    },
    /// Two slices that cannot be bound together: parts of one buffer of which one is written and the other read, or
    /// that meet once their offsets are rounded down to the device's alignment.
    #[error(
        "{a} and {b} are in one buffer, where one is written: give each a buffer, or results more room between them"
    )]
    Overlap {
        /// One buffer.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
    /// Two options that contradict each other.
    #[error("{a} cannot go with {b}: {why}")]
    Conflict {
        /// One option.
        a: &'static str,
        /// The other.
        b: &'static str,
        /// Why not.
        why: &'static str,
    },
    /// An `ignore_index` that no 32-bit target can equal.
    #[error("ignore_index {ignore_index} is no 32-bit integer, which the targets of a device buffer are")]
    IgnoreIndex {
        /// The index.
        ignore_index: i64,
    },
    /// A number outside the range that its option allows.
    #[error("{option} is {value}, but must be {must}")]
    BadNumber {
        /// The option.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// One of an option's numbers is outside the range that the option allows.
    #[error("{option}[{index}] is {value}, but must be {must}")]
    BadElement {
        /// The option.
        option: &'static str,
        /// Which of its numbers, the first that is wrong.
        index: usize,
        /// Its value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// The options need more storage buffers than the device binds at once.
    #[error(
        "the options bind {bound} storage buffers at once, but this device binds at most {available}; ask for less"
    )]
    TooManyBuffers {
        /// Buffers that would be bound.
        bound: u32,
        /// The device's limit.
        available: u32,
    },
    /// A forced schedule that cannot run these rows.
    #[error("schedule {schedule} cannot run rows of {classes} classes: {why}")]
    Schedule {
        /// The schedule asked for.
        schedule: Schedule,
        /// Classes of a row.
        classes: usize,
        /// Why not.
        why: &'static str,
    },
    /// The device has no room for what the operation keeps besides the caller's buffers, or the batch is larger than
    /// any buffer.
    #[error("no device memory for {bytes} bytes of {what}")]
    OutOfMemory {
        /// What the bytes were for.
        what: &'static str,
        /// How many bytes.
        bytes: u64,
    },
    /// The driver refused a kernel, which is a defect of this crate or of the driver.
    #[error("the driver refused kernel {kernel}: {message}")]
    Pipeline {
        /// The kernel: its file, the flags that it was joined with, and its constants.
        kernel: String,
        /// The message of the driver, or of wgpu.
        message: String,
    },
    /// The device is gone. A new [`Gpu`](crate::Gpu) is needed.
    #[error("the device was lost ({message}); make a new Gpu")]
    DeviceLost {
        /// What the driver said.
        message: String,
    },
    /// The device reported an error.
    #[error("the device reported an error: {message}")]
    Device {
        /// What it said.
        message: String,
    },
}

/// Checks the length of a slice.
pub(crate) fn check_length(what: &'static str, expected: usize, got: usize) -> Result<(), EncodeError> {
    if got == expected {
        Ok(())
    } else {
        Err(EncodeError::WrongLength { what, expected, got })
    }
}

/// Why a blocking or `_async` call has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The call could not be prepared or recorded.
    #[error(transparent)]
    Encode(EncodeError),
    /// A history, a bias or a draft that names a class that the rows do not have.
    #[error("{what} of row {row} names class {class}, but there are {classes} classes")]
    ClassOutOfRange {
        /// Which option.
        what: &'static str,
        /// The row.
        row: usize,
        /// The class.
        class: u32,
        /// Classes of a row.
        classes: usize,
    },
    /// A slice of the wrong length.
    #[error("{what} has {got} elements, but the shape asks for {expected}")]
    WrongLength {
        /// Which argument.
        what: &'static str,
        /// Elements it must have.
        expected: usize,
        /// Elements it has.
        got: usize,
    },
    /// An array of the wrong shape.
    #[error("{what}: shape {got:?}, but {expected:?} is needed")]
    WrongShape {
        /// Which argument.
        what: &'static str,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape it has.
        got: Vec<usize>,
    },
    /// An option that takes its numbers from a device buffer, which these calls do not have.
    #[error("{option} cannot go with slices on the host: there is no buffer; use {instead}")]
    NeedsBuffer {
        /// The option, as it is set.
        option: &'static str,
        /// What to set it to.
        instead: &'static str,
    },
    /// Targets that name no class.
    #[error("row {row} has target {target}, but {}{}", class_range(*classes), more_rows(*count))]
    TargetOutOfRange {
        /// First row with such a target.
        row: usize,
        /// Its target.
        target: i128,
        /// Classes of a row.
        classes: usize,
        /// How many rows have such a target.
        count: usize,
    },
    /// The device is gone. A new [`Gpu`](crate::Gpu) is needed.
    #[error("the device was lost ({message}); make a new Gpu")]
    DeviceLost {
        /// What the driver said.
        message: String,
    },
    /// The device reported an error.
    #[error("the device reported an error: {message}")]
    Device {
        /// What it said.
        message: String,
    },
}

/// What an offset must be.
fn offset_rule(index: usize, before: usize) -> String {
    match index {
        0 => "0, where the first row begins".into(),
        _ => format!("at least {before}, which is offsets[{}]", index - 1),
    }
}

/// The classes that there are.
fn class_range(classes: usize) -> String {
    match classes {
        0 => "the row is empty".into(),
        _ => format!("there are {classes} classes (0 to {})", classes - 1),
    }
}

/// What is said of the rows besides the first.
fn more_rows(count: usize) -> String {
    match count {
        0 | 1 => String::new(),
        2 => "; 1 more row has such a target".into(),
        count => format!("; {} more rows have such targets", count - 1),
    }
}

impl From<EncodeError> for RunError {
    /// An error that has a variant of its own here becomes that variant, whichever step found it.
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::WrongLength { what, expected, got } => Self::WrongLength { what, expected, got },
            EncodeError::DeviceLost { message } => Self::DeviceLost { message },
            EncodeError::Device { message } => Self::Device { message },
            error => Self::Encode(error),
        }
    }
}
