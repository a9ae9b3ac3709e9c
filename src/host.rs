//! Cross-entropy of a batch on the host.

use crate::batch::{Batch, BatchBuffers};
use crate::cross_entropy::{CrossEntropy, CrossEntropySummary, Gradient, Reduction, Upstream};
use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::kernel::{RowKernel, record};
use crate::rows::{ELEMENT_BYTES, Rows};
use crate::transfer::{Stream, Wait};
use wgpu::BufferUsages as Usage;

/// A class index on the host: any integer type.
pub trait TargetIndex: Copy {
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

/// Words that stand for targets which 32 bits cannot hold.
const IGNORED: u32 = 0x8000_0000;
const BAD: u32 = u32::MAX;

/// What [`Gpu::cross_entropy`] gives: what its options ask for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CrossEntropyOutput {
    /// The reduced loss, unless the reduction is [`Reduction::None`].
    pub loss: Option<f32>,
    /// The loss of each row.
    pub row_losses: Option<Vec<f32>>,
    /// The gradient, laid out as the logits are; padding is 0.
    pub gradient: Option<Vec<f32>>,
    /// `m + ln d` of each row.
    pub lse: Option<Vec<f32>>,
    /// The first largest class of each row.
    pub argmax: Option<Vec<u32>>,
    /// Rows whose argmax is their target.
    pub correct: Option<usize>,
    /// Rows that were not ignored.
    pub counted: usize,
}

impl Gpu {
    /// Cross-entropy of a batch on the host, and with [`CrossEntropy::gradient`] its gradient: see [`CrossEntropy`] for
    /// the formulas and special values.
    ///
    /// `logits` are laid out as `rows` says, `targets` has one class for each row. Batches larger than the device's limits
    /// go through it in parts; each row's results have the same bits whatever the parts.
    ///
    /// # Errors
    /// [`RunError::TargetOutOfRange`], a shape that is none or does not fit the slices, and whatever the device reports.
    ///
    /// ```
    /// use wgpu_softmax::{CrossEntropy, Gpu, Gradient, Rows};
    /// let gpu = Gpu::new()?;
    /// let options = CrossEntropy { gradient: Gradient::Apart, ..CrossEntropy::default() };
    /// let out = gpu.cross_entropy(&[0.0, 0.0], &[1u8], Rows::new(1, 2), &options)?;
    /// assert!((out.loss.unwrap() - 2f32.ln()).abs() < 1e-6);
    /// assert_eq!(out.gradient.unwrap(), [0.5, -0.5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cross_entropy<T: TargetIndex>(
        &self,
        logits: &[f32],
        targets: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput, RunError> {
        pollster::block_on(self.run_cross_entropy(logits, targets, rows, options, Wait::Here))
    }

    /// [`Gpu::cross_entropy`] for callers with a runtime: the device is waited for on a thread of its own.
    ///
    /// # Errors
    /// As [`Gpu::cross_entropy`].
    pub async fn cross_entropy_async<T: TargetIndex>(
        &self,
        logits: &[f32],
        targets: &[T],
        rows: Rows,
        options: &CrossEntropy,
    ) -> Result<CrossEntropyOutput, RunError> {
        self.run_cross_entropy(logits, targets, rows, options, Wait::Elsewhere)
            .await
    }

