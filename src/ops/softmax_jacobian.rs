//! The Jacobian of softmax, ∂y_i/∂x_j = y_i (δ_ij − y_j), of each row.

use super::adjust::{Adjust, Scale};
use super::softmax::{Softmax, SoftmaxBuffers, SoftmaxKernel};
use crate::dispatch::{
    Bound, Dispatch, Extent, HostMatrix, NewlyBound, Operand, Recorded, Slice, bind, bindable_bytes, check,
    check_apart, window,
};
use crate::dtype::{Dtype, Element, Storage};
use crate::error::{EncodeError, RunError};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::{Params, Slot, Variant};
use wgpu::BufferUsages as Usage;

/// The Jacobian of softmax over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct SoftmaxJacobianKernel {
    gpu: Gpu,
    rows: Rows,
    softmax: SoftmaxKernel,
    probs: wgpu::Buffer,
    scale: f32,
}

/// The buffers of [`SoftmaxJacobianKernel::encode`].
#[derive(Debug, Clone, Copy)]
pub struct SoftmaxJacobianBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// f32, `[rows, classes, classes]`.
    pub jacobian: Slice<'a>,
}

impl Softmax {
    /// As [`Softmax::prepare`], for the Jacobian `J_ij = ∂y_i/∂x_j = y_i (δ_ij − y_j) · scale` of each row: `classes²`
    /// f32 for each row. Those of all rows must fit one binding of the device. `storage.result` and `in_place` are
    /// ignored. It is computed from the probabilities as they are rounded: 1 − y_i of a row that is all but certain is off by 6e-8.
    ///
    /// A row whose probabilities are NaN has a NaN Jacobian.
    ///
    /// # Errors
    /// As [`Softmax::prepare`]; [`EncodeError::Conflict`] with `log`, a scale for each row, a bias, a softcap or a
    /// mask, a class axis that is not the last, or a row stride; [`EncodeError::OutOfMemory`] where the Jacobians of
    /// all rows do not fit.
    pub fn prepare_jacobian(&self, gpu: &Gpu, rows: Rows) -> Result<SoftmaxJacobianKernel, EncodeError> {
        let Scale::Number(scale) = self.adjust.scale else {
            return Err(conflict("a scale for each row"));
        };
        let only_scaled = self.adjust == Adjust::scaled(scale);
        for (option, is_on) in [
            ("log", self.log),
            ("bias, softcap or mask", !only_scaled),
            ("a class axis that is not the last", rows.inner() != 1),
            ("a row stride", rows.elements()? != rows.count() * rows.classes()),
        ] {
            if is_on {
                return Err(conflict(option));
            }
        }
        let elements = rows.elements()? as u64;
        rows.check_whole("the Jacobian")?;
        let bytes = (elements * ELEMENT_BYTES).saturating_mul(rows.classes() as u64);
        if bytes > bindable_bytes(gpu.limits()) {
            return Err(EncodeError::OutOfMemory {
                what: "Jacobians, which are bound at once",
                bytes,
            });
        }
        let softmax = Self {
            in_place: false,
            lse: false,
            storage: Storage {
                result: Dtype::F32,
                ..self.storage
            },
            ..self.clone()
        };
        Ok(SoftmaxJacobianKernel {
            gpu: gpu.clone(),
            rows,
            softmax: softmax.prepare(gpu, rows)?,
            probs: gpu.buffer("probabilities", elements * ELEMENT_BYTES, Usage::STORAGE)?,
            scale,
        })
    }
}

fn conflict(b: &'static str) -> EncodeError {
    EncodeError::Conflict {
        a: "the Jacobian",
        b,
        why: "it is that of a plain softmax over the last axis, scaled by one number; softmax_grad has every option",
    }
}

