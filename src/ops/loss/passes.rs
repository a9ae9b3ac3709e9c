//! [`LossPasses`]: the dispatches around the kernel of the rows.

use super::buffers::{LossBuffers, upstream_buffer};
use super::options::{EmptyMean, GradScale, LossSpec, Normalizer, Reduction, Upstream};
use super::reduce::{self, Numbers};
use super::row_outputs::RowOutputs;
use super::summary::CrossEntropySummary;
use crate::dispatch::{Dispatch, Extent, NewlyBound, Operand, RowKernel, Slice, bind, check_apart, require_iff};
use crate::error::EncodeError;
use crate::gpu::Gpu;
use crate::ragged::{RaggedRows, RowLayout};
use crate::rows::ELEMENT_BYTES;
use crate::shader::{Params, Slot};
use wgpu::BufferUsages as Usage;

/// The passes around the rows of one batch.
#[derive(Debug, Clone)]
pub(crate) struct LossPasses {
    gpu: Gpu,
    spec: LossSpec,
    rows: usize,
    params: Params,
    before: Option<reduce::Reduction>,
    after: Option<reduce::Reduction>,
    /// Twice what gradients are multiplied by, or, where the device finds that, the upstream gradient.
    constants: wgpu::Buffer,
    /// The upstream gradients of the rows, if they are numbers of the options.
    upstream: Option<wgpu::Buffer>,
    /// The outputs that the kernels need for themselves and the caller does not want.
    own: RowOutputs<Option<wgpu::Buffer>>,
}

impl LossPasses {
    /// `params` are those that the options have set so far.
    pub(crate) fn new(gpu: &Gpu, layout: &RowLayout, spec: LossSpec, params: Params) -> Result<Self, EncodeError> {
        spec.validate()?;
        let (rows, classes) = (&layout.rows, classes_of_rows(gpu, layout, &spec)?);
        let count = rows.count();
        if u32::try_from(count).is_err() {
            return Err(rows.too_large());
        }
        let words = |what, needed: bool| {
            let bytes = count as u64 * ELEMENT_BYTES;
            needed.then(|| gpu.buffer(what, bytes, Usage::STORAGE)).transpose()
        };
        let (upstream, per_row) = upstream_buffer(gpu, &spec, count)?;
        let denominator = spec.known_denominator(count);
        let scale = match (denominator, spec.empty_mean) {
            _ if spec.grad_scale() == GradScale::InSummary => upstream,
            (0.0, EmptyMean::Nan) => f32::NAN,
            (0.0, EmptyMean::Zero) => 0.0,
            _ => upstream / denominator,
        };
        let (reduces, wanted) = (spec.reduces, spec.outputs);
        let own = RowOutputs {
            row_losses: words("losses", reduces && !wanted.row_losses)?,
            row_z_losses: words("z-losses", reduces && spec.z_loss && !wanted.row_z_losses)?,
            argmax: words("argmax", spec.correct && !wanted.argmax)?,
            ..RowOutputs::default()
        };
        let pass = |pass: Option<_>| {
            pass.map(|pass| reduce::Reduction::new(gpu, pass, count, classes.clone()))
                .transpose()
        };
        Ok(Self {
            gpu: gpu.clone(),
            rows: count,
            params: Params {
                classes: rows.whole_classes() as u32,
                grad_scale_stride: spec.has_upstream_per_row().into(),
                empty_mean: spec.empty_mean as u32,
                normalizer: if count == 0 { over_nothing(&spec) } else { denominator },
                batch_rows: count as u32,
                ..params
            },
            before: pass(spec.pass_before(count))?,
            after: pass(spec.pass_after(count))?,
            constants: gpu.buffer_of("upstream gradient", bytemuck::bytes_of(&[scale; 2]), Usage::STORAGE)?,
            upstream: per_row,
            own,
            spec,
        })
    }

    /// The parameters of the kernel of the rows.
    pub(crate) fn params(&self) -> Params {
        self.params
    }

