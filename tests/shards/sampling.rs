//! Shards that are sampled: what is drawn, and all that is reported of it, is that of whole rows.

use super::common::buffers::{guarded, inside, unguarded};
use super::common::{GPUS, Random, Stored, Subject, bits, equal, gpu, must, on, same_bits, stored};
use super::{CUTS, SCHEDULE, part, shards};
use wgpu_softmax::testing::{SampleBatch, reported};
use wgpu_softmax::{
    Draft, EncodeError, Gpu, LogProbs, Rows, RunError, Sample, SampleBuffers, SampleOutput, SampleParams,
    ShardSampling, half,
};

/// A row of eight spans, the last of which is not whole, and enough rows for every kind of logits and filters.
const CLASSES: usize = 7 * 1024 + 300;
const COUNT: usize = 32;

/// Goes on with all shards until they are done; also how many words a shard has given, at most.
fn run_all(mut all: Vec<ShardSampling>) -> (Vec<SampleOutput>, Vec<usize>) {
    let mut exchanges = Vec::new();
    loop {
        let words: Vec<Vec<u32>> = all.iter().map(|shard| shard.words().to_vec()).collect();
        if words.iter().all(Vec::is_empty) {
            break;
        }
        exchanges.push(words.iter().map(Vec::len).max().unwrap());
        all = all.into_iter().map(|shard| shard.advance(&words).unwrap()).collect();
    }
    let output = |shard| match shard {
        ShardSampling::Done(out) => out,
        ShardSampling::Exchange(shard) => panic!("{shard:?} has nothing to give and is not done"),
    };
    (all.into_iter().map(output).collect(), exchanges)
}

#[track_caller]
fn are_whole<T: Stored>(gpu: &Gpu, x: &[T], rows: Rows, cuts: &[usize], options: &Sample) -> Vec<usize> {
    let (count, classes) = (rows.count(), rows.classes());
    let shards = shards(count, classes, cuts);
    let begin = |rows: &Rows| gpu.sample_shard(&part(x, rows), *rows, options).unwrap();
    let (outputs, exchanges) = run_all(shards.iter().map(begin).collect());
    let expected = super::gpu().sample(x, rows, options).unwrap();
    for (rows, out) in shards.iter().zip(outputs) {
        let subject = Subject::new::<T>(
            on(&format!("sample, shards cut at {cuts:?},"), gpu),
            *rows,
            &options.joint,
        );
        for ((name, got), (_, expected)) in reported(&out).into_iter().zip(reported(&expected)) {
            must(subject.each(name, &got.unwrap_or_default(), &expected.unwrap_or_default()));
        }
        let probs = expected.probs.as_deref().map(|probs| part(probs, rows));
        same_bits(
            &subject,
            "probs",
            &out.probs.unwrap_or_default(),
            &probs.unwrap_or_default(),
        );
    }
    exchanges
}

/// Every kind of row, filter, penalty, bias and allowed class, and everything that is reported.
#[test]
fn shards_are_sampled_as_whole_rows() {
    let mut random = Random(321);
    for gpu in GPUS.iter() {
        for (i, cuts) in CUTS.iter().enumerate() {
            let batch = SampleBatch::new(&mut random, COUNT, CLASSES, true);
            let options = Sample {
                joint: i == 3,
                probs: true,
                schedule: SCHEDULE,
                ..batch.options()
            };
            are_whole(gpu, &batch.logits, batch.rows, cuts, &options);
        }
    }
}

#[test]
fn shards_with_the_models_log_probs_are_sampled_as_whole_rows() {
    let mut random = Random(322);
    for has_edits in [false, true] {
        let batch = SampleBatch::new(&mut random, COUNT, CLASSES, has_edits);
        let options = Sample {
            log_probs: LogProbs::Model,
            top_n: 128,
            ..batch.options()
        };
        // Two shards of the same shape: what the library chooses for them.
        are_whole(gpu(), &batch.logits, batch.rows, CUTS[0], &options);
    }
}

fn of_type<T: Stored>() {
    let batch = SampleBatch::new(&mut Random(323), COUNT, CLASSES, true);
    let x: Vec<T> = stored(&batch.logits);
    let options = Sample {
        schedule: SCHEDULE,
        ..batch.options()
    };
    are_whole(gpu(), &x, batch.rows, CUTS[1], &options);
}

#[test]
fn shards_of_16_bit_rows_are_sampled_as_whole_rows() {
    of_type::<half::f16>();
    of_type::<half::bf16>();
}

/// Spans of two chunks; the last shard has less than one.
#[test]
fn shards_of_rows_of_more_than_a_million_classes_are_sampled_as_whole_rows() {
    let classes = 1024 * 1024 + 2048 + 100;
    let batch = SampleBatch::new(&mut Random(324), 4, classes, false);
    let options = Sample {
        log_probs: LogProbs::None,
        top_n: 0,
        ..batch.options()
    };
    let last = classes / 2048;
    are_whole(gpu(), &batch.logits, batch.rows, &[200, last], &options);
}

/// Without filters tokens take two exchanges: 12 bytes for each 1,024 classes, and 8.
#[test]
fn tokens_without_filters_take_two_exchanges() {
    let mut random = Random(325);
    let x = random.logits(CLASSES * 3, 2.0);
    for params in [SampleParams::greedy(), SampleParams::default().at(1, 2)] {
        let options = Sample::new(params);
        let exchanges = are_whole(gpu(), &x, Rows::new(3, CLASSES), CUTS[0], &options);
        let subject = Subject::new::<f32>("sample", Rows::new(3, CLASSES), &params);
        equal(&subject, "words of each exchange", exchanges, vec![3 * 3 * 4, 2 * 3]);
    }
}

