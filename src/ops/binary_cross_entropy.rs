//! Binary cross-entropy of logits, element by element, and its gradient: the two-class case.

use super::adjust::Mask;
use super::loss::{
    CrossEntropySummary, EmptyMean, Gradient, LossBuffers, LossPasses, LossSpec, Normalizer, Reduction, RowOutputs,
    Upstream,
};
use super::row_op::{check_in_place, matrix_operands};
use super::values::{NO_BUFFER, OptionBuffer, Values, check_finite, option_operand};
use crate::dispatch::{Bound, Extent, HostMatrix, NewlyBound, Operand, Recorded, RowKernel, Slice, require_iff};
use crate::dtype::{Element, Storage};
use crate::error::{EncodeError, RunError};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::rows::Rows;
use crate::shader::{AdjustSpec, Params, ResultPlace, RowOp, RowSpec, RowStatsNeed, SampleSpec, Slot, Slots};
use wgpu::BufferUsages as Usage;

/// Options of binary cross-entropy with logits.
///
/// Every element x is a logit of its own, with a target t from 0 to 1, a weight w, and the weight p of the positive
/// class: `ℓ = w ((1 − t) ln(1 + e^x) + p t ln(1 + e^−x))`, which for p = w = 1 is `max(x, 0) − x t + ln(1 + e^−|x|)`.
/// The gradient is `w ((1 − t) σ(x) − p t σ(−x))`, which for p = w = 1 is `σ(x) − t`. The mean is over all elements.
///
/// It is the cross-entropy of the two classes with logits (0, x). NaN logits and targets give NaN; the loss of an
/// infinite logit is 0 where the target is exactly the class of its sign, else +∞. Losses are within 4 ULP of themselves,
/// gradients within 6, however small: for x = 20 and t = 1 the loss is 2.06e-9.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinaryCrossEntropy {
    /// w: none, one for each class, or laid out as the logits are.
    pub weight: Mask,
    /// p: one for each class.
    pub pos_weight: Option<Values>,
    /// How logits, targets and gradient are stored. The calls that take host slices use the slices' type instead.
    pub storage: Storage,
    /// How the losses of the elements are reduced to one.
    pub reduction: Reduction,
    /// The mean's denominator; the number of elements unless said otherwise.
    pub normalizer: Normalizer,
    /// What the mean over nothing gives.
    pub empty_mean: EmptyMean,
    /// Whether, and where, the gradient is computed.
    pub gradient: Gradient,
    /// What the gradient is multiplied by; one number, or with [`Reduction::None`] one for each row.
    pub upstream: Upstream,
    /// Native exp and log, sums and products that the driver may fuse, no second number for what rounding loses: fewer
    /// instructions where arithmetic is what a GPU is short of. The order of summation stays, so that a row's bits are
    /// still the same in every batch, plan and run on one adapter, but not on another. Errors are what the driver's
    /// functions make of them: [`Gpu::verify`](crate::Gpu::verify) measures them.
    pub fast: bool,
}

/// The buffers of [`BinaryCrossEntropyKernel::encode`]. Those that the options do not ask for must be `None`.
#[derive(Debug, Clone, Copy)]
pub struct BinaryCrossEntropyBuffers<'a> {
    /// The batch.
    pub logits: Slice<'a>,
    /// The targets, from 0 to 1, laid out and stored as the logits are.
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
    passes: LossPasses,
    options: BinaryCrossEntropy,
    weight: Option<OptionBuffer>,
    pos_weight: Option<OptionBuffer>,
    /// The upstream gradients of the rows, where each has its own.
    row_upstream: Option<OptionBuffer>,
    /// The elements' losses, where they are reduced; padding stays 0.
    losses: Option<wgpu::Buffer>,
}

