//! What must hold whatever the numbers; every schedule with every option; 16-bit rows that end mid-word.
#![allow(clippy::unwrap_used)]

mod common;

use common::{GPUS, Random, gpu, stored};
use half::bf16;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    Adjust, BinaryCrossEntropy, CrossEntropy, Dtype, EmptyMean, EncodeError, Gradient, Mask, Normalizer, Reduction,
    Rows, RunError, Scale, Schedule, Softmax, SoftmaxBuffers, Storage, half, reference,
};

#[test]
fn rows_of_probabilities_sum_to_1_and_rows_of_gradients_to_0() {
    let mut random = Random(41);
    for classes in [1, 3, 10, 1000, 3001] {
        let rows = Rows::new(5, classes);
        let (x, targets) = (random.logits(5 * classes, 4.0), random.targets(5, classes));
        let y = gpu().softmax(&x, rows, &Softmax::default()).unwrap();
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            label_smoothing: 0.1,
            reduction: Reduction::Sum,
            ..CrossEntropy::default()
        };
        let g = gpu()
            .cross_entropy(&x, &targets, rows, &options)
            .unwrap()
            .gradient
            .unwrap();
        let sum = |row: &[f32]| row.iter().map(|&v| f64::from(v)).sum::<f64>();
        assert!(y.chunks(classes).all(|row| (sum(row) - 1.0).abs() < 1e-6), "{classes}");
        assert!(g.chunks(classes).all(|row| sum(row).abs() < 1e-6), "{classes}");
    }
}

#[test]
fn a_common_shift_changes_nothing_and_log_probs_are_a_fixed_point() {
    // Quarters, so that the shifted logits are exact.
    let x: Vec<f32> = Random(42).logits(300, 8.0).iter().map(|v| v.round() / 4.0).collect();
    let (rows, options) = (Rows::new(30, 10), Softmax::default());
    let y = gpu().softmax(&x, rows, &options).unwrap();
    let shifted: Vec<f32> = x.iter().map(|v| v + 1024.0).collect();
    assert_eq!(gpu().softmax(&shifted, rows, &options).unwrap(), y);
    let log_probs = gpu().softmax(&x, rows, &Softmax::log()).unwrap();
    let again = gpu().softmax(&log_probs, rows, &options).unwrap();
    assert!(again.iter().zip(&y).all(|(a, y)| (a - y).abs() <= 1e-6));
}

#[test]
fn softmin_is_the_softmax_of_the_negated() {
    let x = Random(43).logits(60, 3.0);
    let negated: Vec<f32> = x.iter().map(|v| -v).collect();
    let softmin = Softmax {
        adjust: Adjust::negated(),
        ..Softmax::default()
    };
    let rows = Rows::new(6, 10);
    let y = gpu().softmax(&negated, rows, &Softmax::default()).unwrap();
    assert_eq!(gpu().softmax(&x, rows, &softmin).unwrap(), y);
}

#[test]
fn cross_entropy_of_two_classes_is_logistic() {
    let z = Random(44).logits(50, 5.0);
    let t: Vec<u8> = (0..50).map(|i| (i % 3 == 0).into()).collect();
    let pairs: Vec<f32> = z.iter().flat_map(|&z| [0.0, z]).collect();
    let two = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let two = gpu().cross_entropy(&pairs, &t, Rows::new(50, 2), &two).unwrap();
    let logistic = BinaryCrossEntropy {
        gradient: Gradient::Apart,
        ..BinaryCrossEntropy::default()
    };
    let wide: Vec<f32> = t.iter().map(|&t| t.into()).collect();
    let one = gpu()
        .binary_cross_entropy_with_logits(&z, &wide, Rows::new(50, 1), &logistic)
        .unwrap();
    assert!((one.loss.unwrap() - two.loss.unwrap()).abs() < 1e-6);
    let second = two.gradient.unwrap().into_iter().skip(1).step_by(2);
    assert!(
        one.gradient
            .unwrap()
            .iter()
            .zip(second)
            .all(|(a, b)| (a - b).abs() < 1e-7)
    );
}

/// Micro-batches with the whole batch's normaliser add up to the whole batch.
#[test]
fn parts_of_a_batch_add_up_with_a_normalizer() {
    let (x, targets) = (Random(45).logits(80, 3.0), Random(46).targets(8, 10));
    let whole = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let parts = CrossEntropy {
        normalizer: Normalizer::Number(8.0),
        ..whole.clone()
    };
    let whole = gpu().cross_entropy(&x, &targets, Rows::new(8, 10), &whole).unwrap();
    let halves: Vec<_> = (x.chunks(40).zip(targets.chunks(4)))
        .map(|(x, t)| gpu().cross_entropy(x, t, Rows::new(4, 10), &parts).unwrap())
        .collect();
    let sum: f32 = halves.iter().map(|half| half.loss.unwrap()).sum();
    assert!((sum - whole.loss.unwrap()).abs() < 1e-6);
    let gradient: Vec<f32> = halves.into_iter().flat_map(|half| half.gradient.unwrap()).collect();
    assert_eq!(gradient, whole.gradient.unwrap());
}

