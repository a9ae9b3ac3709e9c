//! Batches on the host: they travel in parts, of which one is read back while the next is computed.

use super::binding::{Extent, Operand};
use super::partition::{HostPart, host_parts};
use super::record::bind;
use super::row_kernel::RowKernel;
use crate::dtype::Element;
use crate::error::{EncodeError, RunError, check_length};
use crate::gpu::readback::Readback;
use crate::gpu::{Gpu, Wait};
use crate::ragged::RowLayout;
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::shader::{Params, ResultPlace, RowSpec, Slot};
use std::ops::Range;
use wgpu::BufferUsages as Usage;

/// A matrix on the host, laid out as the logits are.
#[derive(Clone, Copy)]
pub(crate) struct HostMatrix<'a> {
    pub(crate) slot: Slot,
    name: &'static str,
    bytes: &'a [u8],
    element: usize,
}

impl<'a> HostMatrix<'a> {
    /// Checks that it has as many elements as the rows.
    pub(crate) fn new<T: bytemuck::Pod>(
        slot: Slot,
        name: &'static str,
        values: &'a [T],
        rows: &Rows,
    ) -> Result<Self, EncodeError> {
        check_length(name, rows.elements()?, values.len())?;
        Ok(Self {
            slot,
            name,
            bytes: bytemuck::cast_slice(values),
            element: size_of::<T>(),
        })
    }

    /// A buffer with all of it, without what lies between rows.
    pub(crate) fn whole(&self, gpu: &Gpu, rows: &Rows) -> Result<wgpu::Buffer, EncodeError> {
        let parts = host_parts(&(*rows).into(), 1, u64::MAX)?;
        let ranges = parts.iter().flat_map(HostPart::ranges);
        let pieces: Vec<&[u8]> = ranges.map(|range| self.bytes_of(range)).collect();
        match pieces.as_slice() {
            [piece] => gpu.buffer_of(self.name, piece, Usage::STORAGE),
            pieces => gpu.buffer_of(self.name, &pieces.concat(), Usage::STORAGE),
        }
    }

    /// The bytes of some elements.
    fn bytes_of(&self, elements: Range<usize>) -> &'a [u8] {
        &self.bytes[elements.start * self.element..elements.end * self.element]
    }

    /// The operand in a buffer.
    pub(crate) fn operand<'b>(&self, buffer: &'b wgpu::Buffer) -> Operand<'b> {
        let extent = Extent::Matrix(self.element as u64);
        Operand::read(self.slot, self.name, buffer.slice(..), extent)
    }
}

/// A batch on the host that goes through the device part by part, and a result of its shape that comes back.
pub(crate) struct Stream<'a, T> {
    gpu: Gpu,
    /// On the device, the result replaces the first matrix, if there is a result.
    matrices: Vec<HostMatrix<'a>>,
    parts: Vec<HostPart>,
    result: Option<Vec<T>>,
    wait: Wait,
}

impl<'a, T: Element> Stream<'a, T> {
    /// With `has_result`, the contents of each part's first buffer are read back after its kernel has run. Each `group` rows
    /// are in one part.
    pub(crate) fn new(
        gpu: &Gpu,
        layout: &RowLayout,
        group: usize,
        matrices: Vec<HostMatrix<'a>>,
        has_result: bool,
        wait: Wait,
    ) -> Result<Self, EncodeError> {
        let elements = layout.rows.elements()?;
        Ok(Self {
            gpu: gpu.clone(),
            matrices,
            parts: host_parts(layout, group, gpu.part_bytes())?,
            result: has_result.then(|| zeros(elements)).transpose()?,
            wait,
        })
    }

    fn buffers(&self, elements: usize) -> Result<Vec<wgpu::Buffer>, EncodeError> {
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let buffer = |m: &HostMatrix<'_>| self.gpu.buffer(m.name, (elements * m.element) as u64, usage);
        self.matrices.iter().map(buffer).collect()
    }