/// The counts of top_k take a word each, a few times.
#[test]
fn filters_take_few_exchanges() {
    let x = Random(326).logits(CLASSES * 2, 2.0);
    let params = SampleParams {
        top_k: 50,
        top_p: 0.9,
        ..SampleParams::default()
    };
    let exchanges = are_whole(gpu(), &x, Rows::new(2, CLASSES), CUTS[0], &Sample::new(params));
    assert!(exchanges.len() <= 12, "{exchanges:?}");
    let search: usize = exchanges[1..exchanges.len() - 2].iter().sum();
    assert!(search < 2 * 1024, "{exchanges:?}");
    println!("top_k and top_p of 2 rows take exchanges of {exchanges:?} words");
}

/// Rows apart, within guards; two steps of one kernel at the same time.
#[test]
fn shards_in_buffers_are_sampled_as_whole_rows() {
    let mut random = Random(327);
    let batch = SampleBatch::new(&mut random, 16, 3000, true);
    let options = Sample {
        probs: true,
        schedule: SCHEDULE,
        ..batch.options()
    };
    let rows: Vec<Rows> = shards(16, 3000, &[1]);
    let padded: Vec<Rows> = rows
        .iter()
        .map(|rows| rows.with_row_stride(rows.classes() + 5))
        .collect();
    let spread = |rows: &Rows| {
        let of_row = |row: &[f32]| [row, &[f32::NAN; 5]].concat();
        let mut x: Vec<f32> = part(&batch.logits, rows)
            .chunks(rows.classes())
            .flat_map(of_row)
            .collect();
        x.truncate(x.len() - 5);
        x
    };
    let (mut steps, mut kept) = ([Vec::new(), Vec::new()], Vec::new());
    for rows in &padded {
        let x = spread(rows);
        let kernel = options.prepare(gpu(), *rows).unwrap();
        let (logits, probs, unused) = (
            guarded(Some(&bits(&x)), x.len()),
            guarded(None, x.len()),
            guarded(None, 16),
        );
        let buffers = SampleBuffers {
            probs: Some(inside(&probs)),
            ..SampleBuffers::new(inside(&logits), inside(&unused))
        };
        steps
            .iter_mut()
            .for_each(|steps| steps.push(kernel.sample_shard(&buffers).unwrap()));
        kept.push((logits, probs));
    }
    let expected = gpu().sample(&batch.logits, batch.rows, &options).unwrap();
    let subject = Subject::new::<f32>("sample, shards in buffers,", batch.rows, &options.joint);
    for steps in steps {
        for out in run_all(steps).0 {
            equal(&subject, "reports", reported(&out), reported(&expected));
        }
    }
    for (rows, (_, probs)) in padded.iter().zip(kept) {
        let got = unguarded(&subject, "probs", &probs);
        let of_rows = got
            .chunks(rows.classes() + 5)
            .flat_map(|row| row[..rows.classes()].to_vec());
        let expected = part(expected.probs.as_deref().unwrap(), rows);
        must(subject.each("probs", &of_rows.collect::<Vec<_>>(), &bits(&expected)));
    }
}

#[test]
fn no_rows_are_done_at_once() {
    let rows = Rows::new(0, 1024).shard(1024, 3000);
    let options = Sample {
        ranks: true,
        log_probs: LogProbs::Model,
        top_n: 3,
        ..Sample::default()
    };
    let done = gpu().sample_shard::<f32>(&[], rows, &options).unwrap();
    let ShardSampling::Done(out) = done else {
        panic!("{done:?}")
    };
    assert_eq!(
        (out.tokens, out.ranks, out.top_ids),
        (vec![], Some(vec![]), Some(vec![]))
    );
}

#[track_caller]
fn is_error(result: Result<ShardSampling, RunError>, expected: &str) {
    let message = result.map(|_| ()).unwrap_err().to_string();
    assert!(message.contains(expected), "{message}, not {expected}");
}

#[test]
fn shards_that_cannot_be_sampled_say_why() {
    let x = vec![0f32; 2048];
    let options = Sample::default();
    let rows = Rows::new(1, 2048).shard(0, 5000);
    is_error(gpu().sample_shard(&x, Rows::new(1, 2048), &options), "Rows::shard");
    is_error(gpu().sample_shard(&x, Rows::new(1, 2048).shard(7, 5000), &options), "7");
    is_error(gpu().sample_shard(&x[1..], rows, &options), "2047");
    let whole = gpu().sample(&x, rows, &options).unwrap_err();
    assert!(
        matches!(whole, RunError::Encode(EncodeError::Conflict { .. })),
        "{whole}"
    );
    let draft = Sample {
        draft: Some(Draft {
            length: 0,
            tokens: Vec::new().into(),
            probs: None,
        }),
        ..Sample::default()
    };
    is_error(gpu().sample_shard(&x, rows, &draft), "a draft");
    let begun = || gpu().sample_shard(&x, rows, &options).unwrap();
    let words = begun().words().to_vec();
    is_error(begun().advance(std::slice::from_ref(&words)), "15");
    is_error(begun().advance(&[]), "15");
    let drawn = begun().advance(&[words, vec![0; 9]]).unwrap();
    is_error(drawn.advance(&[vec![0; 2], vec![0; 3]]), "3");
}
