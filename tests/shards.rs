//! Shards: rows whose classes are in several places have the bits of rows in one piece.
#![allow(clippy::unwrap_used)]

mod common;

use common::buffers::{encode, encoder, guarded, inside, unguarded};
use common::{FULLY_MASKED, GPUS, Random, Stored, Subject, bits, equal, gpu, must, on, same_bits, stored};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyOutput, EncodeError, Gpu, GpuOptions, Gradient, LogSumExp, Mask, Rows, RunError,
    Scale, Schedule, ShardStatistics, Softmax, SoftmaxBuffers, Values, half,
};

/// Shards of a row of eight spans, the last of which is not whole: equal and unequal ones.
const CLASSES: usize = 7 * 1024 + 300;
const CUTS: [&[usize]; 5] = [&[4], &[1, 7], &[2, 3, 6], &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 4, 5, 6, 7]];
const COUNT: usize = 5;

/// One whose kernels drivers compile quickly. Some tests leave the choice to the library.
const SCHEDULE: Option<Schedule> = Some(Schedule::Split { lanes: 32, pieces: 1 });

/// The rows of each shard, which begin at these spans, and the first.
fn shards(count: usize, classes: usize, cuts: &[usize]) -> Vec<Rows> {
    let grid = Rows::shard_grid(classes);
    let starts: Vec<usize> = std::iter::once(0).chain(cuts.iter().map(|cut| cut * grid)).collect();
    let ends = starts[1..].iter().copied().chain([classes]);
    (starts.iter().zip(ends))
        .map(|(&first, end)| Rows::new(count, end - first).shard(first, classes))
        .collect()
}

/// A shard's part of a matrix of whole rows.
fn part<T: Copy>(whole: &[T], rows: &Rows) -> Vec<T> {
    let of_row = |row: &[T]| row[rows.first_class()..rows.first_class() + rows.classes()].to_vec();
    whole.chunks(rows.whole_classes()).flat_map(of_row).collect()
}

/// Rows of every kind: ordinary, with a common offset, masked in part and throughout, with a NaN.
fn logits<T: Stored>(random: &mut Random, count: usize, classes: usize) -> Vec<T> {
    let mut x = random.logits(count * classes, 4.0);
    for (row, x) in x.chunks_mut(classes).enumerate() {
        match row % 5 {
            1 => x.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY),
            2 => x[..classes / 2].fill(f32::NEG_INFINITY),
            3 => x.fill(f32::NEG_INFINITY),
            4 => x[classes - 1] = f32::NAN,
            _ => {}
        }
    }
    stored(&x)
}

fn whole(count: usize, classes: usize) -> Rows {
    Rows::new(count, classes)
}

#[track_caller]
fn softmax_is_whole<T: Stored>(gpu: &Gpu, x: &[T], cuts: &[usize], options: &Softmax) {
    let classes = x.len() / COUNT;
    let rows = shards(COUNT, classes, cuts);
    let statistics = |rows: &Rows| gpu.softmax_statistics(&part(x, rows), *rows, options).unwrap();
    let all = ShardStatistics::join(&rows.iter().map(statistics).collect::<Vec<_>>()).unwrap();
    let expected = gpu.softmax(x, whole(COUNT, classes), options).unwrap();
    let lse_options = LogSumExp {
        schedule: SCHEDULE,
        fully_masked: options.fully_masked,
        adjust: options.adjust.clone(),
        ..LogSumExp::default()
    };
    let lse = gpu.logsumexp(x, whole(COUNT, classes), &lse_options).unwrap();
    for rows in &rows {
        let subject = Subject::new::<T>(on(&format!("shards cut at {cuts:?}"), gpu), *rows, options);
        let held = part(x, rows);
        let y = gpu.softmax_shard(&held, *rows, &all, options).unwrap();
        same_bits(&subject, "y", &y, &part(&expected, rows));
        let got = gpu.logsumexp_shard(&held, *rows, &all, &lse_options).unwrap();
        same_bits(&subject, "lse", &got, &lse);
    }
}

