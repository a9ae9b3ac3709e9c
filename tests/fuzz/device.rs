//! The same kernels on buffers: the batch in place at any offset between guards, which stay as they are.

use crate::common::{Stored, gpu};
use std::sync::LazyLock;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{Rows, Softmax, SoftmaxBuffers, Storage};

const GUARD: u8 = 0xa5;
/// Room for any batch there is, and the guards around it.
const BYTES: u64 = 1 << 20;

struct Buffers {
    batch: wgpu::Buffer,
    copy: wgpu::Buffer,
}

static BUFFERS: LazyLock<Buffers> = LazyLock::new(|| {
    let buffer = |usage| {
        gpu().device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: BYTES,
            usage,
            mapped_at_creation: false,
        })
    };
    Buffers {
        batch: buffer(Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST),
        copy: buffer(Usage::MAP_READ | Usage::COPY_DST),
    }
});

/// Softmax of `x`, `offset` elements into a buffer; `check` gets the result, with padding 0.
pub(crate) fn softmax<T: Stored>(offset: usize, x: &[T], rows: Rows, options: &Softmax, check: impl Fn(&[T])) {
    let element = size_of::<T>();
    let (start, length) = (offset * element, size_of_val(x));
    let whole = (start + length + 64).next_multiple_of(4);
    let mut bytes = vec![GUARD; whole];
    bytes[start..start + length].copy_from_slice(bytemuck::cast_slice(x));
    let Buffers { batch, copy } = &*BUFFERS;
    gpu().queue().write_buffer(batch, 0, &bytes);

    let options = Softmax {
        in_place: true,
        storage: Storage::all(T::DTYPE),
        ..options.clone()
    };
    let kernel = options.prepare(gpu(), rows).unwrap();
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let slice = batch.slice(start as u64..(start + length) as u64);
    kernel.encode(&mut encoder, &SoftmaxBuffers::new(slice, None)).unwrap();
    encoder.copy_buffer_to_buffer(batch, 0, copy, 0, whole as u64);
    gpu().queue().submit([encoder.finish()]);
    copy.map_async(wgpu::MapMode::Read, ..whole as u64, |result| result.unwrap());
    gpu().device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let after = copy.get_mapped_range(..whole as u64).unwrap().to_vec();
    copy.unmap();

    let guards = after[..start].iter().chain(&after[start + length..]);
    assert!(guards.copied().all(|byte| byte == GUARD), "a guard was overwritten");
    let mut y: Vec<T> = bytemuck::pod_collect_to_vec(&after[start..start + length]);
    let is_padding = |i: usize| i % stride(rows) >= rows.classes() * rows.inner();
    for i in (0..y.len()).filter(|&i| is_padding(i)) {
        assert!(
            bytemuck::bytes_of(&y[i]) == bytemuck::bytes_of(&x[i]),
            "padding was overwritten"
        );
        y[i] = T::nearest(0.0);
    }
    check(&y);
}

/// Elements from one block of rows to the next.
fn stride(rows: Rows) -> usize {
    let (blocks, block) = (rows.count() / rows.inner(), rows.classes() * rows.inner());
    match blocks {
        0 | 1 => block,
        _ => (rows.elements().unwrap() - block) / (blocks - 1),
    }
}
