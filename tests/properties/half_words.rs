//! bf16 rows that end in the middle of a word, at odd offsets within larger buffers; what lies around them stays as it is.

use crate::common::buffers::{buffer, encode, read};
use crate::common::{Random, Subject, equal, gpu, must, same_bits, stored};
use half::bf16;
use wgpu_softmax::{Dtype, Rows, Softmax, SoftmaxBuffers, SoftmaxKernel, Storage, half, wgpu};

const GUARD: u16 = 0xbeef;
const ROWS: Rows = Rows::new(5, 7);
const ELEMENTS: usize = 35;
/// Elements before the rows in their buffer.
const PAD: usize = 129;

fn logits() -> Vec<bf16> {
    stored(&Random(48).logits(ELEMENTS, 3.0))
}

/// The rows between guards.
fn guarded() -> wgpu::Buffer {
    let mut words: Vec<u16> = vec![GUARD; 300];
    words[PAD..PAD + ELEMENTS].copy_from_slice(bytemuck::cast_slice(&logits()));
    buffer(&words)
}

fn inside(buffer: &wgpu::Buffer) -> wgpu::BufferSlice<'_> {
    let offset = PAD as u64 * 2;
    buffer.slice(offset..offset + ELEMENTS as u64 * 2)
}

fn run(kernel: &SoftmaxKernel, buffers: &SoftmaxBuffers<'_>) {
    encode(|encoder| kernel.encode(encoder, buffers).unwrap());
}

#[test]
fn sixteen_bit_rows_that_end_mid_word() {
    let expected = gpu().softmax(&logits(), ROWS, &Softmax::default()).unwrap();
    for in_place in [false, true] {
        let options = Softmax {
            in_place,
            storage: Storage::all(Dtype::Bf16),
            ..Softmax::default()
        };
        let (logits, result) = (guarded(), buffer(&[GUARD; 300]));
        let apart = (!in_place).then(|| inside(&result));
        run(
            &options.prepare(gpu(), ROWS).unwrap(),
            &SoftmaxBuffers::new(inside(&logits), apart),
        );
        let got: Vec<u16> = read(if in_place { &logits } else { &result });
        let subject = Subject::new::<bf16>("softmax at an odd offset", ROWS, &options);
        same_bits(
            &subject,
            "y",
            bytemuck::cast_slice(&got[PAD..PAD + ELEMENTS]),
            &expected,
        );
        for (side, guard) in [("before", &got[..PAD]), ("after", &got[PAD + ELEMENTS..])] {
            let broken = guard.iter().position(|&word| word != GUARD);
            equal(&subject, &format!("the first half-word written {side} y"), broken, None);
        }
    }
}

#[test]
fn sixteen_bit_logits_with_results_of_32() {
    let options = Softmax {
        storage: Storage {
            logits: Dtype::Bf16,
            result: Dtype::F32,
        },
        ..Softmax::default()
    };
    let (from, result) = (guarded(), buffer(&[0u32; ELEMENTS]));
    let buffers = SoftmaxBuffers::new(inside(&from), Some(result.slice(..)));
    run(&options.prepare(gpu(), ROWS).unwrap(), &buffers);
    let wide: Vec<f32> = logits().iter().map(|v| v.to_f32()).collect();
    let y = gpu().softmax(&wide, ROWS, &Softmax::default()).unwrap();
    must(Subject::new::<bf16>("softmax at an odd offset", ROWS, &options).bits("y", &read::<f32>(&result), &y));
}
