//! The library as training code calls it: on its own buffers, in its own encoder; and the mistakes that can be made there.
#![allow(clippy::unwrap_used)]

mod common;

use common::buffers::{GUARD, buffer, encode, guarded, inside, read, unguarded};
use common::{Random, bits, gpu};
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, EncodeError, Gpu, GpuError, GpuOptions, Gradient,
    Reduction, Rows, RunError, Softmax, SoftmaxBuffers, Upstream, Values, twin,
};

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

/// As a framework's memory pool has it: everything in one buffer, each array at an aligned offset.
#[test]
fn arrays_in_one_buffer() {
    let (count, classes) = (6, 70);
    let rows = Rows::new(count, classes);
    let mut random = Random(23);
    let (x, targets, weights) = (
        random.logits(count * classes, 3.0),
        random.targets(count, classes),
        random.logits(classes, 1.0),
    );
    let weights: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
    let upstream = 1.75f32;
    let mut page = Vec::new();
    // Guards between the arrays, as far apart as bindings must be.
    let mut add = |words: &[u32]| {
        page.extend([GUARD; 64]);
        page.resize(page.len().next_multiple_of(64), GUARD);
        let start = page.len() as u64 * 4;
        page.extend(words);
        start..page.len() as u64 * 4
    };
    let poison = |words: usize| vec![GUARD; words];
    let at = [
        add(&bits(&x)),
        add(&targets),
        add(&poison(16)),
        add(&poison(x.len())),
        add(&bits(&weights)),
        add(&[upstream.to_bits()]),
        add(&poison(count)),
    ];
    page.extend([GUARD; 64]);
    let before = page.clone();
    let page = buffer(&page);
    let [logits, goals, summary, gradient, by_class, above, losses] = at.clone().map(|range| page.slice(range));
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        weights: Some(Values::Buffer),
        upstream: Upstream::Buffer,
        ..CrossEntropy::default()
    };
    let buffers = CrossEntropyBuffers {
        gradient: Some(gradient),
        weights: Some(by_class),
        upstream: Some(above),
        row_losses: Some(losses),
        ..CrossEntropyBuffers::new(logits, goals, summary)
    };
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let apart = options.prepare(gpu(), rows).unwrap().encode(&mut encoder, &buffers);
    assert!(matches!(apart, Err(EncodeError::Overlap { .. })), "{apart:?}");

    let shared = gpu().with_shared_buffers();
    let kernel = options.prepare(&shared, rows).unwrap();
    let meets = CrossEntropyBuffers {
        gradient: Some(page.slice(at[0].start + 256..at[0].end + 256)),
        ..buffers
    };
    assert!(matches!(
        kernel.encode(&mut encoder, &meets),
        Err(EncodeError::Overlap { .. })
    ));
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());

    let on_host = CrossEntropy {
        weights: Some(weights.into()),
        upstream: Upstream::Number(upstream),
        ..options
    };
    let expected = gpu().cross_entropy(&x, &targets, rows, &on_host).unwrap();
    let after = read(&page);
    let [.., gradient, _, _, losses] = at
        .clone()
        .map(|range| &after[range.start as usize / 4..range.end as usize / 4]);
    assert_eq!(gradient, bits(&expected.gradient.unwrap()));
    assert_eq!(losses, bits(&expected.row_losses.unwrap()));
    let summary = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&after[at[2].start as usize / 4..])).unwrap();
    assert_eq!(summary.loss.to_bits(), expected.loss.unwrap().to_bits());
    let written = [2, 3, 6].map(|i: usize| at[i].start as usize / 4..at[i].end as usize / 4);
    for (i, (before, after)) in before.iter().zip(&after).enumerate() {
        let may_change = written.iter().any(|range| range.contains(&i));
        assert!(may_change || before == after, "word {i} was overwritten");
    }

    let softmax = Softmax::default().prepare(&shared, rows).unwrap();
    let result = page.slice(at[3].clone());
    encode(|encoder| {
        softmax
            .encode(encoder, &SoftmaxBuffers::new(logits, Some(result)))
            .unwrap()
    });
    let expected: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
    assert_eq!(
        read(&page)[at[3].start as usize / 4..at[3].end as usize / 4],
        bits(&expected)
    );
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
