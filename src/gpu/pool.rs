//! Buffers that outlive a call: lent to one call on host slices after another, or shared where nobody changes them.

use super::lock::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use wgpu::{Buffer, BufferUsages as Usage};

/// Uniform buffers kept for calls to come, each of a kilobyte or so.
const PARAMETERS_KEPT: usize = 256;

/// Buffers of calls that are over, for calls to come.
pub(crate) struct Pool {
    kept: Mutex<VecDeque<Buffer>>,
    most_bytes: u64,
    /// What dispatches were given as parameters, by content.
    parameters: Mutex<HashMap<Vec<u8>, Buffer>>,
}

impl Pool {
    /// Keeps up to so many bytes.
    pub(super) fn new(most_bytes: u64) -> Self {
        Self {
            kept: Mutex::default(),
            most_bytes,
            parameters: Mutex::default(),
        }
    }

    pub(super) fn take(&self, size: u64, usage: Usage) -> Option<Buffer> {
        let mut kept = lock(&self.kept);
        let newest = kept.iter().rposition(|b| b.size() == size && b.usage() == usage)?;
        kept.remove(newest)
    }

    /// Keeps a buffer that nobody else will use; what is submitted already may, as the queue comes to it first. The oldest
    /// go where there are too many.
    pub(crate) fn keep(&self, buffer: Buffer) {
        let mut kept = lock(&self.kept);
        kept.push_back(buffer);
        let mut bytes: u64 = kept.iter().map(Buffer::size).sum();
        while bytes > self.most_bytes {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.size();
        }
    }

    /// The uniform buffer that holds these words, if there is one.
    pub(super) fn parameters(&self, words: &[u8]) -> Option<Buffer> {
        lock(&self.parameters).get(words).cloned()
    }

    pub(super) fn keep_parameters(&self, words: Vec<u8>, buffer: Buffer) {
        let mut kept = lock(&self.parameters);
        if kept.len() >= PARAMETERS_KEPT {
            // Those that are recorded stay alive.
            kept.clear();
        }
        kept.insert(words, buffer);
    }
}

/// The buffers that a call was lent, which go back when it is over, however it ends.
pub(crate) struct BufferLeases {
    pool: Arc<Pool>,
    lent: Mutex<Vec<Buffer>>,
}

impl BufferLeases {
    pub(super) fn of(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            lent: Mutex::default(),
        }
    }

    pub(super) fn add(&self, buffer: Buffer) {
        lock(&self.lent).push(buffer);
    }
}

impl Drop for BufferLeases {
    fn drop(&mut self) {
        for buffer in lock(&self.lent).drain(..) {
            self.pool.keep(buffer);
        }
    }
}
