//! Host ↔ device: a batch travels in parts, of which one is read back while the next is computed.

use crate::dtype::Element;
use crate::error::{EncodeError, RunError, check_length};
use crate::gpu::Gpu;
use crate::operand::{Extent, Operand, Slot};
use crate::rows::{HostPart, Rows};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wgpu::BufferUsages as Usage;

/// Who waits for the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The calling thread.
    Here,
    /// A thread of its own, so that a runtime's is not blocked.
    Elsewhere,
}

/// A copy on its way back to the host.
struct Reading {
    buffer: wgpu::Buffer,
    /// What was uploaded for it, mapped again once it has arrived.
    uploads: Vec<wgpu::Buffer>,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

impl Gpu {
    /// A buffer that holds `bytes`.
    pub(crate) fn buffer_of(
        &self,
        what: &'static str,
        bytes: &[u8],
        usage: Usage,
    ) -> Result<wgpu::Buffer, EncodeError> {
        let buffer = self.buffer(what, bytes.len() as u64, usage | Usage::COPY_DST)?;
        let whole = bytes.len() / 4 * 4;
        self.scoped(|| {
            if whole > 0 {
                self.queue().write_buffer(&buffer, 0, &bytes[..whole]);
            }
            if whole < bytes.len() {
                let mut word = [0; 4];
                word[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
                self.queue().write_buffer(&buffer, whole as u64, &word);
            }
        })?;
        Ok(buffer)
    }

    /// The first `count` elements of a buffer, on the host.
    pub(crate) async fn elements<W: bytemuck::Pod>(
        &self,
        buffer: &wgpu::Buffer,
        count: usize,
        wait: Wait,
    ) -> Result<Vec<W>, RunError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let bytes = count * size_of::<W>();
        let take = |view: &[u8]| bytemuck::pod_collect_to_vec(&view[..bytes]);
        self.read(self.encoder(), buffer, bytes.next_multiple_of(4) as u64, wait, take)
            .await
    }

    /// [`Gpu::elements`] of a buffer that there may be.
    pub(crate) async fn elements_of<W: bytemuck::Pod>(
        &self,
        buffer: Option<&wgpu::Buffer>,
        count: usize,
        wait: Wait,
    ) -> Result<Option<Vec<W>>, RunError> {
        match buffer {
            None => Ok(None),
            Some(buffer) => self.elements(buffer, count, wait).await.map(Some),
        }
    }

    pub(crate) fn encoder(&self) -> wgpu::CommandEncoder {
        self.device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
    }

    pub(crate) fn submit(&self, encoder: wgpu::CommandEncoder) -> Result<wgpu::SubmissionIndex, EncodeError> {
        self.scoped(|| self.queue().submit([encoder.finish()]))
    }

    /// Submits, with a copy of the first `bytes` of `source` for the host.
    fn submit_and_read(
        &self,
        mut encoder: wgpu::CommandEncoder,
        uploads: Vec<wgpu::Buffer>,
        source: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Reading, RunError> {
        let buffer = self.kept_buffer("results for the host", bytes, Usage::MAP_READ | Usage::COPY_DST)?;
        encoder.copy_buffer_to_buffer(source, 0, &buffer, 0, bytes);
        let submission = self.submit(encoder);
        self.fault()?;
        let submission = submission?;
        let (sender, mapped) = oneshot_channel();
        self.scoped(|| {
            buffer.map_async(wgpu::MapMode::Read, .., move |result| {
                // The receiver is gone if the caller dropped the future; nobody waits for the result then.
                let _ = sender.send(result);
            });
            for upload in &uploads {
                // One that was not mapped says so when it is to be filled.
                upload.map_async(wgpu::MapMode::Write, .., |_| ());
            }
        })?;
        Ok(Reading {
            buffer,
            uploads,
            mapped,
            submission,
        })
    }

    /// Waits until the copy has arrived, and hands its bytes to `take`.
    async fn finish_reading<T>(
        &self,
        reading: Reading,
        wait: Wait,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, RunError> {
        let device = self.device().clone();
        let poll = move || {
            let poll_type = wgpu::PollType::Wait {
                submission_index: Some(reading.submission),
                timeout: None,
            };
            // wgpu panics when the device is lost meanwhile.
            catch_unwind(AssertUnwindSafe(|| {
                device.poll(poll_type).map(|_| ()).map_err(|e| e.to_string())
            }))
            .unwrap_or_else(|_| Err("it was lost while it was waited for".into()))
        };
        let polled = match wait {
            Wait::Here => poll(),
            Wait::Elsewhere => {
                let (sender, receiver) = oneshot_channel();
                std::thread::spawn(move || {
                    let _ = sender.send(poll());
                });
                receiver
                    .receive()
                    .await
                    .unwrap_or_else(|| Err("the thread that waited for it ended".into()))
            }
        };
        self.fault()?;
        let lost = |message: String| RunError::DeviceLost { message };
        polled.map_err(lost)?;
        let mapped = reading.mapped.receive().await;
        mapped
            .ok_or_else(|| lost("a copy to the host was given up".into()))?
            .map_err(|e| lost(e.to_string()))?;
        let view = reading.buffer.get_mapped_range(..).map_err(|e| lost(e.to_string()))?;
        let taken = take(&view);
        drop(view);
        reading.buffer.unmap();
        self.pool().keep(reading.buffer);
        reading.uploads.into_iter().for_each(|upload| self.pool().keep(upload));
        Ok(taken)
    }

    /// Submits and brings the first `bytes` of `source` to the host.
    pub(crate) async fn read<T>(
        &self,
        encoder: wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        bytes: u64,
        wait: Wait,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, RunError> {
        let reading = self.submit_and_read(encoder, Vec::new(), source, bytes)?;
        self.finish_reading(reading, wait, |view| take(&view[..bytes as usize]))
            .await
    }
}

/// A matrix on the host, laid out as the logits are.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) slot: Slot,
    name: &'static str,
    bytes: &'a [u8],
    element: usize,
}

impl<'a> Matrix<'a> {
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
}

/// A batch on the host that goes through the device part by part, and a result of its shape that comes back.
pub(crate) struct Stream<'a, T> {
    gpu: Gpu,
    /// The first is replaced by the result, if there is one.
    matrices: Vec<Matrix<'a>>,
    parts: Vec<HostPart>,
    result: Option<Vec<T>>,
    wait: Wait,
}

impl<'a, T: Element> Stream<'a, T> {
    /// With `has_result`, what the parts' first buffers hold after their kernels is brought back.
    pub(crate) fn new(
        gpu: &Gpu,
        rows: Rows,
        matrices: Vec<Matrix<'a>>,
        has_result: bool,
        wait: Wait,
    ) -> Result<Self, EncodeError> {
        let elements = rows.elements()?;
        Ok(Self {
            gpu: gpu.clone(),
            matrices,
            parts: rows.host_parts(gpu.part_bytes())?,
            result: has_result.then(|| bytemuck::zeroed_vec(elements)),
            wait,
        })
    }

