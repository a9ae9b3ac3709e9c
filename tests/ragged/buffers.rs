//! Rows of unequal length in device buffers, in parts, and none at all.

use super::common::buffers::{GUARD, buffer, encode, guarded, inside, read, unguarded};
use super::common::{Random, Subject, bits, equal, gpu, must, same_bits};
use super::{SCHEDULE, SHORT, logits, of_lengths, row};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Dtype, FullyMasked, Gpu, GpuOptions, Gradient, LogSumExp,
    Reduction, Rows, Softmax, SoftmaxBuffers, Storage, half,
};

fn options() -> Softmax {
    Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    }
}

#[test]
fn nothing_is_written_but_the_rows() {
    let rows = of_lengths(&SHORT);
    let x: Vec<f32> = logits(&mut Random(431), &rows);
    let expected = gpu().softmax(&x, &rows, &options()).unwrap();
    let subject = Subject::new::<f32>("rows of unequal length in buffers", Rows::new(1, x.len()), &SCHEDULE);
    let kernel = options().prepare(gpu(), &rows).unwrap();
    let (logits, y) = (guarded(Some(&bits(&x)), x.len()), guarded(None, x.len()));
    let buffers = SoftmaxBuffers::new(inside(&logits), Some(inside(&y)));
    let bound = kernel.bind(&buffers).unwrap();
    encode(|encoder| bound.encode(encoder));
    must(subject.each("y", &unguarded(&subject, "y", &y), &bits(&expected)));
    must(subject.each("logits", &unguarded(&subject, "logits", &logits), &bits(&x)));
    let in_place = Softmax {
        in_place: true,
        ..options()
    };
    let kernel = in_place.prepare(gpu(), &rows).unwrap();
    encode(|encoder| {
        kernel
            .encode(encoder, &SoftmaxBuffers::new(inside(&logits), None))
            .unwrap()
    });
    must(subject.each("y in place", &unguarded(&subject, "y", &logits), &bits(&expected)));
}

/// Rows begin at the second half of a word, and the halves before the first and after the last stay as they are.
#[test]
fn rows_of_16_bits_leave_their_neighbours() {
    let rows = of_lengths(&SHORT[..7]);
    let x: Vec<half::f16> = logits(&mut Random(432), &rows);
    let expected = gpu().softmax(&x, &rows, &options()).unwrap();
    let options = Softmax {
        storage: Storage::all(Dtype::F16),
        ..options()
    };
    let kernel = options.prepare(gpu(), &rows).unwrap();
    let guard = half::f16::from_bits(GUARD as u16);
    let apart = |x: &[half::f16]| {
        let mut all = vec![guard; 256 + x.len().next_multiple_of(2)];
        all[129..129 + x.len()].copy_from_slice(x);
        all
    };
    let (logits, y) = (buffer(&apart(&x)), buffer(&apart(&vec![guard; x.len()])));
    let part = 258..258 + 2 * x.len() as u64;
    let buffers = SoftmaxBuffers::new(logits.slice(part.clone()), Some(y.slice(part)));
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let subject = Subject::new::<half::f16>("rows of 16 bits in buffers", Rows::new(1, x.len()), &options);
    let got: Vec<u16> = read(&y);
    let words: Vec<u16> = apart(&expected).iter().map(|y| y.to_bits()).collect();
    must(subject.each("the whole buffer", &got, &words));
}

