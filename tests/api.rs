//! The library as its users call it: their buffers and encoder, large batches, many threads, mistakes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{GPUS, Random, bits, gpu, near};
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    BinaryCrossEntropy, CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, EmptyMean, EncodeError, Gpu, GpuError,
    GpuOptions, Gradient, Recorded, Reduction, Rows, RunError, Schedule, Softmax, SoftmaxBuffers, reference, twin,
};

const GUARD: u32 = 0xdead_beef;
/// Words before and after what an operation may touch: the alignment of a binding, so that it can be bound apart.
const PAD: usize = 64;

fn buffer(words: &[u32]) -> wgpu::Buffer {
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
fn guarded(content: Option<&[u32]>, words: usize) -> wgpu::Buffer {
    let mut all = vec![GUARD; words + 2 * PAD];
    if let Some(content) = content {
        all[PAD..PAD + words].copy_from_slice(content);
    }
    buffer(&all)
}

fn inside(buffer: &wgpu::Buffer) -> wgpu::BufferSlice<'_> {
    buffer.slice(PAD as u64 * 4..buffer.size() - PAD as u64 * 4)
}

fn read(buffer: &wgpu::Buffer) -> Vec<u32> {
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
fn unguarded(buffer: &wgpu::Buffer) -> Vec<u32> {
    let words = read(buffer);
    let (front, rest) = words.split_at(PAD);
    let (content, back) = rest.split_at(rest.len() - PAD);
    assert!(front.iter().chain(back).all(|&w| w == GUARD), "a guard was overwritten");
    content.to_vec()
}

fn encode(record: impl FnOnce(&mut wgpu::CommandEncoder) -> Recorded) -> Recorded {
    let mut encoder = gpu()
        .device()
        .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let recorded = record(&mut encoder);
    gpu().queue().submit([encoder.finish()]);
    recorded
}

#[test]
fn recorded_operations_write_all_of_their_result_and_nothing_else() {
    let mut random = Random(11);
    for (count, classes, stride) in [
        (5, 3, 3),
        (3, 64, 64),
        (9, 10, 10),
        (4, 8, 11),
        (2, 1025, 1025),
        (3, 2048, 2048),
        (1, 20_000, 20_000),
    ] {
        let rows = Rows::new(count, classes).with_row_stride(stride);
        let elements = rows.elements().unwrap();
        let x = random.logits(elements, 4.0);
        let targets = random.targets(count, classes);
        let is_padding = |i: usize| i % stride >= classes;
        let check_rows = |words: &[u32], expected: &dyn Fn(usize) -> Vec<f32>, padding: &dyn Fn(usize) -> u32| {
            for (i, &word) in words.iter().enumerate() {
                let want = if is_padding(i) {
                    padding(i)
                } else {
                    expected(i / stride)[i % stride].to_bits()
                };
                assert_eq!(word, want, "element {i} of {count} x {classes} / {stride}");
            }
        };
        let row = |r: usize| &x[r * stride..r * stride + classes];
        let probs: Vec<_> = (0..count).map(|r| twin::softmax(row(r))).collect();
        let pairs: Vec<_> = (0..count)
            .map(|r| twin::cross_entropy(row(r), targets[r] as usize, 1.0))
            .collect();

        for in_place in [false, true] {
            let (logits, result) = (guarded(Some(&bits(&x)), elements), guarded(None, elements));
            let kernel = Softmax {
                in_place,
                ..Softmax::default()
            }
            .prepare(gpu(), rows)
            .unwrap();
            let buffers = SoftmaxBuffers::new(inside(&logits), (!in_place).then(|| inside(&result)));
            encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
            let padding = |i: usize| if in_place { x[i].to_bits() } else { GUARD };
            let written = unguarded(if in_place { &logits } else { &result });
            check_rows(&written, &|r| probs[r].clone(), &padding);
            if !in_place {
                assert_eq!(unguarded(&logits), bits(&x), "the logits were changed");
            }
        }

        for gradient in [Gradient::Apart, Gradient::InPlace] {
            let options = CrossEntropy {
                gradient,
                reduction: Reduction::Sum,
                row_losses: true,
                lse: true,
                argmax: true,
                correct: true,
                ..CrossEntropy::default()
            };
            let kernel = options.prepare(gpu(), rows).unwrap();
            let [losses, lse, argmax] = [0; 3].map(|_| guarded(None, count));
            let (logits, goals) = (guarded(Some(&bits(&x)), elements), guarded(Some(&targets), count));
            let (apart, summary) = (guarded(None, elements), guarded(None, 16));
            let is_apart = gradient == Gradient::Apart;
            let buffers = CrossEntropyBuffers {
                gradient: is_apart.then(|| inside(&apart)),
                row_losses: Some(inside(&losses)),
                lse: Some(inside(&lse)),
                argmax: Some(inside(&argmax)),
                ..CrossEntropyBuffers::new(inside(&logits), inside(&goals), inside(&summary))
            };
            encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
            let padding = |i: usize| if is_apart { GUARD } else { x[i].to_bits() };
            check_rows(
                &unguarded(if is_apart { &apart } else { &logits }),
                &|r| pairs[r].1.clone(),
                &padding,
            );
            let expected: Vec<f32> = pairs.iter().map(|p| p.0).collect();
            assert_eq!(unguarded(&losses), bits(&expected));
            assert!(unguarded(&lse).iter().chain(&unguarded(&argmax)).all(|&w| w != GUARD));
            let words = unguarded(&summary);
            let summary = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words)).unwrap();
            assert_eq!(summary.loss.to_bits(), twin::total(&expected).to_bits());
            assert_eq!(
                (summary.counted as usize, summary.bad_targets, summary.first_bad),
                (count, 0, None)
            );
        }
    }
}