    fn buffers(&self, elements: usize) -> Result<Vec<wgpu::Buffer>, EncodeError> {
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        let buffer = |m: &Matrix<'_>| self.gpu.buffer(m.name, (elements * m.element) as u64, usage);
        self.matrices.iter().map(buffer).collect()
    }

    /// Records each part with `encode`, which gets the part's matrices as operands; the first is in the result's slot if
    /// there is one.
    pub(crate) async fn run(
        &mut self,
        mut encode: impl FnMut(&HostPart, &mut wgpu::CommandEncoder, &[Operand<'_>]) -> Result<(), EncodeError>,
    ) -> Result<Vec<T>, RunError> {
        let parts = std::mem::take(&mut self.parts);
        let largest = parts.iter().map(HostPart::elements).max().unwrap_or(0);
        // Two, in turn: the queue runs one part while the host fills and drains the other.
        let sets = (0..parts.len().min(2)).map(|_| self.buffers(largest));
        let sets: Vec<Vec<wgpu::Buffer>> = sets.collect::<Result<_, _>>()?;
        let mut in_flight: Option<(&HostPart, Reading)> = None;
        let (mut done, rows) = (0, parts.iter().map(|part| part.rows.count()).sum());
        for (part, buffers) in parts.iter().zip(sets.iter().cycle()) {
            let mut operands = Vec::new();
            let mut encoder = self.gpu.encoder();
            let mut uploads = Vec::new();
            for (i, (matrix, buffer)) in self.matrices.iter().zip(buffers).enumerate() {
                uploads.push(self.upload(part, matrix, buffer, &mut encoder)?);
                let (slot, name, extent) = (matrix.slot, matrix.name, Extent::Matrix(matrix.element as u64));
                operands.push(if i == 0 && self.result.is_some() {
                    Operand::written(Slot::Result, name, buffer.slice(..), extent)
                } else {
                    Operand::read(slot, name, buffer.slice(..), extent)
                });
            }
            encode(part, &mut encoder, &operands)?;
            let elements = if self.result.is_some() { part.elements() } else { 1 };
            let bytes = (elements * size_of::<T>()) as u64;
            let reading = (self.gpu).submit_and_read(encoder, uploads, &buffers[0], bytes.next_multiple_of(4))?;
            if let Some((part, reading)) = in_flight.replace((part, reading)) {
                self.collect(part, reading).await?;
                done += part.rows.count();
                self.gpu.tell_progress(done, rows);
            }
        }
        if let Some((part, reading)) = in_flight {
            self.collect(part, reading).await?;
            self.gpu.tell_progress(rows, rows);
        }
        Ok(self.result.take().unwrap_or_default())
    }

    /// Records the upload of a part of a matrix; what is returned must live until it is over.
    fn upload(
        &self,
        part: &HostPart,
        matrix: &Matrix<'_>,
        buffer: &wgpu::Buffer,
        encoder: &mut wgpu::CommandEncoder,
    ) -> Result<wgpu::Buffer, RunError> {
        let upload = self
            .gpu
            .kept_buffer(matrix.name, buffer.size(), Usage::MAP_WRITE | Usage::COPY_SRC)?;
        let unmapped = |e: wgpu::MapRangeError| self.gpu.blame(e.to_string());
        let mut view = upload.get_mapped_range_mut(..).map_err(unmapped)?;
        let mut at = 0;
        for stretch in part.stretches() {
            let bytes = &matrix.bytes[stretch.start * matrix.element..stretch.end * matrix.element];
            view.slice(at..at + bytes.len()).copy_from_slice(bytes);
            at += bytes.len();
        }
        // Half a word after an odd number of 16-bit elements.
        let end = at.next_multiple_of(4);
        view.slice(at..end).fill(0);
        drop(view);
        upload.unmap();
        encoder.copy_buffer_to_buffer(&upload, 0, buffer, 0, end as u64);
        Ok(upload)
    }

    async fn collect(&mut self, part: &HostPart, reading: Reading) -> Result<(), RunError> {
        let Some(result) = &mut self.result else {
            return self.gpu.finish_reading(reading, self.wait, |_| ()).await;
        };
        let scatter = |view: &[u8]| {
            let mut at = 0;
            for stretch in part.stretches() {
                let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut result[stretch]);
                bytes.copy_from_slice(&view[at..at + bytes.len()]);
                at += bytes.len();
            }
        };
        self.gpu.finish_reading(reading, self.wait, scatter).await
    }
}
