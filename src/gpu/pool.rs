//! Buffers that outlive a call: some are lent to calls on host slices, to one call at a time; others never change, and
//! are shared.

use super::lock::lock;
#[cfg(target_arch = "wasm32")]
use super::scopes::{Scopes, first_error};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use wgpu::{Buffer, BufferUsages as Usage};

/// The most uniform buffers that are kept for later calls. Each takes about a kilobyte.
const PARAMETERS_KEPT: usize = 256;

/// Buffers of finished calls, kept for later ones.
pub(crate) struct Pool {
    kept: Mutex<VecDeque<Buffer>>,
    most_bytes: u64,
    /// The uniform buffers with the parameters of dispatches, by their content.
    parameters: Mutex<HashMap<Vec<u8>, Buffer>>,
}

impl Pool {
    /// A pool that keeps up to `most_bytes` bytes.
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

    /// Keeps a buffer that its owner no longer uses. Commands that are already submitted may still use it, because the
    /// queue runs them first. If the pool then holds too many bytes, the oldest buffers are dropped.
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
            // Buffers that recorded commands refer to stay alive.
            kept.clear();
        }
        kept.insert(words, buffer);
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn forget_parameters(&self) {
        lock(&self.parameters).clear();
    }
}

/// The buffers lent to a call. They go back to the pool when the call ends, however it ends.
pub(crate) struct BufferLeases {
    pool: Arc<Pool>,
    lent: Mutex<Vec<Buffer>>,
    #[cfg(target_arch = "wasm32")]
    pub(super) scopes: Scopes,
    /// What follows from an error that nobody has waited for.
    #[cfg(target_arch = "wasm32")]
    forget_shared: Arc<dyn Fn()>,
}

impl BufferLeases {
    pub(super) fn of(pool: &Arc<Pool>, #[cfg(target_arch = "wasm32")] forget_shared: Arc<dyn Fn()>) -> Self {
        Self {
            pool: Arc::clone(pool),
            lent: Mutex::default(),
            #[cfg(target_arch = "wasm32")]
            scopes: Scopes::default(),
            #[cfg(target_arch = "wasm32")]
            forget_shared,
        }
    }

    pub(super) fn add(&self, buffer: Buffer) {
        lock(&self.lent).push(buffer);
    }

    /// None of the lent buffers is to go back.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn forget(&self) {
        lock(&self.lent).clear();
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for BufferLeases {
    fn drop(&mut self) {
        for buffer in lock(&self.lent).drain(..) {
            self.pool.keep(buffer);
        }
    }
}

#[cfg(target_arch = "wasm32")]
impl Drop for BufferLeases {
    fn drop(&mut self) {
        let lent = std::mem::take(&mut *lock(&self.lent));
        let (pool, scopes) = (Arc::clone(&self.pool), self.scopes.take());
        if scopes.is_empty() {
            lent.into_iter().for_each(|buffer| pool.keep(buffer));
            return;
        }
        // The call ended early, and was not told of its device errors. The buffers go back if there were none.
        let forget_shared = Arc::clone(&self.forget_shared);
        wasm_bindgen_futures::spawn_local(async move {
            match first_error(scopes).await {
                None => lent.into_iter().for_each(|buffer| pool.keep(buffer)),
                Some(_) => forget_shared(),
            }
        });
    }
}
