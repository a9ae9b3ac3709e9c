//! Binary cross-entropy of logits, element by element, and its gradient: the two-class case.

use crate::adjust::Mask;
use crate::batch::{Batch, BatchBuffers};
use crate::cross_entropy::{
    CrossEntropy, CrossEntropySummary, EmptyMean, Gradient, Normalizer, Reduction, Targets, Upstream,
};
use crate::dtype::{Element, Storage};
use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::kernel::{Recorded, RowKernel, Slice};
use crate::operand::{Extent, Operand, Slot, asked};
use crate::rows::Rows;
use crate::shader::{Needs, Params, Place, RowOp, RowSpec, Shaping};
use crate::softmax::{check_in_place, matrix_operands};
use crate::transfer::{Matrix, Wait};
use crate::values::{NO_BUFFER, Supply, Values, supplied};
use wgpu::BufferUsages as Usage;

/// Options of binary cross-entropy with logits.
///
/// Every element x is a logit of its own, with a target t from 0 to 1, a weight w and the weight p of what is positive:
/// `ℓ = w ((1 − t) ln(1 + e^x) + p t ln(1 + e^−x))`, which for p = 1 is `max(x, 0) − x t + ln(1 + e^−|x|)`;
/// gradient `w ((1 − t) σ(x) − p t σ(−x))`, for p = 1 `σ(x) − t`. The mean is over all elements.
///
/// It is the cross-entropy of the two classes with logits (0, x). NaN logits and targets give NaN; an infinite logit costs
/// nothing where its class is certain, else +∞. Within 2e-6 · max(1, ℓ) of the reference.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinaryCrossEntropy {
    /// w: none, one for each class, or laid out as the logits are.
    pub weight: Mask,
    /// p: one for each class.
    pub pos_weight: Option<Values>,
    /// How logits, targets and gradient are stored. The calls that take host slices go by the slices' type.
    pub storage: Storage,
    /// How the elements' losses become one.
    pub reduction: Reduction,
    /// The mean's denominator; the number of elements unless said otherwise.
    pub normalizer: Normalizer,
    /// The mean over nothing.
    pub empty_mean: EmptyMean,
    /// Whether, and where, the gradient is computed.
    pub gradient: Gradient,
    /// What the gradient is multiplied by; one number, or with [`Reduction::None`] one for each row.
    pub upstream: Upstream,
}

/// The buffers of [`BinaryCrossEntropyKernel::encode`]. Those that the options do not ask for must be `None`.
#[derive(Debug, Clone, Copy)]
pub struct BinaryCrossEntropyBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// From 0 to 1, laid out and stored as the logits are.
    pub targets: Slice<'a>,
    /// As in [`CrossEntropyBuffers::summary`](crate::CrossEntropyBuffers::summary).
    pub summary: Slice<'a>,
    /// The loss of each element, f32, laid out as the logits are; with [`Reduction::None`].
    pub losses: Option<Slice<'a>>,
    /// The gradient; with [`Gradient::Apart`].
    pub gradient: Option<Slice<'a>>,
    /// f32; with [`Values::Buffer`] in [`BinaryCrossEntropy::weight`].
    pub weight: Option<Slice<'a>>,
    /// An f32 for each class; with [`Values::Buffer`] in [`BinaryCrossEntropy::pos_weight`].
    pub pos_weight: Option<Slice<'a>>,
    /// One f32; with [`Normalizer::Buffer`].
    pub normalizer: Option<Slice<'a>>,
    /// f32; with [`Upstream::Buffer`].
    pub upstream: Option<Slice<'a>>,
}

/// Binary cross-entropy over one shape, ready to be recorded any number of times.
#[derive(Debug, Clone)]
pub struct BinaryCrossEntropyKernel {
    kernel: RowKernel,
    batch: Batch,
    options: BinaryCrossEntropy,
    weight: Option<Supply>,
    pos_weight: Option<Supply>,
    upstream: Option<Supply>,
    /// The elements' losses, where they are reduced; padding stays 0.
    losses: Option<wgpu::Buffer>,
}

/// What [`Gpu::binary_cross_entropy_with_logits`] gives: what its options ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryCrossEntropyOutput<T = f32> {
    /// The reduced loss, unless the reduction is [`Reduction::None`].
    pub loss: Option<f32>,
    /// The loss of each element, laid out as the logits are, with [`Reduction::None`].
    pub losses: Option<Vec<f32>>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Option<Vec<T>>,
}

impl BinaryCrossEntropy {
    /// What the batch sees: one loss for each element, under soft targets.
    fn as_batch(&self, elements: usize, count: usize) -> CrossEntropy {
        let normalizer = match self.normalizer {
            Normalizer::Rows if elements > 0 && self.reduction == Reduction::Mean => Normalizer::Number(count as f32),
            given => given,
        };
        let upstream = match (&self.upstream, self.reduction) {
            // One for each row is the kernel's business, not the batch's.
            (Upstream::PerRow(_) | Upstream::Buffer, Reduction::None) => Upstream::default(),
            (upstream, _) => upstream.clone(),
        };
        CrossEntropy {
            targets: Targets::Probabilities,
            reduction: self.reduction,
            empty_mean: self.empty_mean,
            row_losses: true,
            gradient: self.gradient,
            normalizer,
            upstream,
            ..CrossEntropy::default()
        }
    }

