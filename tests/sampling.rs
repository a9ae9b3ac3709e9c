//! Sampling: the tokens are those of plain f32 Rust, whatever the adapter, the schedule and the batch.
#![allow(clippy::unwrap_used)]

#[path = "sampling/bugs.rs"]
mod bugs;
mod common;
#[path = "sampling/device.rs"]
mod device;
#[path = "sampling/drafts.rs"]
mod drafts;
#[path = "sampling/exact.rs"]
mod exact;
#[path = "sampling/frequencies.rs"]
mod frequencies;
#[path = "sampling/invariance.rs"]
mod invariance;

use common::{GPUS, Random, Subject, equal, on};
use wgpu_softmax::testing::SampleBatch;
use wgpu_softmax::{Rows, Sample, SampleOutput, SampleParams};

const CLASSES: [usize; 3] = [33, 1025, 50_257];

fn of_twin(batch: &SampleBatch) -> [Vec<u32>; 3] {
    let drawn = batch.drawn();
    [
        drawn.iter().map(|d| d.kept).collect(),
        drawn.iter().map(|d| d.token).collect(),
        drawn.iter().map(|d| d.rank).collect(),
    ]
}

fn drawn(out: &SampleOutput) -> [Vec<u32>; 3] {
    [
        out.kept.clone().unwrap(),
        out.tokens.clone(),
        out.ranks.clone().unwrap(),
    ]
}

#[track_caller]
fn must_be(subject: &Subject<'_>, batch: &SampleBatch, out: &SampleOutput, expected: &[Vec<u32>; 3]) {
    for (what, (got, expected)) in ["kept", "tokens", "ranks"]
        .into_iter()
        .zip(drawn(out).iter().zip(expected))
    {
        for (row, pair) in got.iter().zip(expected).enumerate() {
            equal(
                subject,
                &format!("{what} of row {row}, {:?}", batch.params[row]),
                pair.0,
                pair.1,
            );
        }
    }
}

/// Batches of every kind: with and without penalties, biases and allowed classes, and where each row keeps few classes,
/// whose statistics come from a list.
fn batches(random: &mut Random, classes: usize) -> Vec<SampleBatch> {
    let mixed = SampleBatch::new(random, 32, classes, false);
    let edited = SampleBatch::new(random, 32, classes, true);
    let few = SampleBatch::new(random, 32, classes, true).with_few(random, 512);
    vec![few.clone(), mixed, edited]
}

#[test]
fn tokens_are_those_of_the_twin() {
    for gpu in GPUS.iter() {
        let mut random = Random(4);
        for classes in CLASSES {
            for batch in batches(&mut random, classes) {
                let out = gpu.sample(&batch.logits, batch.rows, &batch.options()).unwrap();
                let subject = Subject::new::<f32>(on("sample", gpu), batch.rows, &batch.joint);
                must_be(&subject, &batch, &out, &of_twin(&batch));
            }
        }
    }
}

/// A span of such rows has two chunks, which are left from the right.
#[test]
fn rows_of_more_than_a_million_classes_have_the_tokens_of_the_twin() {
    let mut random = Random(9);
    let batch = SampleBatch::new(&mut random, 3, 1_100_000, false);
    let out = common::gpu()
        .sample(&batch.logits, batch.rows, &batch.options())
        .unwrap();
    let subject = Subject::new::<f32>("sample", batch.rows, &batch.joint);
    must_be(&subject, &batch, &out, &of_twin(&batch));
}

/// A search goes through all classes of a flat row several times; llvmpipe ends
/// loops after 65,535 steps.
/// Sums of so many exponentials of 1 are beyond 2^20.
#[test]
fn half_of_more_than_a_million_equal_classes_are_kept() {
    let rows = Rows::new(1, 1_100_000);
    let options = Sample {
        kept: true,
        ..Sample::new(SampleParams {
            top_p: 0.5,
            ..SampleParams::default()
        })
    };
    let out = common::gpu()
        .sample(&vec![1f32; rows.classes()], rows, &options)
        .unwrap();
    let subject = Subject::new::<f32>("sample", rows, &options);
    equal(&subject, "kept", out.kept, Some(vec![550_000]));
    assert!(out.tokens[0] < 550_000, "token {}", out.tokens[0]);
}

#[test]
fn flat_rows_of_more_than_a_million_classes_keep_what_the_twin_keeps() {
    let rows = Rows::new(1, 1_100_000);
    let logits = Random(5).logits(rows.classes(), 0.1);
    let params = SampleParams {
        top_p: 0.9,
        ..SampleParams::default()
    };
    let options = Sample {
        kept: true,
        ..Sample::new(params)
    };
    let out = common::gpu().sample(&logits, rows, &options).unwrap();
    let twin = wgpu_softmax::twin::draw(&logits, &params, false);
    let subject = Subject::new::<f32>("sample", rows, &params);
    equal(
        &subject,
        "token and number kept",
        (out.tokens[0], out.kept.unwrap()[0]),
        (twin.token, twin.kept),
    );
}