/// The result of [`Gpu::binary_cross_entropy_with_logits`]: the outputs that its options ask for.
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
    /// The loss as the passes see it: each element is a row, with a soft target and a loss of its own.
    fn loss_spec(&self, elements: usize, count: usize) -> LossSpec {
        let normalizer = match self.normalizer {
            Normalizer::Rows if elements > 0 && self.reduction == Reduction::Mean => Normalizer::Number(count as f32),
            given => given,
        };
        let upstream = match self.row_upstream() {
            // To the passes every element is a row, so they do not know the batch's rows.
            Some(_) => Upstream::default(),
            None => self.upstream.clone(),
        };
        LossSpec {
            soft_targets: true,
            row_weights: false,
            class_weights: false,
            z_loss: false,
            reduction: self.reduction,
            normalizer,
            empty_mean: self.empty_mean,
            gradient: self.gradient != Gradient::None,
            reduces: self.reduction != Reduction::None,
            upstream,
            outputs: RowOutputs {
                row_losses: true,
                ..RowOutputs::default()
            },
            correct: false,
        }
    }

    /// The upstream gradients of the rows, where the losses are not reduced.
    fn row_upstream(&self) -> Option<Values> {
        match (&self.upstream, self.reduction) {
            (Upstream::PerRow(values), Reduction::None) => Some(Values::from(values.clone())),
            (Upstream::Buffer, Reduction::None) => Some(Values::Buffer),
            _ => None,
        }
    }

    fn row_spec(&self, loss: &LossSpec) -> RowSpec {
        let place = self.gradient.place();
        let bound = [
            (Slot::Logits, place != ResultPlace::InPlace),
            (Slot::Result, place != ResultPlace::None),
            (Slot::SoftTargets, true),
            (Slot::Loss, true),
            (Slot::Mask, self.weight != Mask::None),
            (Slot::PosWeights, self.pos_weight.is_some()),
        ];
        RowSpec {
            op: RowOp::BinaryCrossEntropy {
                weight: self.weight.kind(),
            },
            storage: self.storage,
            fast: self.fast,
            equal_rows: false,
            place,
            stats: RowStatsNeed::Nothing,
            adjust: AdjustSpec::default(),
            sample: SampleSpec::default(),
            slots: Slots::from_iter(bound).with(loss.grad_slot()),
        }
    }

    /// Chooses a plan for batches of this shape and compiles its kernels.
    ///
    /// # Errors
    /// An invalid shape or combination of options, and everything the driver refuses.
    pub fn prepare(&self, gpu: &Gpu, rows: Rows) -> Result<BinaryCrossEntropyKernel, EncodeError> {
        check_in_place(self.gradient == Gradient::InPlace, self.storage)?;
        if let Mask::Causal { .. } = self.weight {
            return Err(EncodeError::Conflict {
                a: "weight: Causal",
                b: "binary cross-entropy",
                why: "a weight is a number for each class or element",
            });
        }
        check_finite("weight", self.weight.values())?;
        check_finite("pos_weight", self.pos_weight.as_ref())?;
        let (elements, classes) = (rows.elements()?, rows.classes());
        let by_class = Extent::Words(classes);
        let weight = self.weight.numbers(gpu, rows, "weight")?;
        let positive = self.pos_weight.as_ref();
        let positive = positive.map(|v| OptionBuffer::new(gpu, Slot::PosWeights, "pos_weight", by_class, classes, v));
        let upstream = self.row_upstream();
        let upstream = upstream.as_ref();
        let upstream =
            upstream.map(|v| OptionBuffer::new(gpu, Slot::GradScale, "upstream", Extent::Row, rows.count(), v));
        let reduces = self.reduction != Reduction::None;
        // A new buffer is all zeros, and the sum includes the padding, which must be 0.
        let losses = reduces.then(|| gpu.new_buffer("losses", elements as u64 * 4, Usage::STORAGE));
        let loss_spec = self.loss_spec(elements, rows.count() * classes);
        Ok(BinaryCrossEntropyKernel {
            kernel: RowKernel::new(gpu, rows, self.row_spec(&loss_spec), None)?,
            passes: LossPasses::new(gpu, &Rows::new(elements, 1).into(), loss_spec, Params::default())?,
            options: self.clone(),
            weight,
            pos_weight: positive.transpose()?,
            row_upstream: upstream.transpose()?,
            losses: losses.transpose()?,
        })
    }
}

impl BinaryCrossEntropyKernel {
    /// Checks the buffers and binds the operation to them: see [`Bound`].
    ///
    /// # Errors
    /// As [`CrossEntropyKernel::bind`](crate::CrossEntropyKernel::bind).
    pub fn bind(&self, buffers: &BinaryCrossEntropyBuffers<'_>) -> Result<Bound, EncodeError> {
        self.newly_bound(buffers).map(|new| new.bound)
    }

