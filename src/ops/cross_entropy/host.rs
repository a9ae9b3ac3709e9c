//! Cross-entropy of a batch on the host.

use super::kernel::CrossEntropyBatch;
use super::options::{CrossEntropy, Targets};
use crate::dispatch::{HostBatch, HostMatrix, bind};
use crate::dtype::{Element, Storage};
use crate::error::{RunError, check_length};
#[cfg(not(target_arch = "wasm32"))]
use crate::gpu::block_on;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{AdjustBuffers, Adjusted};
#[cfg(doc)]
use crate::ops::loss::Reduction;
use crate::ops::loss::{CrossEntropySummary, Gradient, LossBuffers, Normalizer, RowOutputs, Upstream};
use crate::ops::values::{NO_BUFFER, Values};
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::shader::Slot;
use wgpu::BufferUsages as Usage;

/// A class index on the host: any integer type.
pub trait TargetIndex: Copy + Send + Sync {
    /// Its value.
    fn value(self) -> i128;
}

macro_rules! target_index {
    ($($integer:ty)*) => {$(
        impl TargetIndex for $integer {
            fn value(self) -> i128 {
                self as i128
            }
        }
    )*};
}

target_index!(i8 i16 i32 i64 isize u8 u16 u32 u64 usize);

/// The words that the device gets for ignored and for bad targets, whose values may not fit 32 bits.
const IGNORED: u32 = 0x8000_0000;
const BAD: u32 = u32::MAX;

/// The result of [`Gpu::cross_entropy`]: the outputs that its options ask for.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossEntropyOutput<T = f32> {
    /// The reduced loss, unless the reduction is [`Reduction::None`].
    pub loss: Option<f32>,
    /// Σ λ lse² over the rows, if the loss is reduced and has a z-loss.
    pub z_loss: Option<f32>,
    /// The loss of each row.
    pub row_losses: Option<Vec<f32>>,
    /// The part λ lse² of each row's loss.
    pub row_z_losses: Option<Vec<f32>>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Option<Vec<T>>,
    /// `m + ln d` of each row.
    pub lse: Option<Vec<f32>>,
    /// `ln y_t` of each row.
    pub log_prob: Option<Vec<f32>>,
    /// `−Σ y ln y` of each row.
    pub entropy: Option<Vec<f32>>,
    /// The first largest class of each row.
    pub argmax: Option<Vec<u32>>,
    /// Rows whose argmax is their target.
    pub correct: Option<usize>,
    /// Rows that were not ignored.
    pub counted: usize,
}

