//! The buffers that a kernel of sampling keeps for itself: what its steps leave for those that follow.

use super::exchange::SEARCH_WORDS;
use super::kernel::{SampleKernel, spare_rows};
use super::steps::Own;
use crate::dispatch::bindable_bytes;
use crate::error::EncodeError;
use crate::plan::CHUNK;
use crate::rows::ELEMENT_BYTES;
use wgpu::BufferUsages as Usage;

/// The buffers of a shard that others read or write.
const EXCHANGED: Usage = Usage::STORAGE.union(Usage::COPY_SRC).union(Usage::COPY_DST);

/// Words of the statistics of a span.
const STATS_WORDS: usize = 3;

impl SampleKernel {
    /// Words of the statistics of all rows, in so many spans.
    pub(super) fn statistics_words(&self, spans: usize) -> usize {
        self.rows.count() * spans * STATS_WORDS
    }

    /// What a buffer is for, and its bytes for the largest part, if the device can bind as many.
    fn own_bytes(&self, own: Own) -> Result<(&'static str, u64), EncodeError> {
        let rows = self.parts.iter().map(|part| part.rows).max().unwrap_or(0) as u64;
        let chunks = self.rows.classes().div_ceil(CHUNK);
        let (what, words) = match own {
            Own::Stats(_) => ("the sums of the parts of rows", STATS_WORDS * self.rows.whole_spans()),
            Own::ShardStats(_) => ("the sums of the parts of a shard", STATS_WORDS * self.rows.spans()),
            Own::Maxima(_) => (
                "the maxima of the parts of rows",
                chunks * self.plans[0].shape.lanes as usize,
            ),
            Own::Edges => ("the edges of what is kept", 4),
            Own::Edits => ("penalised logits", self.params.edits_stride as usize),
            Own::Searches => ("what is searched for", SEARCH_WORDS),
        };
        let spare = match own {
            Own::Edits => spare_rows(rows, self.gpu.limits()),
            _ => 0,
        };
        let bytes = (rows + spare) * words as u64 * ELEMENT_BYTES;
        if bytes > bindable_bytes(self.gpu.limits()) {
            return Err(EncodeError::OutOfMemory { what, bytes });
        }
        Ok((what, bytes))
    }

    /// Those that the steps need between them.
    fn needed(&self) -> Vec<Own> {
        self.steps
            .iter()
            .flat_map(|step| &step.own)
            .map(|(_, own)| *own)
            .collect()
    }

    /// Checks that the device can bind them.
    pub(super) fn check_own_buffers(&self) -> Result<(), EncodeError> {
        self.needed()
            .into_iter()
            .try_for_each(|own| self.own_bytes(own).map(|_| ()))
    }

    /// Makes those that are not there yet.
    pub(super) fn make_own_buffers(&mut self) -> Result<(), EncodeError> {
        for own in self.needed() {
            let (what, bytes) = self.own_bytes(own)?;
            let usage = match own {
                Own::Stats(_) | Own::ShardStats(_) | Own::Searches if self.rows.is_shard() => EXCHANGED,
                _ => Usage::STORAGE,
            };
            if !self.own.contains_key(&own) {
                // Edits and searches are zeros at first, and so none of the pool's.
                let buffer = match own {
                    Own::Edits | Own::Searches => self.gpu.new_buffer(what, bytes, usage)?,
                    _ => self.gpu.buffer(what, bytes, usage)?,
                };
                self.own.insert(own, buffer);
            }
        }
        Ok(())
    }
}