fn softmax_of_type<T: Stored>() {
    let mut random = Random(301);
    for gpu in GPUS.iter() {
        for (cuts, fully_masked) in CUTS.iter().zip(FULLY_MASKED.iter().cycle()) {
            let x = logits::<T>(&mut random, COUNT, CLASSES);
            for log in [false, true] {
                let options = Softmax {
                    log,
                    fully_masked: *fully_masked,
                    schedule: SCHEDULE,
                    ..Softmax::default()
                };
                softmax_is_whole(gpu, &x, cuts, &options);
            }
        }
    }
}

#[test]
fn softmax_of_shards_is_that_of_whole_rows() {
    softmax_of_type::<f32>();
}

#[test]
fn softmax_of_16_bit_shards_is_that_of_whole_rows() {
    softmax_of_type::<half::f16>();
    softmax_of_type::<half::bf16>();
}

/// Numbers for each class are those of all classes, and a causal mask counts classes in the whole row.
fn adjusts(random: &mut Random, classes: usize) -> [Adjust; 3] {
    let bias = random.logits(classes, 1.0);
    [
        Adjust {
            bias: Some(Values::from(bias.clone())),
            mask: Mask::Causal {
                group: COUNT,
                offset: classes as i64 - 2500,
            },
            ..Adjust::default()
        },
        Adjust {
            mask: Mask::Classes(Values::from(bias)),
            softcap: Some(5.0),
            ..Adjust::default()
        },
        Adjust {
            scale: Scale::PerRow(Values::from(random.logits(COUNT, 1.0))),
            ..Adjust::default()
        },
    ]
}

#[test]
fn adjusted_shards_are_those_of_whole_rows() {
    let mut random = Random(302);
    for classes in [CLASSES, 3 * 1024 + 1] {
        let x = logits::<f32>(&mut random, COUNT, classes);
        for adjust in adjusts(&mut random, classes) {
            let options = Softmax {
                adjust,
                schedule: SCHEDULE,
                ..Softmax::default()
            };
            softmax_is_whole(gpu(), &x, &[1, 2], &options);
        }
    }
}

/// A full mask is laid out as the logits of the shard are.
#[test]
fn shards_with_a_full_mask_are_those_of_whole_rows() {
    let mut random = Random(303);
    let x = logits::<f32>(&mut random, COUNT, CLASSES);
    let mask = random.logits(COUNT * CLASSES, 2.0);
    let with_mask = |mask: Vec<f32>| Softmax {
        adjust: Adjust {
            mask: Mask::Full(Values::from(mask)),
            ..Adjust::default()
        },
        ..Softmax::default()
    };
    let expected = gpu()
        .softmax(&x, whole(COUNT, CLASSES), &with_mask(mask.clone()))
        .unwrap();
    let rows = shards(COUNT, CLASSES, &[3]);
    let statistics = |rows: &Rows| gpu().softmax_statistics(&part(&x, rows), *rows, &with_mask(part(&mask, rows)));
    let found: Vec<_> = rows.iter().map(|rows| statistics(rows).unwrap()).collect();
    let all = ShardStatistics::join(&found).unwrap();
    for rows in &rows {
        let options = with_mask(part(&mask, rows));
        let y = gpu().softmax_shard(&part(&x, rows), *rows, &all, &options).unwrap();
        same_bits(
            &Subject::new::<f32>("shards", *rows, &"a full mask"),
            "y",
            &y,
            &part(&expected, rows),
        );
    }
}

fn all_outputs() -> CrossEntropy {
    CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    }
}

fn losses(random: &mut Random) -> [CrossEntropy; 3] {
    let plain = all_outputs();
    [
        plain.clone(),
        CrossEntropy {
            label_smoothing: 0.1,
            z_loss: 1e-3,
            row_z_losses: true,
            weights: Some(Values::from(
                random.logits(CLASSES, 1.0).iter().map(|w| w.abs()).collect::<Vec<_>>(),
            )),
            ignore_index: 3,
            ..plain.clone()
        },
        CrossEntropy {
            adjust: Adjust {
                softcap: Some(4.0),
                ..Adjust::scaled(0.7)
            },
            ..plain
        },
    ]
}

