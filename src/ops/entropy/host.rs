//! The entropy of rows of a batch on the host.

use super::Entropy;
use super::output::EntropyOutput;
use crate::dispatch::{Extent, HostBatch, HostMatrix, Operand};
use crate::dtype::{Element, Storage};
use crate::error::RunError;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
use crate::ops::loss::Gradient;
use crate::ops::values::{NO_BUFFER, Values, option_operand};
use crate::ragged::RowLayout;
use crate::rows::ELEMENT_BYTES;
use crate::shader::Slot;
use wgpu::BufferUsages as Usage;

impl Gpu {
    /// The entropy of each row of a batch on the host, and its gradient on request: see [`Entropy`].
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slice, and whatever the device reports.
    ///
    /// ```
    /// # use wgpu_softmax::{Entropy, Gpu, Gradient, Rows};
    /// # let gpu = Gpu::new()?;
    /// let options = Entropy { gradient: Gradient::Apart, ..Entropy::default() };
    /// let out = gpu.entropy(&[0f32, 0.0], Rows::new(1, 2), &options)?;
    /// assert!((out.entropies[0] - 2f32.ln()).abs() < 1e-6);
    /// assert!(out.gradient.unwrap().iter().all(|g| g.abs() < 1e-6)); // the largest that there is
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn entropy<T: Element>(
        &self,
        logits: &[T],
        rows: impl Into<RowLayout>,
        options: &Entropy,
    ) -> Result<EntropyOutput<T>, RunError> {
        block_on(self.run_entropy(logits, rows.into(), options, Wait::Blocking))
    }

    /// [`Gpu::entropy`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::entropy`].
    pub async fn entropy_async<T: Element>(
        &self,
        logits: &[T],
        rows: impl Into<RowLayout>,
        options: &Entropy,
    ) -> Result<EntropyOutput<T>, RunError> {
        self.run_entropy(logits, rows.into(), options, Wait::OnThread).await
    }

    async fn run_entropy<T: Element>(
        &self,
        logits: &[T],
        layout: RowLayout,
        options: &Entropy,
        wait: Wait,
    ) -> Result<EntropyOutput<T>, RunError> {
        let (gpu, rows) = (&self.leasing(), layout.rows);
        let _lock = gpu.gl_call_lock().await;
        if options.upstream == Some(Values::Buffer) {
            return Err(NO_BUFFER);
        }
        let has_gradient = options.gradient != Gradient::None;
        let options = Entropy {
            gradient: if has_gradient {
                Gradient::InPlace
            } else {
                Gradient::None
            },
            storage: Storage::all(T::DTYPE),
            ..options.clone()
        };
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        let matrices = [HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let bytes = rows.count() as u64 * ELEMENT_BYTES;
        let entropy = gpu.buffer("entropy", bytes, Usage::STORAGE | Usage::COPY_SRC)?;
        let upstream = options.upstream_buffer(gpu, rows.count())?;
        let mut others = adjusted.operands(&AdjustBuffers::default())?;
        others.push(Operand::written(
            Slot::Entropy,
            "entropy",
            entropy.slice(..),
            Extent::Row,
        ));
        others.extend(option_operand(&upstream, "upstream", None)?);
        let batch = HostBatch {
            rows: layout,
            spec: options.spec(&adjusted),
            schedule: options.schedule,
            params: options.params(&adjusted),
            others,
            is_statistics: false,
            wait,
        };
        let matrices = matrices.into_iter().chain(mask).collect();
        let gradient = gpu.stream::<T>(matrices, &batch).await?;
        Ok(EntropyOutput {
            entropies: gpu.elements(&entropy, rows.count(), wait).await?,
            gradient: has_gradient.then_some(gradient),
        })
    }
}
