//! Losses of shards.

use super::common::{GPUS, Random, Stored, Subject, bits, equal, gpu, must, on, same_bits};
use super::{CLASSES, COUNT, CUTS, SCHEDULE, logits, part, shards, whole};
use wgpu_softmax::{
    Adjust, CrossEntropy, CrossEntropyOutput, FullyMasked, Gpu, GpuOptions, Gradient, Mask, Normalizer, Rows, Schedule,
    ShardStatistics, Upstream, Values, half,
};

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

fn losses(random: &mut Random) -> [CrossEntropy; 4] {
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
            ..plain.clone()
        },
        CrossEntropy {
            fully_masked: FullyMasked::Uniform,
            normalizer: Normalizer::Number(7.0),
            upstream: Upstream::Number(0.5),
            adjust: Adjust {
                mask: Mask::Causal {
                    group: COUNT,
                    offset: CLASSES as i64 - 1500,
                },
                ..Adjust::default()
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