/// A denominator of 0, infinite losses over any denominator, and a product that overflows before the softcap.
#[test]
fn means_over_nothing_and_overflows_are_the_references() {
    let inf = f32::INFINITY;
    let plain = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let mut cases = Vec::new();
    for empty_mean in [EmptyMean::Nan, EmptyMean::Zero] {
        let weightless = CrossEntropy {
            weights: Some(vec![0.0; 3].into()),
            z_loss: 0.1,
            empty_mean,
            ..plain.clone()
        };
        cases.push(([1.0, 2.0, 3.0, 4.0, 5.0, 7.0], weightless));
        for denominator in [0.0, -2.0, 3.0] {
            let over = CrossEntropy {
                normalizer: Normalizer::Number(denominator),
                empty_mean,
                ..plain.clone()
            };
            cases.push(([-inf, 2.0, 3.0, 4.0, 5.0, 7.0], over));
        }
    }
    let capped = CrossEntropy {
        adjust: Adjust {
            scale: Scale::Number(10.0),
            softcap: Some(5.0),
            ..Adjust::default()
        },
        ..plain.clone()
    };
    cases.push(([1e38, 3e38, -3e38, 1.0, 2.0, 0.1], capped));
    for (x, options) in cases {
        let rows = Rows::new(2, 3);
        let out = gpu().cross_entropy(&x, &[0u8, 2], rows, &options).unwrap();
        let exact = reference::cross_entropy(&x, &[0u8, 2], rows, &options).unwrap();
        common::near(&format!("loss of {options:?}"), &[out.loss.unwrap()], &[exact.loss]);
        common::near(
            &format!("gradient of {options:?}"),
            &out.gradient.unwrap(),
            &exact.gradient,
        );
    }
    // No rows at all.
    for (denominator, empty_mean) in [(0.0, EmptyMean::Nan), (0.0, EmptyMean::Zero), (3.0, EmptyMean::Nan)] {
        let options = CrossEntropy {
            normalizer: Normalizer::Number(denominator),
            empty_mean,
            ..CrossEntropy::default()
        };
        let (rows, none): (_, [u8; 0]) = (Rows::new(0, 3), []);
        let out = gpu().cross_entropy::<f32, _>(&[], &none, rows, &options).unwrap();
        let exact = reference::cross_entropy::<f32, _>(&[], &none, rows, &options).unwrap();
        common::near("loss of no rows", &[out.loss.unwrap()], &[exact.loss]);
    }
}

#[test]
fn every_schedule_gives_the_same_bits_with_every_option() {
    let mut random = Random(47);
    let mut ran = 0;
    for gpu in GPUS.iter() {
        for classes in [100, 3000] {
            let rows = Rows::new(3, classes);
            let x = random.logits(3 * classes, 5.0);
            let q = gpu
                .softmax(&random.logits(3 * classes, 2.0), rows, &Softmax::default())
                .unwrap();
            let mask = random.logits(3 * classes, 1.0);
            let mut options = CrossEntropy {
                adjust: Adjust {
                    scale: Scale::PerRow(random.logits(3, 1.0).into()),
                    bias: Some(random.logits(classes, 1.0).into()),
                    softcap: Some(10.0),
                    mask: Mask::Full(mask.into()),
                },
                weights: Some(random.logits(classes, 1.0).into()),
                label_smoothing: 0.1,
                z_loss: 0.01,
                reduction: Reduction::Sum,
                gradient: Gradient::Apart,
                row_losses: true,
                lse: true,
                entropy: true,
                argmax: true,
                ..CrossEntropy::default()
            };
            let first = gpu.cross_entropy_soft(&x, &q, rows, &options).unwrap();
            let exact = wgpu_softmax::reference::cross_entropy_soft(&x, &q, rows, &options).unwrap();
            common::near("gradient", first.gradient.as_ref().unwrap(), &exact.gradient);
            common::near("entropy", first.entropy.as_ref().unwrap(), &exact.entropies);
            for (loss, exact) in first.row_losses.as_ref().unwrap().iter().zip(&exact.row_losses) {
                // Weights of either sign: what cancels is larger than the loss.
                assert!(
                    (f64::from(*loss) - exact).abs() <= 1e-5 * exact.abs().max(10.0),
                    "{loss} for {exact}"
                );
            }
            for schedule in [
                // Drivers take long over kernels with every option and few lanes.
                Schedule::Held { lanes: 16 },
                Schedule::Chunked { lanes: 64 },
                Schedule::Split { lanes: 64, pieces: 2 },
            ] {
                options.schedule = Some(schedule);
                match gpu.cross_entropy_soft(&x, &q, rows, &options) {
                    Err(RunError::Encode(EncodeError::Schedule { .. })) => {}
                    out => {
                        assert_eq!(out.unwrap(), first, "{schedule}, {classes} classes");
                        ran += 1;
                    }
                }
            }
        }
    }
    println!("{ran} combinations of schedule and classes");
    assert!(ran >= 4);
}