impl SoftmaxJacobianKernel {
    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn bind(&self, buffers: &SoftmaxJacobianBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`SoftmaxKernel::bind`](crate::SoftmaxKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &SoftmaxJacobianBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &SoftmaxJacobianBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let (count, classes) = (self.rows.count(), self.rows.classes());
        let words = count * classes * classes;
        check("jacobian", buffers.jacobian, words, ELEMENT_BYTES)?;
        let extent = Extent::Words(0);
        let both = [
            Operand::written(Slot::Result, "jacobian", buffers.jacobian, extent),
            Operand::read(Slot::Logits, "logits", buffers.logits, extent),
        ];
        check_apart(&self.gpu, &both)?;
        let probs = self.probs.slice(..);
        let mut dispatches = (self.softmax).dispatches(&SoftmaxBuffers::new(buffers.logits, Some(probs)))?;
        if words > 0 {
            dispatches.push(self.jacobian(probs, buffers.jacobian)?);
        }
        bind(&self.gpu, &dispatches)
    }

    /// The dispatch that makes the Jacobians of the probabilities.
    fn jacobian<'a>(&self, probs: Slice<'a>, jacobian: Slice<'a>) -> Result<Dispatch<'a>, EncodeError> {
        let (count, classes) = (self.rows.count(), self.rows.classes());
        // Each line of a Jacobian gets one or more work-groups.
        let pieces = classes.div_ceil(64 * 16);
        let mut dispatch = Dispatch {
            pipeline: self.gpu.pipeline(&Variant::JACOBIAN)?,
            params: Params {
                rows: count as u32,
                classes: classes as u32,
                pieces: pieces as u32,
                scale: self.scale,
                ..Params::default()
            },
            bindings: Vec::new(),
            groups: count * classes * pieces,
        };
        for (slot, slice, elements) in [
            (Slot::Logits, probs, count * classes),
            (Slot::Result, jacobian, count * classes * classes),
        ] {
            dispatch.bind(slot, window(&self.gpu, slice, 0, elements, ELEMENT_BYTES));
        }
        Ok(dispatch)
    }
}

impl Gpu {
    /// The Jacobian of softmax for each row of a batch on the host, `[rows, classes, classes]`: see
    /// [`Softmax::prepare_jacobian`].
    ///
    /// # Errors
    /// As [`Softmax::prepare_jacobian`], a shape that does not fit the slice, and whatever the device reports.
    ///
    /// ```
    /// # use wgpu_softmax::{Gpu, Rows, Softmax};
    /// # let gpu = Gpu::new()?;
    /// let jacobian = gpu.softmax_jacobian(&[0f32, 0.0], Rows::new(1, 2), &Softmax::default())?;
    /// assert_eq!(jacobian, [0.25, -0.25, -0.25, 0.25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn softmax_jacobian<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
    ) -> Result<Vec<f32>, RunError> {
        block_on(self.run_jacobian(logits, rows, options, Wait::Blocking))
    }

    /// [`Gpu::softmax_jacobian`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::softmax_jacobian`].
    pub async fn softmax_jacobian_async<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
    ) -> Result<Vec<f32>, RunError> {
        self.run_jacobian(logits, rows, options, Wait::OnThread).await
    }

    async fn run_jacobian<T: Element>(
        &self,
        logits: &[T],
        rows: Rows,
        options: &Softmax,
        wait: Wait,
    ) -> Result<Vec<f32>, RunError> {
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        HostMatrix::new(Slot::Logits, "logits", logits, &rows)?;
        let options = Softmax {
            storage: Storage::all(T::DTYPE),
            ..options.clone()
        };
        let kernel = options.prepare_jacobian(gpu, rows)?;
        let x = gpu.buffer_of("logits", bytemuck::cast_slice(logits), Usage::STORAGE)?;
        let words = logits.len() * rows.classes();
        let jacobian = gpu.buffer("Jacobians", words as u64 * 4, Usage::STORAGE | Usage::COPY_SRC)?;
        let mut encoder = gpu.encoder();
        let buffers = SoftmaxJacobianBuffers {
            logits: x.slice(..),
            jacobian: jacobian.slice(..),
        };
        kernel.encode(&mut encoder, &buffers)?;
        gpu.submit(encoder)?;
        gpu.elements(&jacobian, words, wait).await
    }
}