    /// The upstream gradient where it is not a reduced loss's.
    fn factor(&self) -> Option<Values> {
        match (&self.upstream, self.reduction) {
            (Upstream::PerRow(values), Reduction::None) => Some(Values::from(values.clone())),
            (Upstream::Buffer, Reduction::None) => Some(Values::Buffer),
            _ => None,
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// A shape or combination of options that is none, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<BinaryCrossEntropyKernel, EncodeError> {
        check_in_place(self.gradient == Gradient::InPlace, self.storage)?;
        let (elements, classes) = (rows.elements()?, rows.classes());
        let place = self.gradient.place();
        let by_class = Extent::Words(classes);
        let (kind, extent, count, values) = match &self.weight {
            Mask::None => (0, by_class, 0, None),
            Mask::Classes(values) => (2, by_class, classes, Some(values)),
            Mask::Full(values) => (3, Extent::Matrix(4), elements, Some(values)),
            Mask::Causal { .. } => {
                return Err(EncodeError::Conflict {
                    a: "weight: Causal",
                    b: "binary cross-entropy",
                    why: "a weight is a number for each class or element",
                });
            }
        };
        let weight = values.map(|v| Supply::new(gpu, Slot::Mask, "weight", extent, count, v));
        let positive = self.pos_weight.as_ref();
        let positive = positive.map(|v| Supply::new(gpu, Slot::PosWeights, "pos_weight", by_class, classes, v));
        let factor = self.factor();
        let factor =
            (factor.as_ref()).map(|v| Supply::new(gpu, Slot::Factor, "upstream", Extent::Row, rows.count(), v));
        let bound = [
            (Slot::Logits, place != Place::InPlace),
            (Slot::Result, place != Place::None),
            (Slot::Factor, place != Place::None),
            (Slot::Other, true),
            (Slot::Loss, true),
            (Slot::Mask, kind != 0),
            (Slot::PosWeights, self.pos_weight.is_some()),
        ];
        let spec = RowSpec {
            op: RowOp::Binary { weight: kind },
            storage: self.storage,
            place,
            needs: Needs::Nothing,
            shaping: Shaping::default(),
            slots: bound.into_iter().collect(),
        };
        let own = self.reduction != Reduction::None;
        // Of zeros, which the sum finds in padding.
        let losses = own.then(|| gpu.new_buffer("losses", elements as u64 * 4, Usage::STORAGE));
        let batch_options = self.as_batch(elements, rows.count() * classes);
        Ok(BinaryCrossEntropyKernel {
            kernel: RowKernel::new(gpu, rows, spec, None)?,
            batch: Batch::new(gpu, Rows::new(elements, 1), &batch_options, 0, Params::default())?,
            options: self.clone(),
            weight: weight.transpose()?,
            pos_weight: positive.transpose()?,
            upstream: factor.transpose()?,
            losses: losses.transpose()?,
        })
    }
}

impl BinaryCrossEntropyKernel {
    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`CrossEntropyKernel::encode`](crate::CrossEntropyKernel::encode).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &BinaryCrossEntropyBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        let spec = &self.kernel.spec;
        let reduces = self.losses.is_some();
        let apart = self.options.gradient == Gradient::Apart;
        let gradient = asked("gradient", "gradient: Apart", buffers.gradient, apart)?;
        let losses = asked("losses", "reduction: None", buffers.losses, !reduces)?;
        let losses = losses.or(self.losses.as_ref().map(|own| own.slice(..)));
        let matrix = Extent::Matrix(spec.storage.logits.bytes());
        let mut operands = matrix_operands(spec, buffers.logits, gradient)?;
        operands.push(Operand::read(Slot::Other, "targets", buffers.targets, matrix));
        operands.extend(losses.map(|slice| Operand::written(Slot::Loss, "losses", slice, Extent::Matrix(4))));
        operands.extend(supplied(&self.weight, "weight", buffers.weight)?);
        operands.extend(supplied(&self.pos_weight, "pos_weight", buffers.pos_weight)?);
        let per_row = supplied(&self.upstream, "upstream", buffers.upstream.filter(|_| !reduces))?;
        let batch = BatchBuffers {
            upstream: buffers.upstream.filter(|_| reduces),
            normalizer: buffers.normalizer,
            row_losses: losses,
            ..BatchBuffers::new(buffers.summary)
        };
        let of_batch = self.batch.operands(&batch)?;
        let factor = per_row.or(of_batch.iter().copied().find(|o| o.slot == Slot::Factor));
        operands.extend(factor.filter(|_| spec.place != Place::None));
        let params = Params {
            factor_stride: per_row.is_some().into(),
            ..self.batch.params()
        };
        (self.batch).encode(encoder, &batch, &of_batch, (&self.kernel, &operands, params))
    }
}

