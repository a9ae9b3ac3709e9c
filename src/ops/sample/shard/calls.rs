//! The calls that begin to sample a shard.

use super::held::Held;
use super::{ShardSample, ShardSampling};
use crate::dispatch::HostMatrix;
use crate::dtype::Element;
use crate::error::RunError;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::sample::buffers::SampleBuffers;
use crate::ops::sample::host::Outputs;
use crate::ops::sample::inputs::Inputs;
use crate::ops::sample::kernel::SampleKernel;
use crate::ops::sample::options::Sample;
use crate::rows::Rows;
use crate::shader::Slot;

impl Gpu {
    /// Begins to sample rows of which this is a shard, with the shard's logits on the host: see [`ShardSample`]. The shard is
    /// bound at once, and stays on the device until the tokens are there.
    ///
    /// # Errors
    /// As [`Gpu::sample`]; rows that are no shard, or too many to be bound at once.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn sample_shard<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Sample,
    ) -> Result<ShardSampling, RunError> {
        block_on(self.run_sample_shard(logits, rows, options, Wait::Blocking))
    }

    /// [`Gpu::sample_shard`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::sample_shard`].
    pub async fn sample_shard_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Sample,
    ) -> Result<ShardSampling, RunError> {
        self.run_sample_shard(logits, rows, options, Wait::OnThread).await
    }

    async fn run_sample_shard<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Sample,
        wait: Wait,
    ) -> Result<ShardSampling, RunError> {
        let gpu = &self.leasing();
        let options = Sample {
            dtype: T::DTYPE,
            summary: false,
            ..options.clone()
        };
        rows.check_is_shard()?;
        options.validate(&rows)?;
        options.check_host(&rows)?;
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let dense = rows.dense(rows.count(), 1);
        let inputs = Inputs::new(gpu, &dense, &options)?;
        let kernel = options.prepare_with(gpu, dense, adjusted.clone(), inputs)?;
        let uploads = matrices.iter().chain(&mask).map(|matrix| matrix.whole(gpu, &rows));
        let uploads: Vec<wgpu::Buffer> = uploads.collect::<Result<_, _>>()?;
        let outputs = Outputs::new(gpu, &dense, &options)?;
        let mut held = Vec::new();
        for (matrix, buffer) in matrices.iter().chain(&mask).zip(&uploads) {
            held.push(Held::of(&matrix.operand(buffer)));
        }
        let given = outputs.whole(SampleBuffers::new(uploads[0].slice(..), outputs.tokens.slice(..)));
        held.extend(adjusted.operands(&AdjustBuffers::default())?.iter().map(Held::of));
        held.extend(kernel.operands(&given)?.iter().map(Held::of));
        ShardSample::begin(kernel, held, outputs, wait).await
    }
}

impl SampleKernel {
    /// Begins to sample rows of which this is a shard, with the shard's logits in a buffer, which must not change until the
    /// tokens are there: see [`ShardSample`]. The outputs come in [`crate::SampleOutput`], for which the buffers given are left alone,
    /// but for the probabilities, which are written to theirs.
    ///
    /// # Errors
    /// As [`SampleKernel::bind`]; rows that are no shard.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn sample_shard(&self, buffers: &SampleBuffers<'_>) -> Result<ShardSampling, RunError> {
        block_on(self.run_sample_shard(buffers, Wait::Blocking))
    }

    /// [`SampleKernel::sample_shard`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`SampleKernel::sample_shard`].
    pub async fn sample_shard_async(&self, buffers: &SampleBuffers<'_>) -> Result<ShardSampling, RunError> {
        self.run_sample_shard(buffers, Wait::OnThread).await
    }

    async fn run_sample_shard(&self, buffers: &SampleBuffers<'_>, wait: Wait) -> Result<ShardSampling, RunError> {
        self.rows.check_is_shard()?;
        let mut kernel = self.clone();
        kernel.gpu = self.gpu.leasing();
        let reported = Sample {
            probs: false,
            ..self.options.clone()
        };
        let outputs = Outputs::new(&kernel.gpu, &self.rows, &reported)?;
        let held = kernel.checked_operands(&outputs.whole(*buffers))?;
        let held = held.iter().map(Held::of).collect();
        ShardSample::begin(kernel, held, outputs, wait).await
    }
}