    async fn run_cross_entropy<T: TargetIndex>(
        &self,
        logits: &[f32],
        targets: &[T],
        rows: Rows,
        options: &CrossEntropy,
        wait: Wait,
    ) -> Result<CrossEntropyOutput, RunError> {
        let has_gradient = options.gradient != Gradient::None;
        let mut stream = Stream::new(self, rows, logits, has_gradient, wait)?;
        if targets.len() != rows.count() {
            return Err(wrong_length("targets", rows.count(), targets.len()));
        }
        if options.upstream == Upstream::Buffer {
            return Err(conflict(
                "upstream: Buffer",
                "slices on the host",
                "there is no buffer; use PerRow",
            ));
        }
        let options = CrossEntropy {
            gradient: if has_gradient {
                Gradient::InPlace
            } else {
                Gradient::None
            },
            ..options.clone()
        };
        let batch = Batch::new(self, rows, &options, IGNORED)?;
        let own = Own::new(self, rows, &options, targets)?;
        let buffers = own.buffers();

        let mut encoder = self.encoder();
        batch.reset(&mut encoder, &buffers);
        record(self, &mut encoder, &batch.before(&buffers)?)?;
        self.queue().submit([encoder.finish()]);

        let mut kernel: Option<RowKernel> = None;
        let gradient = stream
            .run(|host_part, encoder, logits| {
                let kernel = match &kernel {
                    Some(same) if same.rows == host_part.rows => same,
                    _ => kernel.insert(options.row_kernel(self, host_part.rows)?),
                };
                let mut steps = Vec::new();
                for part in kernel.parts() {
                    let (extra, params) = batch.bindings(&buffers, host_part.first_row + part.first_row, part.rows);
                    steps.extend(kernel.steps(part, logits, None, extra, params)?);
                }
                record(self, encoder, &steps)
            })
            .await?;

        let mut encoder = self.encoder();
        record(self, &mut encoder, &batch.after(&buffers)?)?;
        let bytes = CrossEntropySummary::BYTES;
        let summary = self
            .read(encoder, &own.summary, bytes, wait, CrossEntropySummary::from_bytes)
            .await?;
        let summary = summary.ok_or_else(|| RunError::Device {
            message: "the summary came back short".into(),
        })?;
        if let Some((row, _)) = summary.first_bad {
            return Err(RunError::TargetOutOfRange {
                row: row as usize,
                target: targets[row as usize].value(),
                classes: rows.classes(),
                count: summary.bad_targets as usize,
            });
        }
        Ok(CrossEntropyOutput {
            loss: (options.reduction != Reduction::None).then_some(summary.loss),
            row_losses: self.words(own.row_losses.as_ref(), rows.count(), wait).await?,
            gradient: has_gradient.then_some(gradient),
            lse: self.words(own.lse.as_ref(), rows.count(), wait).await?,
            argmax: self.words(own.argmax.as_ref(), rows.count(), wait).await?,
            correct: options.correct.then_some(summary.correct as usize),
            counted: summary.counted as usize,
        })
    }

    fn encoder(&self) -> wgpu::CommandEncoder {
        self.device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    async fn words<W: bytemuck::Pod>(
        &self,
        buffer: Option<&wgpu::Buffer>,
        count: usize,
        wait: Wait,
    ) -> Result<Option<Vec<W>>, RunError> {
        match buffer {
            None => Ok(None),
            Some(_) if count == 0 => Ok(Some(Vec::new())),
            Some(buffer) => {
                let bytes = count as u64 * ELEMENT_BYTES;
                let take = |view: &[u8]| bytemuck::pod_collect_to_vec(view);
                self.read(self.encoder(), buffer, bytes, wait, take).await.map(Some)
            }
        }
    }
}

/// The device's side of what the caller has, or wants, of each row.
struct Own {
    targets: wgpu::Buffer,
    summary: wgpu::Buffer,
    row_losses: Option<wgpu::Buffer>,
    lse: Option<wgpu::Buffer>,
    argmax: Option<wgpu::Buffer>,
}

impl Own {
    fn new<T: TargetIndex>(gpu: &Gpu, rows: Rows, options: &CrossEntropy, targets: &[T]) -> Result<Self, EncodeError> {
        let word = |target: &T| {
            let target = target.value();
            let class = usize::try_from(target).ok().filter(|&t| t < rows.classes());
            match class.and_then(|t| u32::try_from(t).ok()) {
                _ if target == i128::from(options.ignore_index) => IGNORED,
                Some(class) => class,
                None => BAD,
            }
        };
        let words: Vec<u32> = targets.iter().map(word).collect();
        let for_host = |what, asked: bool| {
            let bytes = rows.count() as u64 * ELEMENT_BYTES;
            asked
                .then(|| gpu.buffer(what, bytes, Usage::STORAGE | Usage::COPY_SRC))
                .transpose()
        };
        Ok(Self {
            targets: gpu.buffer_of("targets", bytemuck::cast_slice(&words), Usage::STORAGE)?,
            summary: gpu.buffer(
                "summary",
                CrossEntropySummary::BYTES,
                Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST,
            )?,
            row_losses: for_host("losses", options.wants_row_losses())?,
            lse: for_host("lse", options.lse)?,
            argmax: for_host("argmax", options.argmax)?,
        })
    }

    fn buffers(&self) -> BatchBuffers<'_> {
        BatchBuffers {
            targets: self.targets.slice(..),
            summary: self.summary.slice(..),
            upstream: None,
            row_losses: self.row_losses.as_ref().map(|b| b.slice(..)),
            lse: self.lse.as_ref().map(|b| b.slice(..)),
            argmax: self.argmax.as_ref().map(|b| b.slice(..)),
        }
    }
}

fn wrong_length(what: &'static str, expected: usize, got: usize) -> RunError {
    EncodeError::WrongLength { what, expected, got }.into()
}

fn conflict(a: &'static str, b: &'static str, why: &'static str) -> RunError {
    EncodeError::Conflict { a, b, why }.into()
}