/// bf16 in, f32 or bf16 out, at odd offsets within larger buffers; what lies around stays as it is.
#[test]
fn sixteen_bit_rows_that_end_mid_word() {
    const GUARD: u16 = 0xbeef;
    let (rows, pad) = (Rows::new(5, 7), 129usize);
    let x: Vec<bf16> = stored(&Random(48).logits(35, 3.0));
    let mut words: Vec<u16> = vec![GUARD; 300];
    words[pad..pad + 35].copy_from_slice(bytemuck::cast_slice(&x));
    let usage = Usage::STORAGE | Usage::COPY_SRC | Usage::COPY_DST;
    let buffer = |bytes: &[u8]| {
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: bytes.len() as u64,
            usage,
            mapped_at_creation: false,
        };
        let buffer = gpu().device().create_buffer(&descriptor);
        gpu().queue().write_buffer(&buffer, 0, bytes);
        buffer
    };
    let read = |buffer: &wgpu::Buffer| -> Vec<u16> {
        let copy = gpu().device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: buffer.size(),
            usage: Usage::MAP_READ | Usage::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, 0, &copy, 0, buffer.size());
        gpu().queue().submit([encoder.finish()]);
        copy.map_async(wgpu::MapMode::Read, .., |result| result.unwrap());
        gpu().device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
        bytemuck::pod_collect_to_vec(&copy.get_mapped_range(..).unwrap())
    };
    let expected: Vec<u16> = bytemuck::pod_collect_to_vec(&gpu().softmax(&x, rows, &Softmax::default()).unwrap());
    let offset = pad as u64 * 2;
    for in_place in [false, true] {
        let kernel = Softmax {
            in_place,
            storage: Storage::all(Dtype::Bf16),
            ..Softmax::default()
        };
        let kernel = kernel.prepare(gpu(), rows).unwrap();
        let (logits, result) = (buffer(bytemuck::cast_slice(&words)), buffer(&[0xef, 0xbe].repeat(300)));
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let apart = (!in_place).then(|| result.slice(offset..offset + 70));
        let buffers = SoftmaxBuffers::new(logits.slice(offset..offset + 70), apart);
        kernel.encode(&mut encoder, &buffers).unwrap();
        gpu().queue().submit([encoder.finish()]);
        let got = read(if in_place { &logits } else { &result });
        assert_eq!(got[pad..pad + 35], expected[..]);
        assert!(
            got[..pad].iter().chain(&got[pad + 35..]).all(|&w| w == GUARD),
            "a guard was overwritten"
        );
    }
    let mixed = Softmax {
        storage: Storage {
            logits: Dtype::Bf16,
            result: Dtype::F32,
        },
        ..Softmax::default()
    };
    let kernel = mixed.prepare(gpu(), rows).unwrap();
    let (logits, result) = (buffer(bytemuck::cast_slice(&words)), buffer(&[0; 140]));
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    let buffers = SoftmaxBuffers::new(logits.slice(offset..offset + 70), Some(result.slice(..)));
    kernel.encode(&mut encoder, &buffers).unwrap();
    gpu().queue().submit([encoder.finish()]);
    let wide: Vec<f32> = x.iter().map(|v| v.to_f32()).collect();
    let y = gpu().softmax(&wide, rows, &Softmax::default()).unwrap();
    assert_eq!(read(&result), bytemuck::pod_collect_to_vec::<f32, u16>(&y));
}

#[test]
fn options_that_cannot_go_together_name_both() {
    let default = CrossEntropy::default;
    let rows = Rows::new(1, 2);
    for (options, a, b) in [
        (
            CrossEntropy {
                normalizer: Normalizer::Number(2.0),
                reduction: Reduction::Sum,
                ..default()
            },
            "normalizer",
            "Mean",
        ),
        (
            CrossEntropy {
                from_lse: Some(vec![1.0].into()),
                ..default()
            },
            "from_lse",
            "gradient: None",
        ),
        (
            CrossEntropy {
                input: wgpu_softmax::Input::LogProbs,
                z_loss: 0.1,
                ..default()
            },
            "LogProbs",
            "z_loss",
        ),
        (
            CrossEntropy {
                label_smoothing: 1.5,
                ..default()
            },
            "label_smoothing",
            "1.5",
        ),
        (
            CrossEntropy {
                weights: Some(vec![1.0; 3].into()),
                ..default()
            },
            "weights",
            "3",
        ),
    ] {
        let error = gpu()
            .cross_entropy(&[0f32, 1.0], &[0u8], rows, &options)
            .unwrap_err()
            .to_string();
        assert!(error.contains(a) && error.contains(b), "{error}");
    }
}
