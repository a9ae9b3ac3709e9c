//! Products of the Hessian of cross-entropy and a direction, on the host.

use super::host::HostShape;
use super::host_targets::TargetIndex;
use super::options::{CrossEntropy, Targets};
use super::output::CrossEntropyOutput;
use crate::dtype::Element;
use crate::error::RunError;
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::loss::Gradient;
use crate::ragged::RowLayout;

impl CrossEntropy {
    pub(crate) fn of_hessian(&self) -> Self {
        Self {
            hessian_vector: true,
            gradient: Gradient::Apart,
            ..self.clone()
        }
    }
}

impl Gpu {
    /// [`Gpu::cross_entropy`], with the product of its Hessian and a direction in the gradient's place, whatever
    /// [`CrossEntropy::gradient`] and [`CrossEntropy::hessian_vector`] say: see there for the formula. `direction` is laid out as the
    /// logits are.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    ///
    /// ```
    /// # use wgpu_softmax::{CrossEntropy, Gpu, Rows};
    /// # let gpu = Gpu::new()?;
    /// let out = gpu.cross_entropy_hvp(&[0f32, 0.0], &[1u8], &[1.0, 0.0], Rows::new(1, 2), &CrossEntropy::default())?;
    /// assert_eq!(out.gradient.unwrap(), [0.25, -0.25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "hessian")]
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_hvp<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        direction: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let (shape, options) = (HostShape::toward(rows, direction), options.of_hessian());
        block_on(self.with_indices(logits, targets, shape, &options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy_hvp`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_hvp_async<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        direction: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let (shape, options) = (HostShape::toward(rows, direction), options.of_hessian());
        self.with_indices(logits, targets, shape, &options, Wait::OnThread)
            .await
    }

    /// [`Gpu::cross_entropy_hvp`] with soft targets, which are laid out as the logits are.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_soft_hvp<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        direction: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let (shape, options) = (HostShape::toward(rows, direction), options.of_hessian());
        let targets = (probabilities, Targets::Probabilities);
        block_on(self.with_probabilities(logits, targets, shape, &options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy_soft_hvp`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_soft_hvp_async<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        direction: &[T],
        rows: impl Into<RowLayout>,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let (shape, options) = (HostShape::toward(rows, direction), options.of_hessian());
        let targets = (probabilities, Targets::Probabilities);
        self.with_probabilities(logits, targets, shape, &options, Wait::OnThread)
            .await
    }
}
