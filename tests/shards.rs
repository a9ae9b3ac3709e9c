//! Shards: rows whose classes are in several places have the bits of rows in one piece.
#![allow(clippy::unwrap_used)]

#[path = "shards/calls.rs"]
mod calls;
mod common;
#[path = "shards/losses.rs"]
mod losses;
#[path = "shards/sampling.rs"]
mod sampling;

use common::{FULLY_MASKED, GPUS, Random, Stored, Subject, gpu, on, same_bits, stored};
use wgpu_softmax::testing::part;
use wgpu_softmax::{Adjust, Gpu, LogSumExp, Mask, Rows, Scale, Schedule, ShardStatistics, Softmax, Values, half};

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
