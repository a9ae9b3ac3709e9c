//! Rows of unequal length: each has the bits that it has alone.
#![allow(clippy::unwrap_used)]

#[path = "ragged/asked.rs"]
mod asked;
#[path = "ragged/bindings.rs"]
mod bindings;
#[path = "ragged/buffers.rs"]
mod buffers;
mod common;
#[path = "ragged/losses.rs"]
mod losses;
#[path = "ragged/mistakes.rs"]
mod mistakes;
#[path = "ragged/random.rs"]
mod random;
#[path = "ragged/references.rs"]
mod references;

use common::{GPUS, Random, Stored, Subject, gpu, on, same_bits, stored};
use wgpu_softmax::testing::schedules;
use wgpu_softmax::{
    Adjust, EncodeError, FullyMasked, Gpu, LogSumExp, Mask, RaggedRows, RowLayout, Rows, RunError, Scale, Schedule,
    Softmax, SoftmaxGrad, Values, half,
};

/// Around all that kernels differ by: vectors of four, lanes, chunks, and spans.
const LENGTHS: [usize; 22] = [
    5, 0, 1, 1023, 3, 64, 40_000, 4, 63, 1, 1024, 0, 65, 1000, 1025, 5, 1026, 2050, 0, 5000, 2, 0,
];
/// The same with fewer chunks, and none that is full, which alone would have kernels of its own.
const SHORT: [usize; 14] = [0, 1, 3, 4, 5, 63, 64, 65, 1000, 1023, 0, 1025, 1026, 2050];

/// One whose kernels drivers compile quickly, for rows alone and wherever it does not matter.
const SCHEDULE: Option<Schedule> = Some(Schedule::Split { lanes: 32, pieces: 1 });

fn of_lengths(lengths: &[usize]) -> RaggedRows {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length);
    }
    Rows::ragged(offsets).unwrap()
}

/// One row of so many classes. Its stride, which no element is beyond, is odd, so that fewer kernels are compiled: those that take
/// one element at a time.
fn alone(classes: usize) -> Rows {
    Rows::new(1, classes).with_row_stride(classes | 1)
}

/// A row's part of what is laid out as the logits are.
fn row<'a, T>(all: &'a [T], rows: &RaggedRows, number: usize) -> &'a [T] {
    &all[rows.offsets()[number]..rows.offsets()[number + 1]]
}

/// Rows of every kind: ordinary, masked in part and throughout, with a NaN, with +∞.
fn logits<T: Stored>(random: &mut Random, rows: &RaggedRows) -> Vec<T> {
    let mut x = random.logits(rows.elements(), 4.0);
    for number in 0..rows.count() {
        let x = &mut x[rows.offsets()[number]..rows.offsets()[number + 1]];
        let last = x.len().saturating_sub(1);
        match (number % 9, x.get_mut(last)) {
            (2, _) => x.iter_mut().step_by(3).for_each(|x| *x = f32::NEG_INFINITY),
            (4, _) => x.fill(f32::NEG_INFINITY),
            (6, Some(x)) => *x = f32::NAN,
            (8, Some(x)) => *x = f32::INFINITY,
            _ => {}
        }
    }
    stored(&x)
}

/// What is done to the logits, as a row alone has it.
fn adjust_alone(adjust: &Adjust, number: usize, classes: usize) -> Adjust {
    let first = |values: &Values, range: std::ops::Range<usize>| match values {
        Values::Host(values) => Values::from(values[range].to_vec()),
        other => other.clone(),
    };
    Adjust {
        scale: match &adjust.scale {
            Scale::PerRow(values) => Scale::PerRow(first(values, number..number + 1)),
            number => number.clone(),
        },
        bias: adjust.bias.as_ref().map(|bias| first(bias, 0..classes)),
        mask: match &adjust.mask {
            Mask::Causal { group, offset } => Mask::Causal {
                group: 1,
                offset: offset + (number % group) as i64,
            },
            Mask::Classes(values) => Mask::Classes(first(values, 0..classes)),
            mask => mask.clone(),
        },
        ..adjust.clone()
    }
}

