//! The same kernels on buffers: the batch in place at any offset between guards, which stay as they are.

use crate::common::buffers::{new_buffer, submit};
use crate::common::{Stored, Subject, equal, gpu, places};
use std::sync::LazyLock;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{Softmax, SoftmaxBuffers, Storage};

const GUARD: u8 = 0xa5;
/// Room for any batch there is, and the guards around it.
const BYTES: u64 = 1 << 20;

struct Buffers {
    batch: wgpu::Buffer,
    copy: wgpu::Buffer,
}

static BUFFERS: LazyLock<Buffers> = LazyLock::new(|| Buffers {
    batch: new_buffer(BYTES, Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST),
    copy: new_buffer(BYTES, Usage::MAP_READ | Usage::COPY_DST),
});

/// Softmax of `x` in place, `offset` elements into a buffer: the result with 0 as padding. In the buffer the padding must be
/// as it was, and so must the guards around the batch.
pub(crate) fn softmax<T: Stored>(subject: &Subject<'_>, offset: usize, x: &[T], options: &Softmax) -> Vec<T> {
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
    let kernel = options.prepare(gpu(), subject.rows()).unwrap();
    let slice = batch.slice(start as u64..(start + length) as u64);
    submit(|encoder| {
        kernel.encode(encoder, &SoftmaxBuffers::new(slice, None)).unwrap();
        encoder.copy_buffer_to_buffer(batch, 0, copy, 0, whole as u64);
    });
    copy.map_async(wgpu::MapMode::Read, ..whole as u64, |result| result.unwrap());
    gpu().device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    let after = copy.get_mapped_range(..whole as u64).unwrap().to_vec();
    copy.unmap();

    for (side, guard) in [("before", &after[..start]), ("after", &after[start + length..])] {
        let broken = guard.iter().position(|&byte| byte != GUARD);
        equal(
            subject,
            &format!("the first byte written {side} the batch"),
            broken,
            None,
        );
    }
    let written: Vec<T> = bytemuck::pod_collect_to_vec(&after[start..start + length]);
    let mut y = vec![T::nearest(0.0); written.len()];
    let rows = subject.rows();
    let mut is_padding = vec![true; written.len()];
    for place in (0..rows.count()).flat_map(|row| places(&rows, row)) {
        y[place] = written[place];
        is_padding[place] = false;
    }
    let is_changed = |&i: &usize| is_padding[i] && bytemuck::bytes_of(&written[i]) != bytemuck::bytes_of(&x[i]);
    equal(
        subject,
        "the first element of padding overwritten",
        (0..x.len()).find(is_changed),
        None,
    );
    y
}
