//! Measures how long the device takes for recorded work: by the device's timestamps if it has them, else by the host's clock.

use crate::failure::Failure;
use std::time::{Duration, Instant};
use wgpu_softmax::Gpu;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};

pub(crate) struct Timer<'g> {
    gpu: &'g Gpu,
    stamps: Option<Stamps>,
}

struct Stamps {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    read: wgpu::Buffer,
}

/// The size of two timestamps.
const BYTES: u64 = 16;

impl<'g> Timer<'g> {
    pub(crate) fn new(gpu: &'g Gpu) -> Self {
        let device = gpu.device();
        let has_stamps = device
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY_INSIDE_ENCODERS);
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("timestamps"),
                size: BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        let stamps = has_stamps.then(|| Stamps {
            set: device.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(Usage::QUERY_RESOLVE | Usage::COPY_SRC),
            read: buffer(Usage::MAP_READ | Usage::COPY_DST),
        });
        Self { gpu, stamps }
    }

    pub(crate) fn clock(&self) -> &'static str {
        match self.stamps {
            Some(_) => "the device's timestamps",
            None => "the host's clock",
        }
    }

    /// Runs what `record` records, and gives the milliseconds it took.
    pub(crate) fn ms(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<(), Failure>,
    ) -> Result<f64, Failure> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        if let Some(stamps) = &self.stamps {
            encoder.write_timestamp(&stamps.set, 0);
        }
        record(&mut encoder)?;
        if let Some(stamps) = &self.stamps {
            encoder.write_timestamp(&stamps.set, 1);
            encoder.resolve_query_set(&stamps.set, 0..2, &stamps.resolved, 0);
            encoder.copy_buffer_to_buffer(&stamps.resolved, 0, &stamps.read, 0, BYTES);
        }
        let commands = encoder.finish();
        let start = Instant::now();
        self.gpu.queue().submit([commands]);
        wait(self.gpu)?;
        let elapsed = start.elapsed().as_secs_f64() * 1e3;
        let Some(stamps) = &self.stamps else {
            return Ok(elapsed);
        };
        let counts: Vec<u64> = read(self.gpu, &stamps.read)?;
        let ticks = counts[1].saturating_sub(counts[0]);
        Ok(ticks as f64 * f64::from(self.gpu.queue().get_timestamp_period()) / 1e6)
    }
}

fn wait(gpu: &Gpu) -> Result<(), Failure> {
    let polled = gpu.device().poll(wgpu::PollType::wait_indefinitely());
    polled.map(|_| ()).map_err(|e| Failure::Machine(e.to_string()))
}

/// Reads a mappable buffer.
pub(crate) fn read<P: bytemuck::Pod>(gpu: &Gpu, buffer: &wgpu::Buffer) -> Result<Vec<P>, Failure> {
    buffer.map_async(wgpu::MapMode::Read, .., |_| ());
    wait(gpu)?;
    let view = buffer
        .get_mapped_range(..)
        .map_err(|e| Failure::Machine(e.to_string()))?;
    let values = bytemuck::pod_collect_to_vec(&view);
    drop(view);
    buffer.unmap();
    Ok(values)
}

/// Repeats a measurement until its time is up, with bounds on how often.
pub(crate) struct Repeat {
    start: Instant,
    time: Duration,
    rounds: usize,
}

impl Repeat {
    /// A median of fewer rounds would be noise.
    const MIN_ROUNDS: usize = 7;
    const MAX_ROUNDS: usize = 400;

    pub(crate) fn new(time: Duration) -> Self {
        Self {
            start: Instant::now(),
            time,
            rounds: 0,
        }
    }

    /// Whether to measure once more.
    pub(crate) fn again(&mut self) -> bool {
        let again =
            self.rounds < Self::MIN_ROUNDS || (self.start.elapsed() < self.time && self.rounds < Self::MAX_ROUNDS);
        self.rounds += 1;
        again
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