/// All that a whole call and a shard's call give alike, and the shard's part of the gradient.
#[track_caller]
fn must_be_part<T: Stored>(
    subject: &Subject<'_>,
    rows: &Rows,
    got: &CrossEntropyOutput<T>,
    of: &CrossEntropyOutput<T>,
) {
    let lists = |out: &CrossEntropyOutput<T>| {
        let floats = [
            &out.row_losses,
            &out.row_z_losses,
            &out.lse,
            &out.log_prob,
            &out.entropy,
        ];
        let mut words: Vec<Vec<u32>> = floats.map(|list| bits(list.as_deref().unwrap_or_default())).into();
        words.push(out.argmax.clone().unwrap_or_default());
        words.push(bits(&[out.loss.unwrap_or_default(), out.z_loss.unwrap_or_default()]));
        words
    };
    for (got, expected) in lists(got).iter().zip(lists(of)) {
        must(subject.each(
            "losses, z-losses, lse, log_prob, entropy, argmax or sums",
            got,
            &expected,
        ));
    }
    equal(subject, "counts", (got.correct, got.counted), (of.correct, of.counted));
    let expected = part(of.gradient.as_ref().unwrap(), rows);
    same_bits(subject, "gradient", got.gradient.as_ref().unwrap(), &expected);
}

fn loss_of_type<T: Stored>(gpu: &Gpu, cuts: &[usize]) {
    let mut random = Random(304);
    let x = logits::<T>(&mut random, COUNT, CLASSES);
    let targets = [0u32, 5000, 3, CLASSES as u32 - 1, 1024];
    for options in losses(&mut random) {
        let expected = gpu
            .cross_entropy(&x, &targets, whole(COUNT, CLASSES), &options)
            .unwrap();
        let rows = shards(COUNT, CLASSES, cuts);
        let found = |rows: &Rows| gpu.cross_entropy_statistics(&part(&x, rows), &targets, *rows, &options);
        let found: Vec<_> = rows.iter().map(|rows| found(rows).unwrap()).collect();
        let all = ShardStatistics::join(&found).unwrap();
        for rows in &rows {
            let out = gpu
                .cross_entropy_shard(&part(&x, rows), &targets, *rows, &all, &options)
                .unwrap();
            let subject = Subject::new::<T>(on(&format!("loss of shards cut at {cuts:?}"), gpu), *rows, &options);
            must_be_part(&subject, rows, &out, &expected);
        }
    }
}

#[test]
fn losses_of_shards_are_those_of_whole_rows() {
    for gpu in GPUS.iter() {
        CUTS.iter().for_each(|cuts| loss_of_type::<f32>(gpu, cuts));
    }
}

#[test]
fn losses_of_16_bit_shards_are_those_of_whole_rows() {
    loss_of_type::<half::f16>(gpu(), CUTS[2]);
    loss_of_type::<half::bf16>(gpu(), CUTS[1]);
}

#[test]
fn losses_of_soft_targets_in_shards_are_those_of_whole_rows() {
    let mut random = Random(305);
    let x = logits::<f32>(&mut random, COUNT, CLASSES);
    let mut probabilities: Vec<f32> = random.logits(COUNT * CLASSES, 1.0).iter().map(|p| p.abs()).collect();
    probabilities.chunks_mut(CLASSES).for_each(|p| {
        let sum: f32 = p.iter().sum();
        p.iter_mut().for_each(|p| *p /= sum);
    });
    let options = CrossEntropy {
        log_prob: false,
        correct: false,
        argmax: false,
        ..all_outputs()
    };
    let gpu = gpu();
    let expected = gpu
        .cross_entropy_soft(&x, &probabilities, whole(COUNT, CLASSES), &options)
        .unwrap();
    let rows = shards(COUNT, CLASSES, CUTS[2]);
    let found =
        |rows: &Rows| gpu.cross_entropy_soft_statistics(&part(&x, rows), &part(&probabilities, rows), *rows, &options);
    let found: Vec<_> = rows.iter().map(|rows| found(rows).unwrap()).collect();
    let all = ShardStatistics::join(&found).unwrap();
    for rows in &rows {
        let targets = part(&probabilities, rows);
        let out = gpu
            .cross_entropy_soft_shard(&part(&x, rows), &targets, *rows, &all, &options)
            .unwrap();
        must_be_part(
            &Subject::new::<f32>("soft loss of shards", *rows, &options),
            rows,
            &out,
            &expected,
        );
    }
}