    /// What the kernel of the rows is bound to on behalf of the passes: the gradient's scale, and the outputs of rows.
    pub(crate) fn operands<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Operand<'a>>, EncodeError> {
        let from_buffer = self.spec.upstream == Upstream::Buffer;
        let upstream = require_iff(from_buffer, "upstream", "upstream: Buffer", buffers.upstream)?;
        let mut all = Vec::new();
        if self.spec.gradient {
            let given = upstream.or(self.upstream.as_ref().map(|u| u.slice(..)));
            all.push(match (self.spec.grad_scale(), given) {
                (GradScale::PerRow, Some(slice)) => Operand::read(Slot::GradScale, "upstream", slice, Extent::Row),
                (GradScale::Upstream, Some(slice)) => {
                    Operand::read(Slot::Upstream, "upstream", slice, Extent::Words(1))
                }
                (GradScale::InSummary, _) => {
                    Operand::read(Slot::GradScale, "summary", buffers.grad_scales(), Extent::Words(2))
                }
                _ => Operand::read(Slot::GradScale, "upstream", self.constants.slice(..), Extent::Words(2)),
            });
        }
        let outputs = buffers.outputs.named().zip(self.spec.outputs.named());
        for (((slot, name, slice), (.., is_wanted)), (.., own)) in outputs.zip(self.own.as_ref().named()) {
            let slice = require_iff(is_wanted, name, name, slice)?.or(own.as_ref().map(|own| own.slice(..)));
            all.extend(slice.map(|slice| Operand::written(slot, name, slice, Extent::Row)));
        }
        Ok(all)
    }

    /// Checks the caller's buffers and binds the kernel of the rows between the passes before and after it. `by_row` are
    /// the operands of one word a row or class, `operands` all that the kernel is bound to.
    pub(crate) fn bind(
        &self,
        buffers: &LossBuffers<'_>,
        by_row: &[Operand<'_>],
        (kernel, operands, params): (&RowKernel, &[Operand<'_>], Params),
    ) -> Result<NewlyBound, EncodeError> {
        self.check(buffers, by_row)?;
        kernel.check(operands)?;
        let mut dispatches = self.before(buffers)?;
        dispatches.extend(kernel.dispatches(operands, 0, params)?);
        dispatches.extend(self.after(buffers)?);
        bind(&self.gpu, &dispatches)
    }

    /// Checks what the kernel of the rows does not bind itself.
    fn check(&self, buffers: &LossBuffers<'_>, by_row: &[Operand<'_>]) -> Result<(), EncodeError> {
        let words = Extent::Words(CrossEntropySummary::BYTES as usize / 4);
        let summary = Operand::written(Slot::Summary, "summary", buffers.summary, words);
        summary.check(0, 0)?;
        self.check_summary(buffers.summary)?;
        let from_buffer = self.spec.normalizer == Normalizer::Buffer;
        let normalizer = require_iff(from_buffer, "normalizer", "normalizer: Buffer", buffers.normalizer)?;
        let upstream = buffers.upstream.filter(|_| !self.spec.has_upstream_per_row());
        let word = Extent::Words(1);
        let mut all = vec![summary];
        all.extend(normalizer.map(|slice| Operand::read(Slot::Normalizer, "normalizer", slice, word)));
        all.extend(upstream.map(|slice| Operand::read(Slot::Upstream, "upstream", slice, word)));
        // Some dispatches bind these operands while they write the summary, and the one that writes the results reads
        // it, so none of them may overlap it.
        let is_beside_it =
            |o: &&Operand<'_>| o.is_written || matches!(o.slot, Slot::Targets | Slot::Weights | Slot::RowWeights);
        all.extend(by_row.iter().filter(is_beside_it).map(|o| Operand {
            is_written: false,
            ..*o
        }));
        for operand in &all {
            operand.check(self.rows, 0)?;
        }
        check_apart(&self.gpu, &all)
    }

    /// Checks that the summary is aligned, because it is bound without an offset in `Params`.
    fn check_summary(&self, summary: Slice<'_>) -> Result<(), EncodeError> {
        let alignment = u64::from(self.gpu.limits().min_storage_buffer_offset_alignment);
        if summary.offset().is_multiple_of(alignment) {
            return Ok(());
        }
        Err(EncodeError::MisalignedOffset {
            buffer: "summary",
            offset: summary.offset(),
            alignment,
        })
    }

    /// Where the device alone knows the mean's denominator: finds it and what gradients are multiplied by, and counts
    /// the targets.
    pub(crate) fn before<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let upstream = buffers.upstream.unwrap_or(self.constants.slice(..));
        self.pass(self.before.as_ref(), buffers, Some(upstream))
    }

    /// Reduces the losses, counts the rows that are right, and does what nothing before the rows has done.
    pub(crate) fn after<'a>(&'a self, buffers: &LossBuffers<'a>) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        self.pass(self.after.as_ref(), buffers, None)
    }

    fn pass<'a>(
        &'a self,
        pass: Option<&'a reduce::Reduction>,
        buffers: &LossBuffers<'a>,
        upstream: Option<Slice<'a>>,
    ) -> Result<Vec<Dispatch<'a>>, EncodeError> {
        let Some(pass) = pass else {
            return Ok(Vec::new());
        };
        let (given, own) = (buffers.outputs, self.own.as_ref());
        let own = own.map(|buffer| buffer.as_ref().map(|b| b.slice(..)));
        let outputs = RowOutputs {
            row_losses: given.row_losses.or(own.row_losses),
            row_z_losses: given.row_z_losses.or(own.row_z_losses),
            argmax: given.argmax.or(own.argmax),
            ..given
        };
        let numbers = Numbers {
            upstream,
            normalizer: buffers.normalizer,
        };
        pass.dispatches(self.params, buffers, &outputs, &numbers)
    }
}

/// The number of classes of each row, which its target is compared with, where rows are of unequal length.
fn classes_of_rows(gpu: &Gpu, layout: &RowLayout, spec: &LossSpec) -> Result<Option<wgpu::Buffer>, EncodeError> {
    let of_rows = |ragged: &RaggedRows| {
        let lengths = ragged.offsets().windows(2).map(|pair| (pair[1] - pair[0]) as u32);
        let words: Vec<u32> = lengths.collect();
        gpu.buffer_of("classes of rows", bytemuck::cast_slice(&words), Usage::STORAGE)
    };
    let ragged = layout.ragged.as_ref().filter(|_| !spec.soft_targets);
    ragged.map(of_rows).transpose()
}

/// The denominator of the loss of no rows: 0 where that loss is the mean over nothing, else anything that leaves it 0.
fn over_nothing(spec: &LossSpec) -> f32 {
    match spec.normalizer {
        Normalizer::Rows | Normalizer::Number(0.0) if spec.reduction == Reduction::Mean => 0.0,
        _ => 1.0,
    }
}
