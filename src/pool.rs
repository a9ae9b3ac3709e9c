//! Device buffers: made, lent to one call on host slices after another, and shared where nobody changes them.

use crate::error::EncodeError;
use crate::gpu::{Gpu, lock};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use wgpu::{Buffer, BufferUsages as Usage};

/// Uniform buffers kept for calls to come, each of a kilobyte or so.
const PARAMETERS_KEPT: usize = 256;

/// Buffers of calls that are over, for calls to come.
pub(crate) struct Pool {
    kept: Mutex<VecDeque<Buffer>>,
    most_bytes: u64,
    /// What kernels were given as parameters, by content.
    parameters: Mutex<HashMap<Vec<u8>, Buffer>>,
}

impl Pool {
    /// Keeps up to so many bytes.
    pub(crate) fn new(most_bytes: u64) -> Self {
        Self {
            kept: Mutex::default(),
            most_bytes,
            parameters: Mutex::default(),
        }
    }

    fn take(&self, size: u64, usage: Usage) -> Option<Buffer> {
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
}

/// The buffers that a call was lent, which go back when it is over, however it ends.
pub(crate) struct Loans {
    pool: Arc<Pool>,
    lent: Mutex<Vec<Buffer>>,
}

impl Loans {
    pub(crate) fn of(pool: &Arc<Pool>) -> Self {
        Self {
            pool: Arc::clone(pool),
            lent: Mutex::default(),
        }
    }
}

impl Drop for Loans {
    fn drop(&mut self) {
        for buffer in lock(&self.lent).drain(..) {
            self.pool.keep(buffer);
        }
    }
}

impl Gpu {
    /// A buffer, or an error that says what it was for. Within a call on host slices it is lent, and may hold what its last
    /// user left in it.
    pub(crate) fn buffer(&self, what: &'static str, bytes: u64, usage: Usage) -> Result<Buffer, EncodeError> {
        let Some(loans) = self.loans() else {
            return self.new_buffer(what, bytes, usage);
        };
        let buffer = self.kept_buffer(what, bytes, usage)?;
        lock(&loans.lent).push(buffer.clone());
        Ok(buffer)
    }

    /// A buffer out of the pool, if it has such a one, for the caller to give back with [`Pool::keep`]. One to be filled on
    /// the host is mapped, and is to be given back so.
    pub(crate) fn kept_buffer(&self, what: &'static str, bytes: u64, usage: Usage) -> Result<Buffer, EncodeError> {
        match self.pool().take(size_of_buffer(bytes), usage) {
            Some(buffer) => Ok(buffer),
            None => self.new_buffer(what, bytes, usage),
        }
    }

    /// A buffer of zeros, which nobody has used; mapped if it is to be filled on the host.
    pub(crate) fn new_buffer(&self, what: &'static str, bytes: u64, usage: Usage) -> Result<Buffer, EncodeError> {
        let out_of_memory = EncodeError::OutOfMemory { what, bytes };
        if bytes > self.limits().max_buffer_size {
            return Err(out_of_memory);
        }
        let descriptor = wgpu::BufferDescriptor {
            label: Some(what),
            size: size_of_buffer(bytes),
            usage,
            mapped_at_creation: usage.contains(Usage::MAP_WRITE),
        };
        self.scoped(|| self.device().create_buffer(&descriptor))
            .map_err(|_| out_of_memory)
    }

    /// A uniform buffer that holds `words`, and the bytes allocated for it. Nothing ever changes one, so calls with the same
    /// parameters share it.
    pub(crate) fn parameters(&self, words: Vec<u8>) -> Result<(Buffer, u64), EncodeError> {
        if let Some(buffer) = lock(&self.pool().parameters).get(&words) {
            return Ok((buffer.clone(), 0));
        }
        let bytes = words.len() as u64;
        let buffer = self.new_buffer("parameters", bytes, Usage::UNIFORM | Usage::COPY_DST)?;
        self.scoped(|| self.queue().write_buffer(&buffer, 0, &words))?;
        let mut kept = lock(&self.pool().parameters);
        if kept.len() >= PARAMETERS_KEPT {
            // Those that are recorded stay alive.
            kept.clear();
        }
        kept.insert(words, buffer.clone());
        Ok((buffer, bytes))
    }
}

/// wgpu copies whole words, and kernels bind four of them at least.
fn size_of_buffer(bytes: u64) -> u64 {
    bytes.next_multiple_of(4).max(16)
}
