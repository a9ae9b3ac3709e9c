//! Submits commands, and copies results back to the host.

use super::Gpu;
use super::wait::{Wait, finished};
use crate::error::{EncodeError, RunError};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use wgpu::BufferUsages as Usage;

/// A copy on its way back to the host.
pub(crate) struct Readback {
    buffer: wgpu::Buffer,
    /// The buffers with the uploads of the same submission. They are mapped again by the time the copy has arrived.
    uploads: Vec<wgpu::Buffer>,
    mapped: OneshotReceiver<Result<(), wgpu::BufferAsyncError>>,
    submission: wgpu::SubmissionIndex,
}

impl Gpu {
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

    /// [`Gpu::elements`] of an optional buffer.
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
        self.with_error_scopes(|| self.queue().submit([encoder.finish()]))
    }

    /// Submits the commands, followed by a copy of the first `bytes` of `source` for the host.
    pub(crate) fn submit_and_read(
        &self,
        mut encoder: wgpu::CommandEncoder,
        uploads: Vec<wgpu::Buffer>,
        source: &wgpu::Buffer,
        bytes: u64,
    ) -> Result<Readback, RunError> {
        let buffer = self.kept_buffer("results for the host", bytes, Usage::MAP_READ | Usage::COPY_DST)?;
        encoder.copy_buffer_to_buffer(source, 0, &buffer, 0, bytes);
        let submission = self.submit(encoder);
        self.take_error()?;
        let submission = submission?;
        let (sender, mapped) = oneshot_channel();
        self.with_error_scopes(|| {
            buffer.map_async(wgpu::MapMode::Read, .., move |result| {
                // The receiver is gone if the caller dropped the future; then no one waits for the result.
                let _ = sender.send(result);
            });
            for upload in &uploads {
                // If a buffer could not be mapped, that is reported when it is next filled.
                upload.map_async(wgpu::MapMode::Write, .., |_| ());
            }
        })?;
        Ok(Readback {
            buffer,
            uploads,
            mapped,
            submission,
        })
    }

    /// Waits until the copy has arrived, and hands its bytes to `take`.
    pub(crate) async fn finish_readback<T>(
        &self,
        readback: Readback,
        wait: Wait,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, RunError> {
        let polled = finished(self.device(), readback.submission, wait).await;
        self.settled().await?;
        let lost = |message: String| RunError::DeviceLost { message };
        polled.map_err(lost)?;
        let mapped = readback.mapped.receive().await;
        mapped
            .ok_or_else(|| lost("a copy to the host was given up".into()))?
            .map_err(|e| lost(e.to_string()))?;
        let view = readback.buffer.get_mapped_range(..).map_err(|e| lost(e.to_string()))?;
        let taken = take(&view);
        drop(view);
        readback.buffer.unmap();
        self.pool().keep(readback.buffer);
        readback.uploads.into_iter().for_each(|upload| self.pool().keep(upload));
        Ok(taken)
    }

    /// Submits the commands, and brings the first `bytes` of `source` to the host.
    pub(crate) async fn read<T>(
        &self,
        encoder: wgpu::CommandEncoder,
        source: &wgpu::Buffer,
        bytes: u64,
        wait: Wait,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, RunError> {
        let readback = self.submit_and_read(encoder, Vec::new(), source, bytes)?;
        self.finish_readback(readback, wait, |view| take(&view[..bytes as usize]))
            .await
    }
}
