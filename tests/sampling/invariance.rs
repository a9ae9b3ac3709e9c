//! A row's token does not depend on the rows beside it, their number and order, the schedule, the parts in which a batch
//! travels, or subgroups.

use super::common::buffers::binding_at_most;
use super::common::{GPUS, Random, Subject, bits, gpu, must, on};
use super::{must_be, of_twin};
use wgpu_softmax::testing::{SampleBatch, reported};
use wgpu_softmax::{Adjust, Gpu, GpuOptions, LogProbs, Mask, Sample, SampleOutput, Scale, Schedule};

/// Two words of allowed classes, and rows that begin anywhere in a vector of four.
const CLASSES: usize = 33;

fn batch(random: &mut Random, count: usize, classes: usize) -> SampleBatch {
    let mut batch = SampleBatch::new(random, count, classes, true);
    batch.joint = false;
    batch
}

/// The words of everything that is reported of some rows, row by row.
fn words(out: &SampleOutput, rows: &[usize]) -> Vec<Vec<u32>> {
    let count = out.tokens.len();
    let probs = out.probs.as_deref().map(bits);
    let of = |row: usize| {
        let part = |list: Vec<u32>| {
            let length = list.len() / count;
            list[row * length..(row + 1) * length].to_vec()
        };
        let all = reported(out).into_iter().filter_map(|(_, list)| list);
        all.chain(probs.clone()).flat_map(part).collect()
    };
    rows.iter().map(|&row| of(row)).collect()
}

#[test]
fn rows_have_the_same_tokens_alone_in_4096_and_in_another_order() {
    let batch = batch(&mut Random(81), 4096, CLASSES);
    for gpu in GPUS.iter() {
        let out = gpu.sample(&batch.logits, batch.rows, &batch.options()).unwrap();
        let subject = Subject::new::<f32>(on("sample", gpu), batch.rows, &batch.joint);
        must_be(&subject, &batch, &out, &of_twin(&batch));
        let same_in = |what: &str, order: &[usize]| {
            let part = batch.part(order);
            let got = gpu.sample(&part.logits, part.rows, &part.options()).unwrap();
            let all: Vec<usize> = (0..order.len()).collect();
            must(subject.each(what, &words(&got, &all), &words(&out, order)));
        };
        for row in [0, 13, 1023, 4095] {
            same_in(&format!("row {row} alone"), &[row]);
        }
        same_in("the rows backwards", &(0..4096).rev().collect::<Vec<_>>());
        same_in("rows with gaps", &(5..4096).step_by(37).collect::<Vec<_>>());
    }
}

#[test]
fn tokens_are_those_of_the_twin_under_every_schedule() {
    let batch = batch(&mut Random(82), 16, 3075);
    let expected = of_twin(&batch);
    for schedule in [
        Schedule::Split { lanes: 64, pieces: 4 },
        Schedule::Chunked { lanes: 32 },
    ] {
        let options = Sample {
            schedule: Some(schedule),
            ..batch.options()
        };
        let out = gpu().sample(&batch.logits, batch.rows, &options).unwrap();
        let subject = Subject::new::<f32>("sample", batch.rows, &schedule);
        must_be(&subject, &batch, &out, &expected);
    }
}

/// Seven rows at a time, which is no divisor of their number, give what all rows at once give.
fn same_in_parts(batch: &SampleBatch, options: &Sample) {
    let gpu_options = GpuOptions {
        part_bytes: 7 * 4 * CLASSES as u64,
        ..GpuOptions::default()
    };
    same_on(&Gpu::with_options(&gpu_options).unwrap(), batch, options);
}

fn same_on(small: &Gpu, batch: &SampleBatch, options: &Sample) {
    let whole = gpu().sample(&batch.logits, batch.rows, options).unwrap();
    let out = small.sample(&batch.logits, batch.rows, options).unwrap();
    let subject = Subject::new::<f32>("sample, some rows at a time,", batch.rows, &options.adjust);
    let all: Vec<usize> = (0..batch.rows.count()).collect();
    must(subject.each("the output of a row", &words(&out, &all), &words(&whole, &all)));
}

#[test]
fn batches_that_travel_in_parts_have_the_same_tokens() {
    let batch = batch(&mut Random(83), 40, CLASSES);
    // Tokens alone, of which few kernels have to be compiled for another Gpu.
    let options = Sample {
        log_probs: LogProbs::None,
        top_n: 0,
        ranks: false,
        ..batch.options()
    };
    same_in_parts(&batch, &options);
}

#[test]
fn batches_with_numbers_for_each_row_have_the_same_tokens_in_parts() {
    let batch = batch(&mut Random(85), 40, CLASSES);
    let scales: Vec<f32> = (0..40).map(|row| 0.25 + row as f32 / 16.0).collect();
    let adjust = Adjust {
        scale: Scale::PerRow(scales.into()),
        mask: Mask::Causal { group: 7, offset: 20 },
        ..Adjust::default()
    };
    let options = Sample {
        adjust,
        ..batch.options()
    };
    same_in_parts(&batch, &options);
}

/// A device that binds just the logits of all rows, but not their penalised logits.
#[test]
fn rows_whose_penalties_take_several_bindings_have_the_same_tokens() {
    let batch = SampleBatch::new(&mut Random(86), 40, CLASSES, true);
    let alignment = u64::from(gpu().device().limits().min_storage_buffer_offset_alignment);
    let bytes = (40 * 4 * CLASSES as u64 + alignment).next_multiple_of(4);
    // Tokens alone, of which few kernels have to be compiled for another Gpu.
    let options = Sample {
        log_probs: LogProbs::None,
        top_n: 0,
        ranks: false,
        ..batch.options()
    };
    same_on(&binding_at_most(bytes), &batch, &options);
}

/// FNV-1a over the tokens of 10,000 rows of every kind.
fn hash(tokens: impl Iterator<Item = u32>) -> u64 {
    let bytes = tokens.flat_map(u32::to_le_bytes);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// A change of the order of sums, of the exponential, of the random words or of the batches' numbers changes this number.
/// Whoever changes one of the first three breaks the promise that a token can be drawn again.
const TOKENS: u64 = 0x513a_381e_00da_da46;

#[test]
fn the_tokens_of_10_000_rows_are_these() {
    let mut random = Random(84);
    let (mut of_gpu, mut of_twin) = (Vec::new(), Vec::new());
    for (count, classes) in [(9000, CLASSES), (1000, 2050)] {
        let batch = batch(&mut random, count, classes);
        of_twin.extend(batch.drawn().iter().map(|drawn| drawn.token));
        of_gpu.extend(
            gpu()
                .sample(&batch.logits, batch.rows, &batch.options())
                .unwrap()
                .tokens,
        );
    }
    assert_eq!(of_gpu.len(), 10_000);
    let hashes = [of_twin, of_gpu].map(|tokens| hash(tokens.into_iter()));
    assert_eq!(
        hashes, [TOKENS; 2],
        "the hash of the tokens of the twin, and of the adapter: {hashes:#x?}"
    );
}
