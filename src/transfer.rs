//! Host ↔ device: a batch travels in parts, of which one is read back while the next is computed.

use crate::error::{EncodeError, RunError};
use crate::gpu::Gpu;
use crate::kernel::Slice;
use crate::rows::{ELEMENT_BYTES, HostPart, Rows};
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
        if !bytes.is_empty() {
            self.queue().write_buffer(&buffer, 0, bytes);
        }
        Ok(buffer)
    }

    /// Submits, with a copy of the first `bytes` of `source` for the host.
    fn submit_and_read(
        &self,
        mut encoder: wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Reading, RunError> {
        let buffer = self.buffer("results for the host", bytes, Usage::MAP_READ | Usage::COPY_DST)?;
        encoder.copy_buffer_to_buffer(source, 0, &buffer, 0, bytes);
        let scope = self.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let submission = self.queue().submit([encoder.finish()]);
        let (sender, mapped) = oneshot_channel();
        buffer.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver is gone if the caller dropped the future; nobody waits for the result then.
            let _ = sender.send(result);
        });
        let error = pollster::block_on(scope.pop());
        self.fault()?;
        match error {
            Some(error) => Err(RunError::Device {
                message: error.to_string(),
            }),
            None => Ok(Reading {
                buffer,
                mapped,
                submission,
            }),
        }
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
        Ok(take(&view))
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
        let reading = self.submit_and_read(encoder, source, bytes)?;
        self.finish_reading(reading, wait, |view| take(&view[..bytes as usize]))
            .await
    }
}

/// A batch on the host that goes through the device part by part, and a result of its shape that comes back.
pub(crate) struct Stream<'a> {
    gpu: Gpu,
    logits: &'a [f32],
    parts: Vec<HostPart>,
    result: Option<Vec<f32>>,
    wait: Wait,
}

impl<'a> Stream<'a> {
    /// With `has_result`, what the parts' buffers hold after their kernels is brought back.
    pub(crate) fn new(
        gpu: &Gpu,
        rows: Rows,
        logits: &'a [f32],
        has_result: bool,
        wait: Wait,
    ) -> Result<Self, EncodeError> {
        let expected = rows.elements()?;
        if logits.len() != expected {
            return Err(EncodeError::WrongLength {
                what: "logits",
                expected,
                got: logits.len(),
            });
        }
        Ok(Self {
            gpu: gpu.clone(),
            logits,
            parts: rows.host_parts(gpu.part_bytes())?,
            result: has_result.then(|| vec![0.0; expected]),
            wait,
        })
    }

    /// Records each part with `encode`, which gets the part's logits in a buffer that it may overwrite.
    pub(crate) async fn run(
        &mut self,
        mut encode: impl FnMut(&HostPart, &mut wgpu::CommandEncoder, Slice<'_>) -> Result<(), EncodeError>,
    ) -> Result<Vec<f32>, RunError> {
        let parts = std::mem::take(&mut self.parts);
        let largest = parts.iter().map(HostPart::bytes).max().unwrap_or(0);
        let usage = Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC;
        // Two, in turn: the queue runs one part while the host fills and drains the other.
        let buffers = match parts.len() {
            0 => return Ok(self.result.take().unwrap_or_default()),
            1 => vec![self.gpu.buffer("logits", largest, usage)?],
            _ => vec![
                self.gpu.buffer("logits", largest, usage)?,
                self.gpu.buffer("logits", largest, usage)?,
            ],
        };
        let mut in_flight: Option<(&HostPart, Reading)> = None;
        for (i, part) in parts.iter().enumerate() {
            let buffer = &buffers[i % buffers.len()];
            self.upload(part, buffer);
            let mut encoder = self
                .gpu
                .device()
                .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encode(part, &mut encoder, buffer.slice(..part.bytes()))?;
            let bytes = if self.result.is_some() {
                part.bytes()
            } else {
                ELEMENT_BYTES
            };
            let reading = self.gpu.submit_and_read(encoder, buffer, bytes)?;
            if let Some((part, reading)) = in_flight.replace((part, reading)) {
                self.collect(part, reading).await?;
            }
        }
        if let Some((part, reading)) = in_flight {
            self.collect(part, reading).await?;
        }
        Ok(self.result.take().unwrap_or_default())
    }

    fn upload(&self, part: &HostPart, buffer: &wgpu::Buffer) {
        let Some(size) = wgpu::BufferSize::new(part.bytes()) else {
            return;
        };
        let Some(mut staging) = self.gpu.queue().write_buffer_with(buffer, 0, size) else {
            return;
        };
        let mut at = 0;
        for stretch in part.stretches() {
            let bytes: &[u8] = bytemuck::cast_slice(&self.logits[stretch]);
            staging.slice(at..at + bytes.len()).copy_from_slice(bytes);
            at += bytes.len();
        }
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
