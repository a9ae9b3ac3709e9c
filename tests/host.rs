//! The library as inference and scripts call it: slices on the host, large batches, many threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::buffers::{buffer, encode, read};
use common::outputs::{optional, outputs_are};
use common::{GPUS, Random, Subject, equal, gpu, must, near, on, same_bits};
use wgpu_softmax::{
    BinaryCrossEntropy, CrossEntropy, EmptyMean, EncodeError, Gpu, GpuOptions, Gradient, Reduction, Rows, RunError,
    Schedule, Softmax, SoftmaxBuffers, reference, twin, wgpu,
};

#[test]
fn rows_have_the_same_bits_alone_and_among_70_000() {
    let mut random = Random(13);
    for gpu in GPUS.iter() {
        let (count, classes) = (70_000, 10);
        let (rows, one) = (Rows::new(count, classes), Rows::new(1, classes));
        let x = random.logits(count * classes, 3.0);
        let targets = random.targets(count, classes);
        let softmax = Softmax::default();
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            reduction: Reduction::None,
            ..CrossEntropy::default()
        };
        let y = gpu.softmax(&x, rows, &softmax).unwrap();
        let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
        let (losses, gradient) = (out.row_losses.unwrap(), out.gradient.unwrap());
        for row in [0, 1, 65_534, 65_535, 65_536, 69_999] {
            let at = row * classes..(row + 1) * classes;
            let alone = gpu.softmax(&x[at.clone()], one, &softmax).unwrap();
            let subject = Subject::new::<f32>(on(&format!("softmax of row {row} alone,"), gpu), one, &softmax);
            same_bits(&subject, "y", &alone, &y[at.clone()]);
            let alone = gpu
                .cross_entropy(&x[at.clone()], &targets[row..=row], one, &options)
                .unwrap();
            let subject = Subject::new::<f32>(on(&format!("cross_entropy of row {row} alone,"), gpu), one, &options);
            same_bits(&subject, "row losses", &alone.row_losses.unwrap(), &losses[row..=row]);
            same_bits(&subject, "gradient", &alone.gradient.unwrap(), &gradient[at]);
        }
        let exact = reference::softmax(&x, rows, &softmax).unwrap();
        let subject = Subject::new::<f32>(on("softmax", gpu), rows, &softmax);
        must(subject.within("y", &y, &exact, |_, _| 9.9e-7));
    }
}

#[test]
fn more_rows_than_one_dimension_of_a_dispatch() {
    // Chunked by 8 lanes takes a work-group for each row, of which a dimension holds 65,535.
    let options = Softmax {
        schedule: Some(Schedule::Chunked { lanes: 8 }),
        ..Softmax::default()
    };
    for count in [65_535, 65_536, 70_000] {
        let (rows, x) = (Rows::new(count, 5), Random(18).logits(count * 5, 3.0));
        let y = gpu().softmax(&x, rows, &options).unwrap();
        let expected = gpu().softmax(&x, rows, &Softmax::default()).unwrap();
        same_bits(&Subject::new::<f32>("softmax", rows, &options), "y", &y, &expected);
    }
}

#[test]
fn long_rows() {
    let mut random = Random(14);
    for (count, classes) in [(3, 128_256), (1, 1_000_003)] {
        let x = random.logits(count * classes, 3.0);
        let rows = Rows::new(count, classes);
        let targets = random.targets(count, classes);
        let options = Softmax::default();
        let y = gpu().softmax(&x, rows, &options).unwrap();
        let twin: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
        same_bits(&Subject::new::<f32>("softmax", rows, &options), "y", &y, &twin);
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            argmax: true,
            ..CrossEntropy::default()
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        outputs_are(&subject, &options, &out, &exact);
        must(subject.within("loss", &[out.loss.unwrap()], &[exact.loss], |_, exact| 2e-6 * exact));
        must(subject.within("gradient", &out.gradient.unwrap(), &exact.gradient, |_, _| 9.9e-7));
    }
}