/// The softmax family of rows: softmax, its gradient, lse, and the gradient of that.
struct Family<T> {
    y: Vec<T>,
    dx: Vec<T>,
    lse: Vec<f32>,
    dlse: Vec<T>,
}

/// What it is found of: logits, upstream gradients of the elements, and those of the rows.
struct Inputs<'a, T> {
    x: &'a [T],
    g: &'a [T],
    by_row: &'a [f32],
}

fn family<T: Stored>(gpu: &Gpu, of: &Inputs<'_, T>, rows: impl Into<RowLayout>, options: &Softmax) -> Family<T> {
    let (rows, adjust): (RowLayout, _) = (rows.into(), options.adjust.clone());
    let grad = SoftmaxGrad {
        log: options.log,
        adjust: adjust.clone(),
        schedule: options.schedule,
        ..SoftmaxGrad::default()
    };
    let lse_options = LogSumExp {
        adjust,
        fully_masked: options.fully_masked,
        schedule: options.schedule,
        ..LogSumExp::default()
    };
    let again = options.adjust.softcap.is_some().then_some(of.x);
    let y = gpu.softmax(of.x, rows.clone(), options).unwrap();
    let lse = gpu.logsumexp(of.x, rows.clone(), &lse_options).unwrap();
    Family {
        dx: gpu.softmax_grad(&y, of.g, again, rows.clone(), &grad).unwrap(),
        dlse: gpu.logsumexp_grad(of.x, &lse, of.by_row, rows, &lse_options).unwrap(),
        y,
        lse,
    }
}

/// All rows, and each alone.
#[track_caller]
fn softmax_is_alone<T: Stored>(gpu: &Gpu, rows: &RaggedRows, options: &Softmax) {
    let mut random = Random(401);
    let x: Vec<T> = logits(&mut random, rows);
    let g: Vec<T> = stored(&random.logits(rows.elements(), 1.0));
    let by_row = random.logits(rows.count(), 1.0);
    let inputs = |x, g, by_row| Inputs { x, g, by_row };
    let all = family(gpu, &inputs(&x, &g, &by_row), rows, options);
    for number in 0..rows.count() {
        let x = row(&x, rows, number);
        let operation = format!("row {number} of {} unequal ones, {options:?},", rows.count());
        let subject = Subject::new::<T>(on(&operation, gpu), Rows::new(1, x.len().max(1)), &"alone");
        let lse = &all.lse[number..=number];
        if x.is_empty() {
            let expected = match options.fully_masked {
                FullyMasked::Zeros => f32::NEG_INFINITY,
                _ => f32::NAN,
            };
            same_bits(&subject, "lse of an empty row", lse, &[expected]);
            continue;
        }
        let options = Softmax {
            adjust: adjust_alone(&options.adjust, number, x.len()),
            schedule: SCHEDULE,
            ..options.clone()
        };
        let inputs = inputs(x, row(&g, rows, number), &by_row[number..=number]);
        let expected = family(gpu, &inputs, alone(x.len()), &options);
        same_bits(&subject, "y", row(&all.y, rows, number), &expected.y);
        same_bits(&subject, "gradient", row(&all.dx, rows, number), &expected.dx);
        same_bits(&subject, "lse", lse, &expected.lse);
        same_bits(
            &subject,
            "gradient of lse",
            row(&all.dlse, rows, number),
            &expected.dlse,
        );
    }
}

