//! Turns a kernel and its buffers into recorded dispatches, and a batch on the host into its result.

mod binding;
mod bound;
mod host_stream;
mod partition;
mod ragged;
mod record;
mod row_kernel;

pub use binding::Slice;
pub(crate) use binding::{Extent, Operand, check, check_apart, require_iff, window};
pub(crate) use bound::Pipeline;
pub use bound::{Bound, Recorded};
pub(crate) use host_stream::{HostBatch, HostMatrix, Stream};
pub(crate) use partition::{HostPart, Part, bindable_bytes, parts};
pub(crate) use record::{Dispatch, NewlyBound, bind};
pub(crate) use row_kernel::{RowKernel, statistics_words};