#[test]
fn batches_larger_than_a_binding_go_through_in_parts() {
    let (count, classes) = (76_800, 1024);
    let rows = Rows::new(count, classes);
    let some = Random(15).logits(classes * 4, 3.0);
    let x: Vec<f32> = some.iter().copied().cycle().take(count * classes).collect();
    let options = Softmax::default();
    let y = gpu().softmax(&x, rows, &options).unwrap();
    let expected: Vec<f32> = some.chunks(classes).flat_map(twin::softmax).collect();
    // The rows repeat after four; a subject of all four says which.
    let four = Rows::new(4, classes);
    for (i, rows) in y.chunks(expected.len()).enumerate() {
        let operation = format!("softmax of 300 MiB, rows from {} on,", 4 * i);
        same_bits(&Subject::new::<f32>(operation, four, &options), "y", rows, &expected);
    }
    // On the device at once, cut by what can be bound.
    let half = Rows::new(count / 2, classes);
    let in_place = Softmax {
        in_place: true,
        ..Softmax::default()
    };
    let kernel = in_place.prepare(gpu(), half).unwrap();
    let run = |logits: &wgpu::Buffer| {
        let buffers = SoftmaxBuffers::new(logits.slice(..), None);
        encode(|encoder| kernel.encode(encoder, &buffers).unwrap())
    };
    let (logits, other) = (buffer(&x[..x.len() / 2]), buffer(&x[..x.len() / 2]));
    let first = run(&logits);
    // On other buffers of the same shape nothing new is needed.
    let again = run(&other);
    let subject = Subject::new::<f32>("softmax, recorded", half, &in_place);
    let expected_work = (first.dispatches, 0);
    equal(
        &subject,
        "dispatches and bytes allocated",
        (again.dispatches, again.allocated_bytes),
        expected_work,
    );
    for buffer in [&logits, &other] {
        for (i, rows) in read::<f32>(buffer).chunks(expected.len()).enumerate() {
            let operation = format!("softmax in place of 150 MiB, rows from {} on,", 4 * i);
            same_bits(&Subject::new::<f32>(operation, four, &in_place), "y", rows, &expected);
        }
    }
}

#[test]
fn parts_change_no_bits() {
    let rows = Rows::of_shape(&[3, 700, 5], 1).unwrap();
    let x = Random(16).logits(rows.elements().unwrap(), 3.0);
    let targets = Random(17).targets(15, 700);
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        lse: true,
        ..CrossEntropy::default()
    };
    let whole = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
    // One block at a time, then less than a block.
    for part_bytes in [15_000, 6_000, 1] {
        let gpu_options = GpuOptions {
            part_bytes,
            ..GpuOptions::default()
        };
        let small = Gpu::with_options(&gpu_options).unwrap();
        let out = small.cross_entropy(&x, &targets, rows, &options).unwrap();
        let operation = format!("cross_entropy, {part_bytes} bytes at a time,");
        must(Subject::new::<f32>(operation, rows, &options).same_outputs(&out, &whole));
    }
}

/// Calls use the buffers of calls before them; what those left there must not show.
#[test]
fn padding_is_0_whatever_was_there() {
    // The same number of elements, so that the buffers fit.
    let x = Random(19).logits(61, 3.0);
    let (dense, padded) = (Rows::new(1, 61), Rows::new(8, 5).with_row_stride(8));
    for reduction in [Reduction::None, Reduction::Sum] {
        let options = BinaryCrossEntropy {
            reduction,
            gradient: Gradient::Apart,
            ..BinaryCrossEntropy::default()
        };
        let run = |x: &[f32], rows| gpu().binary_cross_entropy_with_logits(x, x, rows, &options);
        run(&x, dense).unwrap();
        let out = run(&x, padded).unwrap();
        let exact = reference::binary_cross_entropy_with_logits(&x, &x, padded, &options).unwrap();
        let subject = Subject::new::<f32>("binary_cross_entropy_with_logits", padded, &options);
        near(&subject, "gradient", &out.gradient.unwrap(), &exact.gradient);
        let is_reduced = reduction != Reduction::None;
        optional(
            &subject,
            "losses",
            out.losses.as_deref(),
            (!is_reduced).then_some(&exact.losses[..]),
        );
        let loss = out.loss.map(|loss| vec![loss]);
        optional(&subject, "loss", loss.as_deref(), is_reduced.then_some(&[exact.loss]));
    }
    let options = Softmax::default();
    gpu().softmax(&x, dense, &options).unwrap();
    let y = gpu().softmax(&x, padded, &options).unwrap();
    let exact = reference::softmax(&x, padded, &options).unwrap();
    let is_padding = |i: usize| i % 8 >= 5;
    let bound = |i, _| if is_padding(i) { 0.0 } else { 1e-6 };
    must(Subject::new::<f32>("softmax", padded, &options).within("y", &y, &exact, bound));
}