#[test]
fn bad_targets_are_left_in_the_summary_and_are_errors_on_the_host() {
    let (count, classes) = (3000, 10);
    let x = Random(12).logits(count * classes, 2.0);
    let mut targets = vec![3i64; count];
    (targets[1234], targets[2999], targets[7]) = (10, -5, -100);
    let rows = Rows::new(count, classes);
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let error = gpu().cross_entropy(&x, &targets, rows, &options).unwrap_err();
    assert_eq!(
        error,
        RunError::TargetOutOfRange {
            row: 1234,
            target: 10,
            classes: 10,
            count: 2
        }
    );
    assert!(
        error
            .to_string()
            .contains("row 1234 has target 10, but there are 10 classes"),
        "{error}"
    );
    // 2^40 is no 32-bit word, but must be named as it is.
    let huge = gpu()
        .cross_entropy(&x[..10], &[1i64 << 40], Rows::new(1, 10), &options)
        .unwrap_err();
    assert!(matches!(
        huge,
        RunError::TargetOutOfRange {
            row: 0,
            target: 0x100_0000_0000,
            ..
        }
    ));

    let kernel = options.prepare(gpu(), rows).unwrap();
    let words: Vec<u32> = targets.iter().map(|&t| t as i32 as u32).collect();
    let (logits, goals, gradient, summary) = (
        buffer(&bits(&x)),
        buffer(&words),
        buffer(&vec![GUARD; x.len()]),
        buffer(&[GUARD; 16]),
    );
    let buffers = CrossEntropyBuffers {
        gradient: Some(gradient.slice(..)),
        ..CrossEntropyBuffers::new(logits.slice(..), goals.slice(..), summary.slice(..))
    };
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let summary = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&read(&summary))).unwrap();
    assert_eq!(
        (summary.bad_targets, summary.first_bad, summary.counted),
        (2, Some((1234, 10)), 2997)
    );
    assert!(summary.loss.is_nan());
    for (row, g) in read(&gradient).chunks(classes).enumerate() {
        let is_nan = g.iter().all(|&w| f32::from_bits(w).is_nan());
        assert_eq!(is_nan, row == 1234 || row == 2999, "row {row}");
        assert!(row != 7 || g.iter().all(|&w| w == 0), "an ignored row has a gradient");
    }
    // And the same Gpu goes on.
    assert!(gpu().softmax(&x, rows, &Softmax::default()).is_ok());
}

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
fn mistakes_are_errors_and_a_correct_call_works_after_each() {
    let rows = Rows::new(4, 8);
    let storage = |words: usize| buffer(&vec![0; words]);
    let (logits, result, targets, summary) = (storage(32), storage(32), storage(4), storage(16));
    let usage = Usage::COPY_DST;
    let unusable = gpu().device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 128,
        usage,
        mapped_at_creation: false,
    });
    let softmax = Softmax::default().prepare(gpu(), rows).unwrap();
    let cross_entropy = CrossEntropy::default().prepare(gpu(), rows).unwrap();
    let good = SoftmaxBuffers::new(logits.slice(..), Some(result.slice(..)));
    let fails = |buffers: SoftmaxBuffers<'_>| {
        let mut encoder = gpu()
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let error = softmax.encode(&mut encoder, &buffers).unwrap_err();
        softmax.encode(&mut encoder, &good).unwrap();
        gpu().queue().submit([encoder.finish()]);
        error
    };
    let too_small = fails(SoftmaxBuffers {
        logits: logits.slice(..124),
        ..good
    });
    assert_eq!(
        too_small,
        EncodeError::BufferTooSmall {
            buffer: "logits",
            needed: 128,
            bound: 124
        }
    );
    assert!(matches!(
        fails(SoftmaxBuffers { result: None, ..good }),
        EncodeError::MissingBuffer { .. }
    ));
    assert!(matches!(
        fails(SoftmaxBuffers {
            result: Some(logits.slice(..)),
            ..good
        }),
        EncodeError::Overlap { .. }
    ));
    assert!(matches!(
        fails(SoftmaxBuffers {
            logits: unusable.slice(..),
            ..good
        }),
        EncodeError::MissingUsage { .. }
    ));
    let good = CrossEntropyBuffers::new(logits.slice(..), targets.slice(..), summary.slice(..));
    let fails = |buffers: CrossEntropyBuffers<'_>| {
        let mut encoder = gpu()
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let error = cross_entropy.encode(&mut encoder, &buffers).unwrap_err();
        cross_entropy.encode(&mut encoder, &good).unwrap();
        gpu().queue().submit([encoder.finish()]);
        error
    };
    assert!(matches!(
        fails(CrossEntropyBuffers {
            gradient: Some(result.slice(..)),
            ..good
        }),
        EncodeError::UnusedBuffer { .. }
    ));
    assert!(matches!(
        fails(CrossEntropyBuffers {
            summary: summary.slice(..16),
            ..good
        }),
        EncodeError::BufferTooSmall { .. }
    ));
    assert!(matches!(
        fails(CrossEntropyBuffers {
            targets: targets.slice(..12),
            ..good
        }),
        EncodeError::BufferTooSmall { .. }
    ));

    let (shared, unaligned) = (storage(128), storage(32));
    let within = CrossEntropyBuffers::new(logits.slice(..), shared.slice(256..272), shared.slice(..64));
    assert!(matches!(
        fails(within),
        EncodeError::Overlap {
            a: "summary",
            b: "targets"
        }
    ));
    let shifted = CrossEntropyBuffers {
        summary: unaligned.slice(4..),
        ..good
    };
    assert!(matches!(fails(shifted), EncodeError::MisalignedOffset { .. }));
    let huge = CrossEntropy {
        ignore_index: 1 << 40,
        ..CrossEntropy::default()
    }
    .prepare(gpu(), rows);
    assert!(matches!(huge, Err(EncodeError::IgnoreIndex { .. })));

    let wrong = gpu().softmax(&[0.0; 31], rows, &Softmax::default()).unwrap_err();
    assert_eq!(
        wrong,
        RunError::Encode(EncodeError::WrongLength {
            what: "logits",
            expected: 32,
            got: 31
        })
    );
    let nobody = GpuOptions {
        adapter_name: Some("no such adapter".into()),
        ..GpuOptions::default()
    };
    assert!(matches!(Gpu::with_options(&nobody), Err(GpuError::NoAdapter { .. })));
    assert_eq!(
        gpu().softmax(&[0.0; 32], rows, &Softmax::default()).unwrap(),
        [0.125; 32]
    );
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