/// A span of such rows has two chunks, and a shard's first class is far from its place in memory.
#[test]
fn shards_of_more_than_a_million_classes_are_those_of_whole_rows() {
    let (classes, options) = (1_050_000, Softmax::default());
    let x = Random(306).logits(classes, 3.0);
    let expected = gpu().softmax(&x, Rows::new(1, classes), &options).unwrap();
    let rows = shards(1, classes, &[100, 511]);
    let found = |rows: &Rows| gpu().softmax_statistics(&part(&x, rows), *rows, &options).unwrap();
    let all = ShardStatistics::join(&rows.iter().map(found).collect::<Vec<_>>()).unwrap();
    for rows in &rows {
        let y = gpu().softmax_shard(&part(&x, rows), *rows, &all, &options).unwrap();
        same_bits(
            &Subject::new::<f32>("shards", *rows, &options),
            "y",
            &y,
            &part(&expected, rows),
        );
    }
}

/// Two devices, each with half of the classes; rows that travel in parts, and a schedule of the caller's.
#[test]
fn shards_on_two_devices_are_those_of_whole_rows() {
    let mut random = Random(307);
    let (count, classes) = (9, 4096);
    let x = random.logits(count * classes, 4.0);
    let small = GpuOptions {
        part_bytes: 2 * 2048 * 4 + 100,
        ..GpuOptions::default()
    };
    let gpus = [Gpu::new().unwrap(), Gpu::with_options(&small).unwrap()];
    let targets: Vec<u32> = (0..count as u32).map(|row| row * 450).collect();
    let options = CrossEntropy {
        schedule: Some(Schedule::Split { lanes: 64, pieces: 2 }),
        ..all_outputs()
    };
    let expected = gpu()
        .cross_entropy(&x, &targets, whole(count, classes), &options)
        .unwrap();
    let rows = shards(count, classes, &[2]);
    let found = |(gpu, rows): (&Gpu, &Rows)| gpu.cross_entropy_statistics(&part(&x, rows), &targets, *rows, &options);
    let found: Vec<_> = gpus.iter().zip(&rows).map(|pair| found(pair).unwrap()).collect();
    let all = ShardStatistics::join(&found).unwrap();
    for (gpu, rows) in gpus.iter().zip(&rows) {
        let out = gpu
            .cross_entropy_shard(&part(&x, rows), &targets, *rows, &all, &options)
            .unwrap();
        must_be_part(
            &Subject::new::<f32>("a device's shard", *rows, &options),
            rows,
            &out,
            &expected,
        );
    }
}