#[test]
fn empty_batches() {
    let none: [u32; 0] = [];
    let (rows, one) = (Rows::new(0, 5), Rows::new(1, 5));
    let y = gpu().softmax::<f32>(&[], rows, &Softmax::default()).unwrap();
    same_bits(&Subject::new::<f32>("softmax", rows, &()), "y", &y, &[]);
    for (reduction, empty_mean, expected) in [
        (Reduction::None, EmptyMean::Nan, None),
        (Reduction::Sum, EmptyMean::Nan, Some(0.0)),
        (Reduction::Mean, EmptyMean::Zero, Some(0.0)),
        (Reduction::Mean, EmptyMean::Nan, Some(f32::NAN)),
    ] {
        let options = CrossEntropy {
            reduction,
            empty_mean,
            ..CrossEntropy::default()
        };
        let loss = gpu().cross_entropy::<f32, _>(&[], &none, rows, &options).unwrap().loss;
        let ignored = gpu()
            .cross_entropy(&[f32::NAN; 5], &[-100], one, &options)
            .unwrap()
            .loss;
        for (loss, rows) in [(loss, rows), (ignored, one)] {
            let subject = Subject::new::<f32>("cross_entropy of no rows or of an ignored one", rows, &options);
            let listed = |loss: Option<f32>| loss.map(|loss| vec![loss]);
            must(subject.optional_bits("loss", listed(loss).as_deref(), listed(expected).as_deref()));
        }
    }
    let result = gpu().softmax::<f32>(&[], Rows::new(3, 0), &Softmax::default());
    assert_eq!(
        result.err(),
        Some(RunError::Encode(EncodeError::NoClasses)),
        "the error of softmax of [3, 0]"
    );
}

#[test]
fn the_async_calls_give_the_same() {
    let (rows, x) = (Rows::new(9, 33), Random(19).logits(9 * 33, 3.0));
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        lse: true,
        ..CrossEntropy::default()
    };
    let subject = Subject::new::<f32>("cross_entropy_async", rows, &options);
    let out = pollster::block_on(gpu().cross_entropy_async(&x, &[4u8; 9], rows, &options)).unwrap();
    must(subject.same_outputs(&out, &gpu().cross_entropy(&x, &[4usize; 9], rows, &options).unwrap()));
    let result = pollster::block_on(gpu().cross_entropy_async(&x, &[33u8; 9], rows, &options));
    let expected = RunError::TargetOutOfRange {
        row: 0,
        target: 33,
        classes: 33,
        count: 9,
    };
    equal(&subject, "the error of targets of 33", result.err(), Some(expected));
}

#[test]
fn a_device_of_the_callers_and_many_threads_at_once() {
    let own = Gpu::from_device(gpu().device().clone(), gpu().queue().clone()).unwrap();
    std::thread::scope(|scope| {
        for seed in 1..5 {
            let own = own.clone();
            scope.spawn(move || {
                let (mut random, options) = (Random(seed), Softmax::default());
                for _ in 0..5 {
                    let classes = 1 + random.below(64);
                    let rows = Rows::new(7, classes);
                    let x = random.logits(classes * 7, 3.0);
                    let expected: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
                    let y = own.softmax(&x, rows, &options).unwrap();
                    let subject = Subject::new::<f32>("softmax in a thread", rows, &options);
                    same_bits(&subject, "y", &y, &expected);
                    let y = pollster::block_on(own.softmax_async(&x, rows, &options)).unwrap();
                    let subject = Subject::new::<f32>("softmax_async in a thread", rows, &options);
                    same_bits(&subject, "y", &y, &expected);
                }
            });
        }
    });
}
