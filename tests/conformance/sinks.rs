//! Softmax with one more logit in the denominator.

use crate::common::{GPUS, Random, Subject, equal, on, same_bits};
use wgpu_softmax::{
    EncodeError, LogSumExp, Rows, RunError, Schedule, ShardStatistics, Sink, Softmax, SoftmaxGrad, twin,
};

const COUNT: usize = 6;

/// A sink far below its row, about as large, far above, and equal to the row's largest logit.
fn sinks(x: &[f32], classes: usize) -> Vec<f32> {
    let max = |row: usize| (x[row * classes..][..classes].iter()).fold(f32::NEG_INFINITY, |most: f32, &v| most.max(v));
    let above = [-200.0, -3.0, 2.5, 40.0, 200.0, 0.0];
    (0..COUNT).map(|row| max(row) + above[row]).collect()
}

/// Held in one chunk and in several, gone through in pieces, split, and in two shards.
#[test]
fn every_schedule_has_the_bits_of_the_twin() {
    for (classes, schedules) in [
        (
            37,
            vec![Some(Schedule::Held { lanes: 8 }), Some(Schedule::Chunked { lanes: 32 })],
        ),
        (
            3000,
            vec![
                Some(Schedule::Held { lanes: 16 }),
                Some(Schedule::Chunked { lanes: 32 }),
                Some(Schedule::Split { lanes: 32, pieces: 2 }),
            ],
        ),
    ] {
        let rows = Rows::new(COUNT, classes);
        let x = Random(421).logits(COUNT * classes, 4.0);
        let sinks = sinks(&x, classes);
        let twins = x.chunks(classes).zip(&sinks);
        let expected: Vec<f32> = twins.flat_map(|(x, &sink)| twin::softmax_with_sink(x, sink)).collect();
        for gpu in GPUS.iter() {
            for &schedule in &schedules {
                let options = Softmax {
                    sink: Some(Sink::PerRow(sinks.clone().into())),
                    schedule,
                    ..Softmax::default()
                };
                let y = gpu.softmax(&x, rows, &options).unwrap();
                same_bits(
                    &Subject::new::<f32>(on("softmax", gpu), rows, &options),
                    "y",
                    &y,
                    &expected,
                );
            }
        }
    }
}

#[test]
fn shards_have_the_bits_of_the_whole_row() {
    let classes = 3000;
    let x = Random(422).logits(classes, 4.0);
    let options = Softmax {
        sink: Some(Sink::Number(11.5)),
        ..Softmax::default()
    };
    let expected = twin::softmax_with_sink(&x, 11.5);
    for gpu in GPUS.iter() {
        let shards = Rows::even_shards(classes, 2);
        let shards = shards
            .iter()
            .map(|&(first, held)| (Rows::new(1, held).shard(first, classes), &x[first..first + held]));
        let found: Vec<_> = shards
            .clone()
            .map(|(rows, x)| gpu.softmax_statistics(x, rows, &options).unwrap())
            .collect();
        let all = ShardStatistics::join(&found).unwrap();
        let y: Vec<f32> = shards
            .flat_map(|(rows, x)| gpu.softmax_shard(x, rows, &all, &options).unwrap())
            .collect();
        let rows = Rows::new(1, classes);
        same_bits(
            &Subject::new::<f32>(on("softmax", gpu), rows, &options),
            "y",
            &y,
            &expected,
        );
    }
}

/// The sink has all the probability of a row of −∞ alone: 0 is left for the classes, and the lse is the sink.
#[test]
fn a_row_of_negative_infinity_alone_is_0() {
    let (x, rows) = ([f32::NEG_INFINITY; 3], Rows::new(1, 3));
    let sink = Some(Sink::Number(-2.5));
    for gpu in GPUS.iter() {
        let options = Softmax {
            sink: sink.clone(),
            ..Softmax::default()
        };
        let subject = Subject::new::<f32>(on("softmax", gpu), rows, &options);
        equal(&subject, "y", gpu.softmax(&x, rows, &options), Ok(vec![0.0; 3]));
        let log = Softmax {
            log: true,
            ..options.clone()
        };
        equal(&subject, "log y", gpu.softmax(&x, rows, &log), Ok(x.to_vec()));
        let lse_options = LogSumExp {
            sink: sink.clone(),
            ..LogSumExp::default()
        };
        let lse = gpu.logsumexp(&x, rows, &lse_options).unwrap();
        equal(&subject, "lse", &lse[..], &[-2.5]);
        let grad = gpu.logsumexp_grad_with_sink(&x, &lse, &[3.0], rows, &lse_options);
        equal(&subject, "the gradient of lse", grad, Ok((vec![0.0; 3], vec![3.0])));
    }
}

#[test]
fn sinks_that_are_no_numbers_and_missing_gradients_are_errors() {
    let (gpu, rows, x) = (&GPUS[0], Rows::new(2, 2), [0.0f32; 4]);
    let with = |sink: Sink| Softmax {
        sink: Some(sink),
        ..Softmax::default()
    };
    let text = |result: Result<Vec<f32>, RunError>| result.err().map(|e| e.to_string()).unwrap_or_default();
    for (options, expected) in [
        (with(Sink::Number(f32::NAN)), "sink is NaN, but must be finite"),
        (
            with(Sink::PerRow(vec![0.0, f32::INFINITY].into())),
            "sink[1] is inf, but must be finite",
        ),
    ] {
        let subject = Subject::new::<f32>("softmax", rows, &options);
        equal(
            &subject,
            "the error",
            text(gpu.softmax(&x, rows, &options)),
            expected.to_string(),
        );
    }
    let options = SoftmaxGrad {
        sink: Some(Sink::Number(0.0)),
        ..SoftmaxGrad::default()
    };
    let error = gpu.softmax_grad(&x, &x, None, rows, &options).err();
    let is_conflict = matches!(error, Some(RunError::Encode(EncodeError::Conflict { a: "a sink", .. })));
    assert!(is_conflict, "softmax_grad with a sink: {error:?}");
}
