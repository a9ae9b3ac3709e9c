//! The library as inference and scripts call it: slices on the host, large batches, many threads.
#![allow(clippy::unwrap_used)]

mod common;

use common::buffers::{buffer, encode, read};
use common::{GPUS, Random, bits, gpu, near};
use wgpu_softmax::{
    BinaryCrossEntropy, CrossEntropy, EmptyMean, EncodeError, Gpu, GpuOptions, Gradient, Reduction, Rows, RunError,
    Schedule, Softmax, SoftmaxBuffers, reference, twin,
};

#[test]
fn rows_have_the_same_bits_alone_and_among_70_000() {
    let mut random = Random(13);
    for gpu in GPUS.iter() {
        let (count, classes) = (70_000, 10);
        let rows = Rows::new(count, classes);
        let x = random.logits(count * classes, 3.0);
        let targets = random.targets(count, classes);
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            reduction: Reduction::None,
            ..CrossEntropy::default()
        };
        let y = gpu.softmax(&x, rows, &Softmax::default()).unwrap();
        let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
        let (losses, gradient) = (out.row_losses.unwrap(), out.gradient.unwrap());
        for row in [0, 1, 65_534, 65_535, 65_536, 69_999] {
            let at = row * classes..(row + 1) * classes;
            let alone = gpu
                .softmax(&x[at.clone()], Rows::new(1, classes), &Softmax::default())
                .unwrap();
            assert_eq!(bits(&alone), bits(&y[at.clone()]));
            let alone = gpu
                .cross_entropy(&x[at.clone()], &targets[row..=row], Rows::new(1, classes), &options)
                .unwrap();
            assert_eq!(alone.row_losses.unwrap()[0].to_bits(), losses[row].to_bits());
            assert_eq!(bits(&alone.gradient.unwrap()), bits(&gradient[at]));
        }
        let exact = reference::softmax(&x, rows, &Softmax::default()).unwrap();
        assert!(
            y.iter()
                .zip(exact)
                .all(|(y, exact)| (f64::from(*y) - exact).abs() < 1e-6)
        );
    }
}

#[test]
fn more_rows_than_one_dimension_of_a_dispatch() {
    // Chunked by 8 lanes takes a work-group for each row, of which a dimension holds 65,535.
    let chunked = Some(Schedule::Chunked { lanes: 8 });
    for count in [65_535, 65_536, 70_000] {
        let (rows, x) = (Rows::new(count, 5), Random(18).logits(count * 5, 3.0));
        let folded = Softmax {
            schedule: chunked,
            ..Softmax::default()
        };
        let y = gpu().softmax(&x, rows, &folded).unwrap();
        assert_eq!(
            bits(&y),
            bits(&gpu().softmax(&x, rows, &Softmax::default()).unwrap()),
            "{count} rows"
        );
    }
}

#[test]
fn long_rows() {
    let mut random = Random(14);
    for (count, classes) in [(3, 128_256), (1, 1_000_003)] {
        let x = random.logits(count * classes, 3.0);
        let rows = Rows::new(count, classes);
        let targets = random.targets(count, classes);
        let y = gpu().softmax(&x, rows, &Softmax::default()).unwrap();
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            argmax: true,
            ..CrossEntropy::default()
        };
        let out = gpu().cross_entropy(&x, &targets, rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap();
        for (row, x) in x.chunks(classes).enumerate() {
            assert_eq!(bits(&y[row * classes..][..classes]), bits(&twin::softmax(x)));
            assert_eq!(out.argmax.as_ref().unwrap()[row] as usize, exact.argmax[row]);
        }
        assert!((f64::from(out.loss.unwrap()) - exact.loss).abs() <= 2e-6 * exact.loss);
        assert!(
            out.gradient
                .unwrap()
                .iter()
                .zip(&exact.gradient)
                .all(|(g, e)| (f64::from(*g) - e).abs() < 1e-6)
        );
    }
}