impl Gpu {
    /// Binary cross-entropy of a batch on the host, at once: see [`BinaryCrossEntropy`]. `targets` are laid out as the
    /// logits are.
    ///
    /// # Errors
    /// A shape that is none or does not fit the slices, options that contradict each other, and whatever the device reports.
    ///
    /// ```
    /// use wgpu_softmax::{BinaryCrossEntropy, Gpu, Gradient, Rows};
    /// let gpu = Gpu::new()?;
    /// let options = BinaryCrossEntropy { gradient: Gradient::Apart, ..BinaryCrossEntropy::default() };
    /// let out = gpu.binary_cross_entropy_with_logits(&[0f32], &[1.0], Rows::new(1, 1), &options)?;
    /// assert!((out.loss.unwrap() - 2f32.ln()).abs() < 1e-6);
    /// assert_eq!(out.gradient.unwrap(), [-0.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn binary_cross_entropy_with_logits<T: Element>(
        &self,
        logits: &[T],
        targets: &[T],
        rows: Rows,
        options: &BinaryCrossEntropy,
    ) -> Result<BinaryCrossEntropyOutput<T>, RunError> {
        pollster::block_on(self.run_binary(logits, targets, rows, options, Wait::Here))
    }

    /// [`Gpu::binary_cross_entropy_with_logits`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::binary_cross_entropy_with_logits`].
    pub async fn binary_cross_entropy_with_logits_async<T: Element>(
        &self,
        logits: &[T],
        targets: &[T],
        rows: Rows,
        options: &BinaryCrossEntropy,
    ) -> Result<BinaryCrossEntropyOutput<T>, RunError> {
        self.run_binary(logits, targets, rows, options, Wait::Elsewhere).await
    }

    async fn run_binary<T: Element>(
        &self,
        logits: &[T],
        targets: &[T],
        rows: Rows,
        options: &BinaryCrossEntropy,
        wait: Wait,
    ) -> Result<BinaryCrossEntropyOutput<T>, RunError> {
        let gpu = &self.lending();
        let _turn = gpu.turn().await;
        let buffer = options.upstream == Upstream::Buffer || options.normalizer == Normalizer::Buffer;
        if options.weight.is_buffer() || buffer || options.pos_weight == Some(Values::Buffer) {
            return Err(NO_BUFFER.into());
        }
        // Their lengths.
        Matrix::new(Slot::Logits, "logits", logits, &rows)?;
        Matrix::new(Slot::Other, "targets", targets, &rows)?;
        let has_gradient = options.gradient != Gradient::None;
        let options = BinaryCrossEntropy {
            gradient: if has_gradient { Gradient::Apart } else { Gradient::None },
            storage: Storage::all(T::DTYPE),
            ..options.clone()
        };
        let reduces = options.reduction != Reduction::None;
        let kernel = options.prepare(gpu, rows)?;
        let x = gpu.buffer_of("logits", bytemuck::cast_slice(logits), Usage::STORAGE)?;
        let t = gpu.buffer_of("targets", bytemuck::cast_slice(targets), Usage::STORAGE)?;
        let result = Usage::STORAGE | Usage::COPY_SRC;
        let summary = gpu.buffer("summary", CrossEntropySummary::BYTES, result | Usage::COPY_DST)?;
        let bytes = logits.len() as u64;
        // Of zeros, which padding is to stay.
        let gradient = has_gradient.then(|| gpu.new_buffer("gradient", bytes * T::DTYPE.bytes(), result));
        let gradient = gradient.transpose()?;
        let losses = (!reduces)
            .then(|| gpu.new_buffer("losses", bytes * 4, result))
            .transpose()?;
        let buffers = BinaryCrossEntropyBuffers {
            logits: x.slice(..),
            targets: t.slice(..),
            summary: summary.slice(..),
            losses: losses.as_ref().map(|b| b.slice(..)),
            gradient: gradient.as_ref().map(|b| b.slice(..)),
            weight: None,
            pos_weight: None,
            normalizer: None,
            upstream: None,
        };
        let mut encoder = gpu.encoder();
        kernel.encode(&mut encoder, &buffers)?;
        let read = CrossEntropySummary::from_bytes;
        let summary = gpu
            .read(encoder, &summary, CrossEntropySummary::BYTES, wait, read)
            .await?;
        Ok(BinaryCrossEntropyOutput {
            loss: summary.filter(|_| reduces).map(|s| s.loss),
            losses: gpu.elements_of(losses.as_ref(), logits.len(), wait).await?,
            gradient: gpu.elements_of(gradient.as_ref(), logits.len(), wait).await?,
        })
    }
}