    /// Records each part with `encode`, which gets the part's matrices as operands; the first is in the result's slot
    /// if there is one.
    pub(crate) async fn run(
        &mut self,
        mut encode: impl FnMut(&HostPart, &mut wgpu::CommandEncoder, &[Operand<'_>]) -> Result<(), EncodeError>,
    ) -> Result<Vec<T>, RunError> {
        let parts = std::mem::take(&mut self.parts);
        let largest = parts.iter().map(HostPart::elements).max().unwrap_or(0);
        // Two sets of buffers are used in turn: the queue runs one part while the host fills or reads the other.
        let sets = (0..parts.len().min(2)).map(|_| self.buffers(largest));
        let sets: Vec<Vec<wgpu::Buffer>> = sets.collect::<Result<_, _>>()?;
        let mut in_flight: Option<(&HostPart, Readback)> = None;
        let (mut done, rows) = (0, parts.iter().map(|part| part.rows.count()).sum());
        for (part, buffers) in parts.iter().zip(sets.iter().cycle()) {
            let mut operands = Vec::new();
            let mut encoder = self.gpu.encoder();
            let mut uploads = Vec::new();
            for (i, (matrix, buffer)) in self.matrices.iter().zip(buffers).enumerate() {
                uploads.extend(self.upload(part, matrix, buffer, &mut encoder)?);
                let operand = matrix.operand(buffer);
                operands.push(match i == 0 && self.result.is_some() {
                    true => Operand::written(Slot::Result, operand.name, operand.slice, operand.extent),
                    false => operand,
                });
            }
            encode(part, &mut encoder, &operands)?;
            let elements = if self.result.is_some() {
                part.elements().max(1)
            } else {
                1
            };
            let bytes = (elements * size_of::<T>()) as u64;
            let readback = (self.gpu).submit_and_read(encoder, uploads, &buffers[0], bytes.next_multiple_of(4))?;
            if let Some((part, readback)) = in_flight.replace((part, readback)) {
                self.collect(part, readback).await?;
                done += part.rows.count();
                self.gpu.tell_progress(done, rows);
            }
        }
        if let Some((part, readback)) = in_flight {
            self.collect(part, readback).await?;
            self.gpu.tell_progress(rows, rows);
        }
        Ok(self.result.take().unwrap_or_default())
    }

    /// Records the upload of a part of a matrix; the buffer that is returned must live until the upload is over.
    #[cfg(not(target_arch = "wasm32"))]
    fn upload(
        &self,
        part: &HostPart,
        matrix: &HostMatrix<'_>,
        buffer: &wgpu::Buffer,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<Option<wgpu::Buffer>, RunError> {
        let upload = self
            .gpu
            .kept_buffer(matrix.name, buffer.size(), Usage::MAP_WRITE | Usage::COPY_SRC)?;
        let unmapped = |e: wgpu::MapRangeError| self.gpu.classify_error(e.to_string());
        let mut view = upload.get_mapped_range_mut(..).map_err(unmapped)?;
        let mut at = 0;
        for range in part.ranges() {
            let bytes = matrix.bytes_of(range);
            view.slice(at..at + bytes.len()).copy_from_slice(bytes);
            at += bytes.len();
        }
        // An odd number of 16-bit elements leaves half a word to fill.
        let end = at.next_multiple_of(4);
        view.slice(at..end).fill(0);
        drop(view);
        upload.unmap();
        if end > 0 {
            encoder.copy_buffer_to_buffer(&upload, 0, buffer, 0, end as u64);
        }
        Ok(Some(upload))
    }

    /// Uploads a part of a matrix. In a browser the queue copies what it is to write once, at once; a mapped buffer would be
    /// copied twice, and one that is too large for the page's memory would be a panic.
    #[cfg(target_arch = "wasm32")]
    fn upload(
        &self,
        part: &HostPart,
        matrix: &HostMatrix<'_>,
        buffer: &wgpu::Buffer,
        _: &mut wgpu::CommandEncoder,
    ) -> Result<Option<wgpu::Buffer>, RunError> {
        let mut pieces = part.ranges().map(|range| matrix.bytes_of(range));
        let (first, second) = (pieces.next().unwrap_or_default(), pieces.next());
        let write = |bytes: &[u8]| {
            self.gpu
                .with_error_scopes(|| self.gpu.queue().write_buffer(buffer, 0, bytes))
        };
        if second.is_none() && first.len() % 4 == 0 {
            write(first)?;
            return Ok(None);
        }
        let mut bytes: Vec<u8> = [first, second.unwrap_or_default()].concat();
        bytes.extend(pieces.flatten());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        write(&bytes)?;
        Ok(None)
    }

    async fn collect(&mut self, part: &HostPart, readback: Readback) -> Result<(), RunError> {
        let Some(result) = &mut self.result else {
            return self.gpu.finish_readback(readback, self.wait, |_| ()).await;
        };
        let scatter = |view: &[u8]| {
            let mut at = 0;
            for range in part.ranges() {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut result[range]);
                bytes.copy_from_slice(&view[at..at + bytes.len()]);
                at += bytes.len();
            }
        };
        self.gpu.finish_readback(readback, self.wait, scatter).await
    }
}

/// Of a large result, which a browser's 32-bit address space may not have room for.
fn zeros<T: Element>(elements: usize) -> Result<Vec<T>, EncodeError> {
    bytemuck::allocation::try_zeroed_vec(elements).map_err(|()| EncodeError::OutOfMemory {
        what: "the result on the host",
        bytes: elements as u64 * size_of::<T>() as u64,
    })
}

/// A batch on the host, and the kernel that runs over it.
pub(crate) struct HostBatch<'a> {
    pub(crate) rows: RowLayout,
    pub(crate) spec: RowSpec,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) params: Params,
    /// What is bound besides the matrices.
    pub(crate) others: Vec<Operand<'a>>,
    /// Whether the statistics of a shard are found, and nothing else.
    pub(crate) is_statistics: bool,
    pub(crate) wait: Wait,
}

impl Gpu {
    /// Runs a kernel of rows over a batch on the host, in parts. If the kernel has a result, it takes the first
    /// matrix's place.
    pub(crate) async fn stream<T: Element>(
        &self,
        matrices: Vec<HostMatrix<'_>>,
        batch: &HostBatch<'_>,
    ) -> Result<Vec<T>, RunError> {
        let has_result = batch.spec.place != ResultPlace::None && !batch.is_statistics;
        let params = Params {
            batch_rows: batch.rows.rows.count() as u32,
            ..batch.params
        };
        let mut stream = Stream::new(self, &batch.rows, 1, matrices, has_result, batch.wait)?;
        let mut kernel: Option<RowKernel> = None;
        let is_ragged = batch.rows.ragged.is_some();
        stream
            .run(|host_part, encoder, matrices| {
                let kernel = match &kernel {
                    Some(same) if same.rows == host_part.rows && !is_ragged => same,
                    _ => {
                        let layout = RowLayout {
                            smoothing: batch.rows.smoothing,
                            ..host_part.layout()
                        };
                        kernel.insert(RowKernel::new(self, layout, batch.spec, batch.schedule)?)
                    }
                };
                let operands: Vec<_> = matrices.iter().chain(&batch.others).copied().collect();
                let dispatches = match batch.is_statistics {
                    true => kernel.statistics(&operands, host_part.first_row, params)?,
                    false => kernel.dispatches(&operands, host_part.first_row, params)?,
                };
                bind(self, &dispatches)?.encode(encoder);
                Ok(())
            })
            .await
    }
}