#[test]
fn rows_have_the_bits_that_they_have_alone() {
    let rows = of_lengths(&LENGTHS);
    let options = |log, fully_masked| Softmax {
        log,
        fully_masked,
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    softmax_is_alone::<f32>(gpu(), &rows, &options(false, FullyMasked::Uniform));
    y_is_alone::<f32>(&GPUS[GPUS.len() - 1], &rows, &options(true, FullyMasked::Zeros));
    // As a caller would write it.
    let x: Vec<f32> = logits(&mut Random(400), &rows);
    let options = options(false, FullyMasked::Nan);
    let y = gpu().softmax(&x, &rows, &options).unwrap();
    for number in [0, 5, 10, 13, 17] {
        let x = row(&x, &rows, number);
        let alone = Rows::new(1, x.len());
        let expected = gpu().softmax(x, alone, &options).unwrap();
        let subject = Subject::new::<f32>("a row of unequal ones", alone, &number);
        same_bits(&subject, "y", row(&y, &rows, number), &expected);
    }
}

/// Softmax alone, for what concerns only how elements are read and written.
#[track_caller]
fn y_is_alone<T: Stored>(gpu: &Gpu, rows: &RaggedRows, options: &Softmax) {
    let x: Vec<T> = logits(&mut Random(407), rows);
    let y = gpu.softmax(&x, rows, options).unwrap();
    for number in 0..rows.count() {
        let (x, y) = (row(&x, rows, number), row(&y, rows, number));
        let options = Softmax {
            adjust: adjust_alone(&options.adjust, number, x.len()),
            ..options.clone()
        };
        if !x.is_empty() {
            let expected = gpu.softmax(x, alone(x.len()), &options).unwrap();
            let operation = format!("row {number} of {} unequal ones", rows.count());
            let subject = Subject::new::<T>(on(&operation, gpu), Rows::new(1, x.len()), &options);
            same_bits(&subject, "y", y, &expected);
        }
    }
}

#[test]
fn rows_of_16_bits_have_the_bits_that_they_have_alone() {
    let rows = of_lengths(&SHORT);
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    y_is_alone::<half::bf16>(gpu(), &rows, &options);
    y_is_alone::<half::f16>(gpu(), &rows, &options);
}

/// Rows that begin and end at even elements, and at multiples of four, are read so.
#[test]
fn aligned_rows_have_the_bits_that_they_have_alone() {
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    for width in [2, 4] {
        let rows = of_lengths(&SHORT.map(|length| length / width * width));
        y_is_alone::<f32>(gpu(), &rows, &options);
        y_is_alone::<half::f16>(gpu(), &rows, &options);
    }
}

#[test]
fn adjusted_rows_have_the_bits_that_they_have_alone() {
    let mut random = Random(402);
    let rows = of_lengths(&SHORT);
    let bias = random.logits(rows.longest(), 1.0);
    let with = |adjust| Softmax {
        adjust,
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let causal = Adjust {
        bias: Some(Values::from(bias.clone())),
        mask: Mask::Causal { group: 5, offset: 1020 },
        ..Adjust::default()
    };
    y_is_alone::<f32>(gpu(), &rows, &with(causal));
    let capped = Adjust {
        mask: Mask::Classes(Values::from(bias)),
        softcap: Some(5.0),
        scale: Scale::PerRow(Values::from(random.logits(SHORT.len(), 1.0))),
        ..Adjust::default()
    };
    y_is_alone::<f32>(gpu(), &rows, &with(capped));
}

/// A mask of all elements has the logits' offsets.
#[test]
fn a_full_mask_has_the_offsets_of_the_logits() {
    let rows = of_lengths(&SHORT);
    let mut random = Random(403);
    let (x, mask) = (random.logits(rows.elements(), 3.0), random.logits(rows.elements(), 2.0));
    let with = |mask: &[f32]| Softmax {
        adjust: Adjust {
            mask: Mask::Full(Values::from(mask.to_vec())),
            ..Adjust::default()
        },
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let y = gpu().softmax(&x, &rows, &with(&mask)).unwrap();
    for number in (0..rows.count()).filter(|&number| SHORT[number] > 0) {
        let alone = alone(SHORT[number]);
        let expected = gpu().softmax(row(&x, &rows, number), alone, &with(row(&mask, &rows, number)));
        let subject = Subject::new::<f32>("a row with a full mask", alone, &number);
        same_bits(&subject, "y", row(&y, &rows, number), &expected.unwrap());
    }
}

/// Those that cannot run the longest row are errors that say so; all others give the same bits.
#[test]
fn no_schedule_changes_a_bit() {
    for (lengths, gpus) in [(&SHORT[..], &GPUS[..1]), (&SHORT[..8], &GPUS[GPUS.len() - 1..])] {
        let rows = of_lengths(lengths);
        let x: Vec<f32> = logits(&mut Random(404), &rows);
        let of = |gpu: &Gpu, schedule| {
            let options = Softmax {
                schedule,
                ..Softmax::default()
            };
            gpu.softmax(&x, &rows, &options)
        };
        let expected = of(gpu(), SCHEDULE).unwrap();
        let envelope = Rows::new(1, rows.elements());
        for gpu in gpus {
            let mut ran = 0;
            for schedule in schedules().into_iter().map(Some).chain([None]) {
                match of(gpu, schedule) {
                    Err(RunError::Encode(EncodeError::Schedule { .. })) => {}
                    y => {
                        let subject = Subject::new::<f32>(on("rows of unequal length", gpu), envelope, &schedule);
                        same_bits(&subject, "y", &y.unwrap(), &expected);
                        ran += 1;
                    }
                }
            }
            assert!(ran > 5, "only {ran} schedules ran rows of {lengths:?}");
        }
    }
}

/// So many rows that those of similar length have dispatches of their own; and rows that are all of one length but one.
#[test]
fn many_rows_of_very_unequal_length() {
    let mut random = Random(405);
    let mixed: Vec<usize> = (0..6000)
        .map(|number| match number % 100 {
            0 => 1500,
            1..=9 => 100 + number % 50,
            _ => number % 23,
        })
        .collect();
    for lengths in [mixed, [vec![64; 300], vec![61]].concat(), vec![30; 500]] {
        let rows = of_lengths(&lengths);
        let x: Vec<f32> = logits(&mut random, &rows);
        let forced = Softmax {
            schedule: SCHEDULE,
            ..Softmax::default()
        };
        let y = gpu().softmax(&x, &rows, &Softmax::default()).unwrap();
        let expected = gpu().softmax(&x, &rows, &forced).unwrap();
        let subject = Subject::new::<f32>("many rows of unequal length", Rows::new(1, x.len()), &lengths[0]);
        same_bits(&subject, "y", &y, &expected);
        let lse = gpu().logsumexp(&x, &rows, &LogSumExp::default()).unwrap();
        for number in (0..lengths.len()).step_by(997).filter(|&number| lengths[number] > 0) {
            let options = LogSumExp {
                schedule: SCHEDULE,
                ..LogSumExp::default()
            };
            let alone = alone(lengths[number]);
            let expected = gpu().logsumexp(row(&x, &rows, number), alone, &options).unwrap();
            let subject = Subject::new::<f32>("a row of many", alone, &number);
            same_bits(&subject, "lse", &lse[number..=number], &expected);
        }
    }
}

/// Spans of such rows have two chunks, and those of the others one.
#[test]
fn rows_of_more_than_a_million_classes() {
    let rows = of_lengths(&[3000, 1_050_000, 7, 1_048_576, 1_048_577]);
    let x = Random(406).logits(rows.elements(), 3.0);
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let y = gpu().softmax(&x, &rows, &options).unwrap();
    for number in 0..rows.count() {
        let x = row(&x, &rows, number);
        let alone = alone(x.len());
        let expected = gpu().softmax(x, alone, &options).unwrap();
        let subject = Subject::new::<f32>("a row of more than a million classes, or beside one", alone, &number);
        same_bits(&subject, "y", row(&y, &rows, number), &expected);
    }
}
