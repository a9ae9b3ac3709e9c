//! Buffers of the tests' own, on the adapter under test.

use super::gpu;
use wgpu_softmax::Recorded;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};

pub const GUARD: u32 = 0xdead_beef;
/// Words before and after what an operation may touch: the alignment of a binding, so that it can be bound apart.
pub const PAD: usize = 64;

pub fn buffer(words: &[u32]) -> wgpu::Buffer {
    let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
    let size = words.len() as u64 * 4;
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size,
        usage,
        mapped_at_creation: false,
    };
    let buffer = gpu().device().create_buffer(&descriptor);
    gpu().queue().write_buffer(&buffer, 0, bytemuck::cast_slice(words));
    buffer
}

/// `content` between guards; what is `None` is poisoned.
pub fn guarded(content: Option<&[u32]>, words: usize) -> wgpu::Buffer {
    let mut all = vec![GUARD; words + 2 * PAD];
    if let Some(content) = content {
        all[PAD..PAD + words].copy_from_slice(content);
    }
    buffer(&all)
}

pub fn inside(buffer: &wgpu::Buffer) -> wgpu::BufferSlice<'_> {
    buffer.slice(PAD as u64 * 4..buffer.size() - PAD as u64 * 4)
}

pub fn read(buffer: &wgpu::Buffer) -> Vec<u32> {
    let usage = Usage::MAP_READ | Usage::COPY_DST;
    let descriptor = wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage,
        mapped_at_creation: false,
    };
    let copy = gpu().device().create_buffer(&descriptor);
    let mut encoder = gpu()
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
    gpu().queue().submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
    gpu().device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let view = copy.get_mapped_range(..).unwrap();
    bytemuck::pod_collect_to_vec(&view)
}

/// What stands between the guards, which must be whole.
pub fn unguarded(buffer: &wgpu::Buffer) -> Vec<u32> {
    let words = read(buffer);
    let (front, rest) = words.split_at(PAD);
    let (content, back) = rest.split_at(rest.len() - PAD);
    assert!(front.iter().chain(back).all(|&w| w == GUARD), "a guard was overwritten");
    content.to_vec()
}

pub fn encode(record: impl FnOnce(&mut wgpu::CommandEncoder) -> Recorded) -> Recorded {
    let mut encoder = gpu()
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let recorded = record(&mut encoder);
    gpu().queue().submit([encoder.finish()]);
    recorded
}