#[test]
fn batches_larger_than_a_binding_go_through_in_parts() {
    let (count, classes) = (76_800, 1024);
    let rows = Rows::new(count, classes);
    let some = Random(15).logits(classes * 4, 3.0);
    let x: Vec<f32> = some.iter().copied().cycle().take(count * classes).collect();
    let y = gpu().softmax(&x, rows, &Softmax::default()).unwrap();
    let expected: Vec<u32> = some.chunks(classes).flat_map(|row| bits(&twin::softmax(row))).collect();
    assert!(
        y.chunks(expected.len()).all(|rows| bits(rows) == expected),
        "some of 300 MiB differ"
    );
    // On the device at once, cut by what can be bound.
    let half = Rows::new(count / 2, classes);
    let kernel = Softmax {
        in_place: true,
        ..Softmax::default()
    }
    .prepare(gpu(), half)
    .unwrap();
    let logits = buffer(&bits(&x[..x.len() / 2]));
    let first = encode(|encoder| {
        kernel
            .encode(encoder, &SoftmaxBuffers::new(logits.slice(..), None))
            .unwrap()
    });
    // On other buffers of the same shape nothing new is needed.
    let other = buffer(&bits(&x[..x.len() / 2]));
    let again = encode(|encoder| {
        kernel
            .encode(encoder, &SoftmaxBuffers::new(other.slice(..), None))
            .unwrap()
    });
    assert_eq!((again.dispatches, again.allocated_bytes), (first.dispatches, 0));
    assert!(read(&logits).chunks(expected.len()).all(|rows| rows == expected));
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
        let small = Gpu::with_options(&GpuOptions {
            part_bytes,
            ..GpuOptions::default()
        })
        .unwrap();
        assert_eq!(
            small.cross_entropy(&x, &targets, rows, &options).unwrap(),
            whole,
            "{part_bytes} bytes at a time"
        );
    }
}

/// Calls use the buffers of those before them; what those left there must not show.
#[test]
fn padding_is_0_whatever_was_there() {
    // As many elements, so that the buffers fit.
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
        near("gradient", &out.gradient.unwrap(), &exact.gradient);
        out.losses
            .iter()
            .for_each(|losses| near("losses", losses, &exact.losses));
        out.loss.iter().for_each(|&loss| near("loss", &[loss], &[exact.loss]));
    }
    gpu().softmax(&x, dense, &Softmax::default()).unwrap();
    let y = gpu().softmax(&x, padded, &Softmax::default()).unwrap();
    assert!(y.chunks(8).all(|row| row.iter().skip(5).all(|&y| y == 0.0)));
}

#[test]
fn empty_batches() {
    let none: [u32; 0] = [];
    let rows = Rows::new(0, 5);
    assert_eq!(gpu().softmax::<f32>(&[], rows, &Softmax::default()).unwrap(), [0f32; 0]);
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
        assert_eq!(
            loss.map(f32::to_bits),
            expected.map(f32::to_bits),
            "{reduction:?} of no rows"
        );
        let ignored = gpu()
            .cross_entropy(&[f32::NAN; 5], &[-100], Rows::new(1, 5), &options)
            .unwrap()
            .loss;
        assert_eq!(
            ignored.map(f32::to_bits),
            expected.map(f32::to_bits),
            "{reduction:?} of ignored rows"
        );
    }
    let error = gpu()
        .softmax::<f32>(&[], Rows::new(3, 0), &Softmax::default())
        .unwrap_err();
    assert_eq!(error, RunError::Encode(EncodeError::NoClasses));
}

#[test]
fn the_async_twins_give_the_same() {
    let (rows, x) = (Rows::new(9, 33), Random(19).logits(9 * 33, 3.0));
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        lse: true,
        ..CrossEntropy::default()
    };
    let out = pollster::block_on(gpu().cross_entropy_async(&x, &[4u8; 9], rows, &options)).unwrap();
    assert_eq!(out, gpu().cross_entropy(&x, &[4usize; 9], rows, &options).unwrap());
    let error = pollster::block_on(gpu().cross_entropy_async(&x, &[33u8; 9], rows, &options)).unwrap_err();
    assert!(matches!(
        error,
        RunError::TargetOutOfRange {
            row: 0,
            target: 33,
            classes: 33,
            count: 9
        }
    ));
}

#[test]
fn a_device_of_the_callers_and_many_threads_at_once() {
    let own = Gpu::from_device(gpu().device().clone(), gpu().queue().clone()).unwrap();
    std::thread::scope(|scope| {
        for seed in 1..5 {
            let own = own.clone();
            scope.spawn(move || {
                let mut random = Random(seed);
                for _ in 0..5 {
                    let classes = 1 + random.below(64);
                    let x = random.logits(classes * 7, 3.0);
                    let y = own.softmax(&x, Rows::new(7, classes), &Softmax::default()).unwrap();
                    let expected: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
                    assert_eq!(bits(&y), bits(&expected));
                    let y =
                        pollster::block_on(own.softmax_async(&x, Rows::new(7, classes), &Softmax::default())).unwrap();
                    assert_eq!(bits(&y), bits(&expected));
                }
            });
        }
    });
}
