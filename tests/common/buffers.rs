//! Buffers of the tests' own, on the adapter under test.

use super::{Subject, equal, gpu};
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{Gpu, Recorded};

pub const GUARD: u32 = 0xdead_beef;
/// Words before and after what an operation may touch. They are as many as a binding's offset is aligned to, so that what
/// lies between them can be bound by itself.
pub const PAD: usize = 64;

/// The adapter as a device that binds no more than so many bytes at once.
pub fn binding_at_most(bytes: u64) -> Gpu {
    let adapters = pollster::block_on(wgpu_softmax::adapters(&Default::default()));
    let adapter = adapters.unwrap().remove(0);
    let limits = wgpu::Limits {
        max_storage_buffer_binding_size: bytes,
        ..adapter.limits()
    };
    let request = adapter.request_device(&wgpu::DeviceDescriptor {
        required_limits: limits,
        ..Default::default()
    });
    let (device, queue) = pollster::block_on(request).unwrap();
    Gpu::from_device(device, queue).unwrap()
}

/// A buffer with these words or half-words in it.
pub fn buffer<W: bytemuck::Pod>(words: &[W]) -> wgpu::Buffer {
    buffer_of(gpu(), words)
}

/// [`buffer`] of a device.
pub fn buffer_of<W: bytemuck::Pod>(gpu: &Gpu, words: &[W]) -> wgpu::Buffer {
    let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
    let bytes: &[u8] = bytemuck::cast_slice(words);
    let buffer = new_buffer_of(gpu, bytes.len() as u64, usage);
    gpu.queue().write_buffer(&buffer, 0, bytes);
    buffer
}

/// A buffer of so many bytes, for `usage` alone.
pub fn new_buffer(size: u64, usage: Usage) -> wgpu::Buffer {
    new_buffer_of(gpu(), size, usage)
}

fn new_buffer_of(gpu: &Gpu, size: u64, usage: Usage) -> wgpu::Buffer {
    gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    })
}

/// `content` between guards; without a content, guards throughout.
pub fn guarded(content: Option<&[u32]>, words: usize) -> wgpu::Buffer {
    let mut all = vec![GUARD; words + 2 * PAD];
    if let Some(content) = content {
        all[PAD..PAD + words].copy_from_slice(content);
    }
    buffer(&all)
}

/// What lies between the guards.
pub fn inside(buffer: &wgpu::Buffer) -> wgpu::BufferSlice<'_> {
    buffer.slice(PAD as u64 * 4..buffer.size() - PAD as u64 * 4)
}

/// The whole buffer's content.
pub fn read<W: bytemuck::Pod>(buffer: &wgpu::Buffer) -> Vec<W> {
    read_of(gpu(), buffer)
}

/// [`read`] of a device.
pub fn read_of<W: bytemuck::Pod>(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<W> {
    let copy = new_buffer_of(gpu, buffer.size(), Usage::MAP_READ | Usage::COPY_DST);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = copy.get_mapped_range(..).unwrap();
    bytemuck::pod_collect_to_vec(&view)
}

/// What lies between the guards, which must be whole.
#[track_caller]
pub fn unguarded(subject: &Subject<'_>, output: &str, buffer: &wgpu::Buffer) -> Vec<u32> {
    let words: Vec<u32> = read(buffer);
    let (front, rest) = words.split_at(PAD);
    let (content, back) = rest.split_at(rest.len() - PAD);
    for (side, guard) in [("before", front), ("after", back)] {
        let broken = guard.iter().position(|&word| word != GUARD);
        equal(
            subject,
            &format!("the first word written {side} {output}"),
            broken,
            None,
        );
    }
    content.to_vec()
}

/// Submits what `record` records.
pub fn submit<R>(record: impl FnOnce(&mut wgpu::CommandEncoder) -> R) -> R {
    let mut encoder = encoder();
    let recorded = record(&mut encoder);
    gpu().queue().submit([encoder.finish()]);
    recorded
}

pub fn encoder() -> wgpu::CommandEncoder {
    gpu()
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
}

pub fn encode(record: impl FnOnce(&mut wgpu::CommandEncoder) -> Recorded) -> Recorded {
    submit(record)
}