/// Targets on the host.
enum HostTargets<'a, T> {
    /// The words for the device, and a function that gives a row's target as the caller wrote it.
    Indices(Vec<u32>, &'a (dyn Fn(usize) -> i128 + Sync)),
    Probabilities(&'a [T]),
}

impl Gpu {
    /// Cross-entropy of a batch on the host with class indices as targets, and with [`CrossEntropy::gradient`] its
    /// gradient: see [`CrossEntropy`] for the formulas and special values.
    ///
    /// `logits` are laid out as `rows` says; `targets` has one class for each row. Batches larger than the device's
    /// limits go through it in parts; each row's results have the same bits whatever the parts.
    ///
    /// # Errors
    /// [`RunError::TargetOutOfRange`], a shape that is invalid or does not fit the slices, options that contradict each
    /// other, and whatever the device reports.
    ///
    /// ```
    /// use wgpu_softmax::{CrossEntropy, Gpu, Gradient, Rows};
    /// let gpu = Gpu::new()?;
    /// let options = CrossEntropy { gradient: Gradient::Apart, ..CrossEntropy::default() };
    /// let out = gpu.cross_entropy(&[0f32, 0.0], &[1u8], Rows::new(1, 2), &options)?;
    /// assert!((out.loss.unwrap() - 2f32.ln()).abs() < 1e-6);
    /// assert_eq!(out.gradient.unwrap(), [0.5, -0.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        block_on(self.with_indices(logits, targets, rows, options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_async<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        self.with_indices(logits, targets, rows, options, Wait::OnThread).await
    }

    /// As [`Gpu::cross_entropy`] with soft targets: `probabilities` are laid out as the logits are.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    #[cfg(not(target_arch = "wasm32"))]
    pub fn cross_entropy_soft<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        block_on(self.with_probabilities(logits, probabilities, rows, options, Wait::Blocking))
    }

    /// [`Gpu::cross_entropy_soft`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_soft_async<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        self.with_probabilities(logits, probabilities, rows, options, Wait::OnThread)
            .await
    }

    async fn with_probabilities<T: Element>(
        &self,
        logits: &[T],
        probabilities: &[T],
        rows: Rows,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let options = CrossEntropy {
            targets: Targets::Probabilities,
            ..options.clone()
        };
        self.run_cross_entropy(logits, HostTargets::Probabilities(probabilities), rows, options, wait)
            .await
    }

    async fn with_indices<T: Element, I: TargetIndex>(
        &self,
        logits: &[T],
        targets: &[I],
        rows: Rows,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let word = |target: &I| {
            let target = target.value();
            let class = usize::try_from(target).ok().filter(|&t| t < rows.classes());
            match class.and_then(|t| u32::try_from(t).ok()) {
                _ if target == i128::from(options.ignore_index) => IGNORED,
                Some(class) => class,
                None => BAD,
            }
        };
        let words = targets.iter().map(word).collect();
        let value = |row: usize| targets.get(row).map_or(0, |t| t.value());
        let options = CrossEntropy {
            targets: Targets::Indices,
            ..options.clone()
        };
        self.run_cross_entropy(logits, HostTargets::Indices(words, &value), rows, options, wait)
            .await
    }

    async fn run_cross_entropy<T: Element>(
        &self,
        logits: &[T],
        targets: HostTargets<'_, T>,
        rows: Rows,
        options: CrossEntropy,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let gpu = &self.leasing();
        let _lock = gpu.gl_call_lock().await;
        let mut matrices = vec![HostMatrix::new(Slot::Logits, "logits", logits, &rows)?];
        let words: &[u32] = match &targets {
            HostTargets::Indices(words, _) => {
                check_length("targets", rows.count(), words.len())?;
                words
            }
            HostTargets::Probabilities(probabilities) => {
                matrices.push(HostMatrix::new(
                    Slot::SoftTargets,
                    "probabilities",
                    probabilities,
                    &rows,
                )?);
                &[]
            }
        };
        let options = options.on_host::<T>()?;
        let (adjusted, mask) = Adjusted::on_host(gpu, rows, &options.adjust)?;
        matrices.extend(mask);
        let batch = CrossEntropyBatch::new(gpu, rows, &options, IGNORED, adjusted.params)?;
        let outputs = HostOutputs::new(gpu, rows, &options, words)?;
        let (buffers, mut others) = batch.bind(outputs.buffers(options.is_soft()), [None; 2])?;
        others.extend(adjusted.operands(&AdjustBuffers::default())?);

        let before = batch.passes.before(&buffers)?;
        if !before.is_empty() {
            let mut encoder = gpu.encoder();
            bind(gpu, &before)?.encode(&mut encoder);
            gpu.submit(encoder)?;
        }

        let kernel = HostBatch {
            rows,
            spec: options.row_spec(&adjusted),
            schedule: options.schedule,
            params: batch.passes.params(),
            others,
            wait,
        };
        let gradient = gpu.stream(matrices, &kernel).await?;

        let mut encoder = gpu.encoder();
        bind(gpu, &batch.passes.after(&buffers)?)?.encode(&mut encoder);
        let summary = outputs.summary(gpu, encoder, wait).await?;
        targets.check(&summary, rows.classes())?;
        outputs.read(gpu, &options, (summary, gradient), rows, wait).await
    }
}

impl<T> HostTargets<'_, T> {
    /// Returns an error that names the first target that is no class, if the kernels have found one.
    fn check(&self, summary: &CrossEntropySummary, classes: usize) -> Result<(), RunError> {
        if let (Some((row, _)), HostTargets::Indices(_, value)) = (summary.first_bad, self) {
            return Err(RunError::TargetOutOfRange {
                row: row as usize,
                target: value(row as usize),
                classes,
                count: summary.bad_targets as usize,
            });
        }
        Ok(())
    }
}

