//! Rows whose classes are in several places.

mod calls;
mod statistics;

pub use statistics::ShardStatistics;
pub(crate) use statistics::StatisticsBuffer;