/// Targets that only the device knows: each row has its own bounds, and an empty row has no class.
#[test]
fn the_device_counts_targets_that_a_row_does_not_have() {
    let rows = of_lengths(&[3, 0, 5, 0, 2, 4]);
    let x: Vec<f32> = Random(433).logits(rows.elements(), 2.0);
    let targets = [2u32, 0, 5, -100i32 as u32, 1, 3];
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        argmax: true,
        correct: true,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    };
    let good = CrossEntropy {
        reduction: Reduction::None,
        ..options.clone()
    };
    let ignored = [2i64, -100, -100, -100, 1, 3];
    let expected = gpu()
        .cross_entropy(&x, &ignored, &rows, &good)
        .unwrap()
        .row_losses
        .unwrap();
    let kernel = options.prepare(gpu(), &rows).unwrap();
    let [logits, targets] = [bits(&x), targets.to_vec()].map(|words| guarded(Some(&words), words.len()));
    let (losses, argmax) = (guarded(None, 6), guarded(None, 6));
    let (gradient, summary) = (
        guarded(None, x.len()),
        guarded(None, CrossEntropySummary::BYTES as usize / 4),
    );
    let buffers = CrossEntropyBuffers {
        row_losses: Some(inside(&losses)),
        argmax: Some(inside(&argmax)),
        gradient: Some(inside(&gradient)),
        ..CrossEntropyBuffers::new(inside(&logits), inside(&targets), inside(&summary))
    };
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let subject = Subject::new::<f32>("loss of unequal rows in buffers", Rows::new(1, x.len()), &options);
    let losses: Vec<f32> = bytemuck::cast_vec(unguarded(&subject, "losses", &losses));
    let expected = [expected[0], f32::NAN, f32::NAN, 0.0, expected[4], expected[5]];
    same_bits(&subject, "losses", &losses, &expected);
    let argmax = unguarded(&subject, "argmax", &argmax);
    equal(
        &subject,
        "argmax of empty rows",
        [argmax[1], argmax[3]],
        [i32::MAX as u32; 2],
    );
    let gradient: Vec<f32> = bytemuck::cast_vec(unguarded(&subject, "gradient", &gradient));
    let is_nan = |number: usize| row(&gradient, &rows, number).iter().all(|g| g.is_nan());
    equal(
        &subject,
        "rows whose gradient is NaN",
        [0, 2, 4, 5].map(is_nan),
        [false, true, false, false],
    );
    let words = unguarded(&subject, "summary", &summary);
    let summary = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words)).unwrap();
    equal(&subject, "counted", (summary.counted, summary.bad_targets), (3, 2));
    equal(&subject, "the first bad target", summary.first_bad, Some((1, 0)));
}

/// Cut at rows wherever the bytes of a part are used up; a row that is longer is a part by itself.
#[test]
fn rows_that_travel_in_parts_are_those_of_one_part() {
    let rows = of_lengths(&SHORT);
    let x: Vec<f32> = logits(&mut Random(434), &rows);
    let small = |part_bytes| {
        let options = GpuOptions {
            part_bytes,
            ..GpuOptions::default()
        };
        Gpu::with_options(&options).unwrap()
    };
    let expected = gpu().softmax(&x, &rows, &options()).unwrap();
    let lse_options = LogSumExp {
        schedule: SCHEDULE,
        ..LogSumExp::default()
    };
    let lse = gpu().logsumexp(&x, &rows, &lse_options).unwrap();
    let subject = Subject::new::<f32>("rows in parts", Rows::new(1, x.len()), &SCHEDULE);
    let gpu = small(4 * 1100);
    same_bits(&subject, "y", &gpu.softmax(&x, &rows, &options()).unwrap(), &expected);
    same_bits(&subject, "lse", &gpu.logsumexp(&x, &rows, &lse_options).unwrap(), &lse);
}

/// Rows without elements have results of their own, and no rows have none.
#[test]
fn empty_rows_alone_and_no_rows() {
    let none = Rows::ragged([0]).unwrap();
    let empty = of_lengths(&[0; 3]);
    assert_eq!(
        (none.count(), none.longest(), empty.count(), empty.elements()),
        (0, 0, 3, 0)
    );
    let zeros = LogSumExp {
        fully_masked: FullyMasked::Zeros,
        schedule: SCHEDULE,
        ..LogSumExp::default()
    };
    let x: [f32; 0] = [];
    assert_eq!(gpu().softmax(&x, &none, &options()).unwrap(), x);
    assert_eq!(gpu().softmax(&x, &empty, &options()).unwrap(), x);
    assert_eq!(gpu().logsumexp(&x, &none, &zeros).unwrap(), x);
    assert_eq!(gpu().logsumexp(&x, &empty, &zeros).unwrap(), [f32::NEG_INFINITY; 3]);
    let uniform = LogSumExp {
        fully_masked: FullyMasked::Uniform,
        ..zeros
    };
    let lse = gpu().logsumexp(&x, &empty, &uniform).unwrap();
    assert!(lse.iter().all(|lse| lse.is_nan()), "{lse:?}");
    let targets = [-100i64; 3];
    let out = gpu()
        .cross_entropy(&x, &targets, &empty, &CrossEntropy::default())
        .unwrap();
    assert!(out.loss.unwrap().is_nan() && out.counted == 0, "{out:?}");
}
