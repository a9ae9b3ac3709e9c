//! Rows of unequal length that are more than a device binds at once.

use super::common::buffers::{GUARD, binding_at_most, buffer_of, read_of};
use super::common::{Random, Subject, equal, gpu, same_bits};
use super::{SCHEDULE, of_lengths};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gradient, Rows, Softmax, SoftmaxBuffers, twin,
};

const COUNT: usize = 40_000;

/// Where a device binds 64 KiB, the table of 40,000 rows is in ten bindings, and so are logits, losses and targets; a bad target is named
/// by the row's number in the whole batch.
#[test]
fn rows_in_several_bindings_are_those_of_one() {
    let lengths: Vec<usize> = (0..COUNT).map(|row| 9 + row * 7919 % 9).collect();
    let rows = of_lengths(&lengths);
    let mut random = Random(439);
    let x = random.logits(rows.elements(), 3.0);
    let targets: Vec<u32> = lengths.iter().map(|&classes| random.below(classes) as u32).collect();
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        label_smoothing: 0.1,
        correct: true,
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    };
    let subject = Subject::new::<f32>("rows in several bindings", Rows::new(1, x.len()), &options);
    let expected = gpu().cross_entropy(&x, &targets, &rows, &options).unwrap();

    let on = binding_at_most(1 << 16);
    let kernel = options.prepare(&on, &rows).unwrap();
    let logits = buffer_of(&on, &x);
    let [losses, gradient, summary] = [COUNT, x.len(), 16].map(|words| buffer_of(&on, &vec![GUARD; words]));
    let run = |targets: &Vec<u32>| {
        let indices = buffer_of(&on, targets);
        let buffers = CrossEntropyBuffers {
            row_losses: Some(losses.slice(..)),
            gradient: Some(gradient.slice(..)),
            ..CrossEntropyBuffers::new(logits.slice(..), indices.slice(..), summary.slice(..))
        };
        let mut encoder = on.device().create_command_encoder(&Default::default());
        kernel.encode(&mut encoder, &buffers).unwrap();
        on.queue().submit([encoder.finish()]);
        let words: Vec<u32> = read_of(&on, &summary);
        CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words)).unwrap()
    };
    let found = run(&targets);
    same_bits(&subject, "loss", &[found.loss], &[expected.loss.unwrap()]);
    same_bits(
        &subject,
        "row losses",
        &read_of::<f32>(&on, &losses),
        &expected.row_losses.unwrap(),
    );
    same_bits(
        &subject,
        "gradient",
        &read_of::<f32>(&on, &gradient),
        &expected.gradient.unwrap(),
    );
    equal(&subject, "correct", Some(found.correct as usize), expected.correct);

    let mut bad = targets;
    (bad[25_000], bad[39_000]) = (18, 17);
    let found = run(&bad);
    equal(&subject, "the first bad target", found.first_bad, Some((25_000, 18)));
}

/// A part of empty rows alone has no element of its own to bind.
#[test]
fn parts_of_empty_rows_alone() {
    let mut lengths = vec![0; 5001];
    lengths[0] = 64;
    let rows = of_lengths(&lengths);
    let x = Random(440).logits(64, 3.0);
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let on = binding_at_most(1 << 16);
    let kernel = options.prepare(&on, &rows).unwrap();
    let (logits, result) = (buffer_of(&on, &x), buffer_of(&on, &[GUARD; 64]));
    let buffers = SoftmaxBuffers::new(logits.slice(..), Some(result.slice(..)));
    let mut encoder = on.device().create_command_encoder(&Default::default());
    kernel.encode(&mut encoder, &buffers).unwrap();
    on.queue().submit([encoder.finish()]);
    let subject = Subject::new::<f32>("a row before empty ones", Rows::new(1, 64), &options);
    same_bits(&subject, "y", &read_of::<f32>(&on, &result), &twin::softmax(&x));
}