#[test]
fn shards_in_buffers_are_those_of_whole_rows() {
    let x = logits::<f32>(&mut Random(308), COUNT, CLASSES);
    let options = Softmax::default();
    let expected = gpu().softmax(&x, whole(COUNT, CLASSES), &options).unwrap();
    let mut statistics = Vec::new();
    let rows = shards(COUNT, CLASSES, CUTS[2]);
    for rows in &rows {
        let kernel = options.prepare(gpu(), *rows).unwrap();
        let held = part(&x, rows);
        let logits = guarded(Some(&bits(&held)), held.len());
        let words = kernel.statistics_bytes()[0] as usize / 4;
        let found = guarded(None, words);
        let buffers = SoftmaxBuffers {
            statistics: Some(inside(&found)),
            ..SoftmaxBuffers::new(inside(&logits), None)
        };
        let bound = kernel.bind_statistics(&buffers).unwrap();
        encode(|encoder| bound.encode(encoder));
        let subject = Subject::new::<f32>("a recorded shard", *rows, &options);
        statistics.extend(unguarded(&subject, "statistics", &found));
    }
    for rows in &rows {
        let kernel = options.prepare(gpu(), *rows).unwrap();
        let held = part(&x, rows);
        let logits = guarded(Some(&bits(&held)), held.len());
        let (all, y) = (guarded(Some(&statistics), statistics.len()), guarded(None, held.len()));
        equal(
            &Subject::new::<f32>("a recorded shard", *rows, &options),
            "bytes of all statistics",
            kernel.statistics_bytes()[1] as usize,
            4 * statistics.len(),
        );
        let buffers = SoftmaxBuffers {
            statistics: Some(inside(&all)),
            ..SoftmaxBuffers::new(inside(&logits), Some(inside(&y)))
        };
        encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
        let subject = Subject::new::<f32>("a recorded shard", *rows, &options);
        must(subject.each("y", &unguarded(&subject, "y", &y), &bits(&part(&expected, rows))));
        let missing = SoftmaxBuffers {
            statistics: None,
            ..buffers
        };
        let message = kernel.encode(&mut encoder(), &missing).unwrap_err().to_string();
        assert!(message.contains("statistics"), "{message}");
    }
}

#[test]
fn shards_that_do_not_fit_are_errors_with_numbers() {
    let options = Softmax::default();
    let statistics = |first: usize, held: usize, classes: usize| {
        let rows = Rows::new(1, held).shard(first, classes);
        gpu().softmax_statistics(&vec![0f32; held], rows, &options)
    };
    for (result, parts) in [
        (
            statistics(100, 1024, 3000),
            ["from class 100", "1024 classes", "begins"],
        ),
        (
            statistics(1024, 1000, 3000),
            ["from class 1024", "of 1000 classes", "ends between"],
        ),
        (
            statistics(2048, 1024, 3000),
            ["from class 2048", "of 3000", "ends after"],
        ),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(
            parts.iter().all(|part| message.contains(part)),
            "{message}: {parts:?} are missing"
        );
    }
    let at = |first, held| statistics(first, held, 3000).unwrap();
    let join = |shards: &[ShardStatistics]| ShardStatistics::join(shards).unwrap_err().to_string();
    for (message, part) in [
        (join(&[at(0, 1024), at(2048, 952)]), "gap"),
        (join(&[at(0, 2048), at(1024, 1976)]), "overlaps"),
        (join(&[at(0, 1024)]), "no shard has the classes after it"),
        (join(&[at(0, 1024), statistics(1024, 1024, 2048).unwrap()]), "2048"),
    ] {
        assert!(message.contains(part), "{message}: {part} is missing");
    }
    let rows = Rows::new(1, 1024).shard(0, 3000);
    let whole_call = gpu().softmax(&[0f32; 1024], rows, &options);
    assert!(
        matches!(whole_call, Err(RunError::Encode(EncodeError::Conflict { .. }))),
        "{whole_call:?}"
    );
    let all = ShardStatistics::join(&[at(0, 1024), at(1024, 1976)]).unwrap();
    let other = gpu().cross_entropy_shard(&[0f32; 1024], &[1u32], rows, &all, &CrossEntropy::default());
    let message = other.unwrap_err().to_string();
    assert!(
        message.contains("statistics has 9 elements") && message.contains("12"),
        "{message}"
    );
    let target = |target: u32| {
        let options = CrossEntropy::default();
        let found = |first, held| {
            let rows = Rows::new(1, held).shard(first, 3000);
            gpu()
                .cross_entropy_statistics(&vec![0f32; held], &[target], rows, &options)
                .unwrap()
        };
        let all = ShardStatistics::join(&[found(0, 1024), found(1024, 1976)]).unwrap();
        gpu().cross_entropy_shard(&[0f32; 1024], &[target], rows, &all, &options)
    };
    assert!(target(2999).is_ok());
    assert!(matches!(
        target(3000),
        Err(RunError::TargetOutOfRange { classes: 3000, .. })
    ));
}