impl CrossEntropy {
    /// The options for a call on host slices: stored as the slices are, with the gradient in place of the device's copy
    /// of the logits.
    fn on_host<T: Element>(self) -> Result<Self, RunError> {
        let buffers = [&self.weights, &self.from_lse].map(|v| *v == Some(Values::Buffer));
        let upstream = self.upstream == Upstream::Buffer;
        if upstream || buffers.contains(&true) || self.normalizer == Normalizer::Buffer {
            return Err(NO_BUFFER);
        }
        Ok(Self {
            gradient: match self.gradient {
                Gradient::None => Gradient::None,
                Gradient::Apart | Gradient::InPlace => Gradient::InPlace,
            },
            storage: Storage::all(T::DTYPE),
            ..self
        })
    }
}

/// The device buffers for the targets, the summary, and the outputs that the caller wants of each row.
struct HostOutputs {
    targets: wgpu::Buffer,
    summary: wgpu::Buffer,
    rows: RowOutputs<Option<wgpu::Buffer>>,
}

impl HostOutputs {
    fn new(gpu: &Gpu, rows: Rows, options: &CrossEntropy, targets: &[u32]) -> Result<Self, RunError> {
        let bytes = rows.count() as u64 * ELEMENT_BYTES;
        let for_host = |name, is_wanted: bool| {
            let buffer = is_wanted.then(|| gpu.buffer(name, bytes, Usage::STORAGE | Usage::COPY_SRC));
            buffer.transpose()
        };
        let summary = Usage::STORAGE | Usage::COPY_SRC;
        Ok(Self {
            targets: gpu.buffer_of("targets", bytemuck::cast_slice(targets), Usage::STORAGE)?,
            summary: gpu.buffer("summary", CrossEntropySummary::BYTES, summary)?,
            rows: options.outputs().try_map(for_host)?,
        })
    }

    fn buffers(&self, is_soft: bool) -> LossBuffers<'_> {
        let rows = self.rows.as_ref();
        LossBuffers {
            targets: (!is_soft).then(|| self.targets.slice(..)),
            outputs: rows.map(|buffer| buffer.as_ref().map(|b| b.slice(..))),
            ..LossBuffers::new(self.summary.slice(..))
        }
    }

    /// Submits, and brings the summary to the host.
    async fn summary(
        &self,
        gpu: &Gpu,
        encoder: wgpu::CommandEncoder,
        wait: Wait,
    ) -> Result<CrossEntropySummary, RunError> {
        let read = CrossEntropySummary::from_bytes;
        let summary = gpu
            .read(encoder, &self.summary, CrossEntropySummary::BYTES, wait, read)
            .await?;
        summary.ok_or_else(|| RunError::Device {
            message: "the summary came back short".into(),
        })
    }

    /// Brings the outputs of the rows to the host.
    async fn read<T>(
        &self,
        gpu: &Gpu,
        options: &CrossEntropy,
        (summary, gradient): (CrossEntropySummary, Vec<T>),
        rows: Rows,
        wait: Wait,
    ) -> Result<CrossEntropyOutput<T>, RunError> {
        let count = rows.count();
        let reduces = options.reduces();
        Ok(CrossEntropyOutput {
            loss: reduces.then_some(summary.loss),
            z_loss: (reduces && options.z_loss != 0.0).then_some(summary.z_loss),
            row_losses: gpu.elements_of(self.rows.row_losses.as_ref(), count, wait).await?,
            row_z_losses: gpu.elements_of(self.rows.row_z_losses.as_ref(), count, wait).await?,
            gradient: (options.gradient != Gradient::None).then_some(gradient),
            lse: gpu.elements_of(self.rows.lse.as_ref(), count, wait).await?,
            log_prob: gpu.elements_of(self.rows.log_prob.as_ref(), count, wait).await?,
            entropy: gpu.elements_of(self.rows.entropy.as_ref(), count, wait).await?,
            argmax: gpu.elements_of(self.rows.argmax.as_ref(), count, wait).await?,
            correct: options.correct.then_some(summary.correct as usize),
            counted: summary.counted as usize,
        })
    }
}