    /// Records the operation; nothing is submitted, polled or waited for.
    ///
    /// # Errors
    /// As [`CrossEntropyKernel::bind`](crate::CrossEntropyKernel::bind).
    pub fn encode(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        buffers: &BinaryCrossEntropyBuffers<'_>,
    ) -> Result<Recorded, EncodeError> {
        self.newly_bound(buffers).map(|new| new.encode(encoder))
    }

    fn newly_bound(&self, buffers: &BinaryCrossEntropyBuffers<'_>) -> Result<NewlyBound, EncodeError> {
        let spec = &self.kernel.spec;
        let reduces = self.losses.is_some();
        let is_apart = self.options.gradient == Gradient::Apart;
        let gradient = require_iff(is_apart, "gradient", "gradient: Apart", buffers.gradient)?;
        let losses = require_iff(!reduces, "losses", "reduction: None", buffers.losses)?;
        let losses = losses.or(self.losses.as_ref().map(|own| own.slice(..)));
        let matrix = Extent::Matrix(spec.storage.logits.bytes());
        let mut operands = matrix_operands(spec, buffers.logits, gradient)?;
        operands.push(Operand::read(Slot::SoftTargets, "targets", buffers.targets, matrix));
        operands.extend(losses.map(|slice| Operand::written(Slot::Loss, "losses", slice, Extent::Matrix(4))));
        operands.extend(option_operand(&self.weight, "weight", buffers.weight)?);
        operands.extend(option_operand(&self.pos_weight, "pos_weight", buffers.pos_weight)?);
        let per_row = buffers.upstream.filter(|_| !reduces);
        let per_row = option_operand(&self.row_upstream, "upstream", per_row)?;
        let loss = LossBuffers {
            upstream: buffers.upstream.filter(|_| reduces),
            normalizer: buffers.normalizer,
            outputs: RowOutputs {
                row_losses: losses,
                ..RowOutputs::default()
            },
            ..LossBuffers::new(buffers.summary)
        };
        let by_element = self.passes.operands(&loss)?;
        let is_scale = |o: &Operand<'_>| matches!(o.slot, Slot::GradScale | Slot::Upstream);
        let grad_scale = per_row.or(by_element.iter().copied().find(is_scale));
        operands.extend(grad_scale.filter(|_| spec.place != ResultPlace::None));
        let params = Params {
            grad_scale_stride: per_row.is_some().into(),
            ..self.passes.params()
        };
        self.passes.bind(&loss, &by_element, (&self.kernel, &operands, params))
    }
}

impl Gpu {
    /// Binary cross-entropy of a batch on the host, at once: see [`BinaryCrossEntropy`]. `targets` are laid out as the
    /// logits are.
    ///
    /// # Errors
    /// A shape that is invalid or does not fit the slices, options that contradict each other, and whatever the device
    /// reports.
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
    #[cfg(not(target_arch = "wasm32"))]
    pub fn binary_cross_entropy_with_logits<T: Element>(
        &self,
        logits: &[T],
        targets: &[T],
        rows: Rows,
        options: &BinaryCrossEntropy,
    ) -> Result<BinaryCrossEntropyOutput<T>, RunError> {
        block_on(self.run_binary(logits, targets, rows, options, Wait::Blocking))
    }

    /// [`Gpu::binary_cross_entropy_with_logits`] for callers with a runtime: the device is waited for on a thread of
    /// its own.
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
        self.run_binary(logits, targets, rows, options, Wait::OnThread).await
    }

    async fn run_binary<T: Element>(
        &self,
        logits: &[T],
        targets: &[T],
        rows: Rows,
        options: &BinaryCrossEntropy,
        wait: Wait,
    ) -> Result<BinaryCrossEntropyOutput<T>, RunError> {
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let buffer = options.upstream == Upstream::Buffer || options.normalizer == Normalizer::Buffer;
        if options.weight.is_buffer() || buffer || options.pos_weight == Some(Values::Buffer) {
            return Err(NO_BUFFER);
        }
        // This checks the lengths of the slices.
        HostMatrix::new(Slot::Logits, "logits", logits, &rows)?;
        HostMatrix::new(Slot::SoftTargets, "targets", targets, &rows)?;
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
        let summary = gpu.buffer("summary", CrossEntropySummary::BYTES, result)?;
        let bytes = logits.len() as u64;
        // A new buffer is all zeros, and padding must stay 0.
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
