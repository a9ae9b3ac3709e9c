//! Makes device buffers, borrows them from the pool, and fills them.

use super::Gpu;
use crate::error::EncodeError;
use wgpu::{Buffer, BufferUsages as Usage};

impl Gpu {
    /// A buffer, or an error that says what it was for. Within a call on host slices the buffer is lent by the pool,
    /// and may still hold what an earlier call left in it.
    pub(crate) fn buffer(&self, what: &'static str, bytes: u64, usage: Usage) -> Result<Buffer, EncodeError> {
        let Some(leases) = self.leases() else {
            return self.new_buffer(what, bytes, usage);
        };
        let buffer = self.kept_buffer(what, bytes, usage)?;
        leases.add(buffer.clone());
        Ok(buffer)
    }

    /// A buffer from the pool if it has one of this size and usage, else a new one; the caller gives it back with
    /// [`Pool::keep`]. A buffer that is filled on the host is mapped, and must be mapped when it is given back.
    pub(crate) fn kept_buffer(&self, what: &'static str, bytes: u64, usage: Usage) -> Result<Buffer, EncodeError> {
        match self.pool().take(size_of_buffer(bytes), usage) {
            Some(buffer) => Ok(buffer),
            None => self.new_buffer(what, bytes, usage),
        }
    }

    /// A new buffer, which is all zeros; it is mapped if it is to be filled on the host.
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
        self.with_error_scopes(|| self.device().create_buffer(&descriptor))
            .map_err(|_| out_of_memory)
    }

    /// A uniform buffer that holds `words`, and the bytes allocated for it. Such a buffer never changes, so calls with
    /// the same parameters share it.
    pub(crate) fn parameters(&self, words: Vec<u8>) -> Result<(Buffer, u64), EncodeError> {
        if let Some(buffer) = self.pool().parameters(&words) {
            return Ok((buffer, 0));
        }
        let bytes = words.len() as u64;
        let buffer = self.new_buffer("parameters", bytes, Usage::UNIFORM | Usage::COPY_DST)?;
        self.with_error_scopes(|| self.queue().write_buffer(&buffer, 0, &words))?;
        self.pool().keep_parameters(words, buffer.clone());
        Ok((buffer, bytes))
    }

    /// A buffer that holds `bytes`.
    pub(crate) fn buffer_of(&self, what: &'static str, bytes: &[u8], usage: Usage) -> Result<Buffer, EncodeError> {
        let buffer = self.buffer(what, bytes.len() as u64, usage | Usage::COPY_DST)?;
        let whole = bytes.len() / 4 * 4;
        self.with_error_scopes(|| {
            if whole > 0 {
                self.queue().write_buffer(&buffer, 0, &bytes[..whole]);
            }
            if whole < bytes.len() {
                let mut word = [0; 4];
                word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                self.queue().write_buffer(&buffer, whole as u64, &word);
            }
        })?;
        Ok(buffer)
    }
}

/// The size of a buffer for `bytes` bytes: wgpu copies whole words, and kernels bind at least four of them.
fn size_of_buffer(bytes: u64) -> u64 {
    bytes.next_multiple_of(4).max(16)
}
