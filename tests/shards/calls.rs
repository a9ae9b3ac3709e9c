//! Shards in buffers, and shards that do not fit.

use super::common::buffers::{buffer, encode, encoder, guarded, inside, read, unguarded};
use super::common::{Random, Subject, bits, equal, gpu, must};
use super::{CLASSES, COUNT, CUTS, logits, part, shards, whole};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, EncodeError, Gradient, Rows, RunError, ShardStatistics,
    Softmax, SoftmaxBuffers,
};

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
}

/// On every shard, also those that would not have it.
#[test]
fn targets_that_are_no_class_of_the_whole_row_are_errors() {
    let target = |target: u32| {
        let options = CrossEntropy::default();
        let rows = shards(1, 3000, &[1, 2]);
        let zeros = |rows: &Rows| vec![0f32; rows.classes()];
        let found = |rows: &Rows| gpu().cross_entropy_statistics(&zeros(rows), &[target], *rows, &options);
        let found: Vec<_> = rows.iter().map(|rows| found(rows).unwrap()).collect();
        let all = ShardStatistics::join(&found).unwrap();
        let finish = |rows: &Rows| gpu().cross_entropy_shard(&zeros(rows), &[target], *rows, &all, &options);
        rows.iter().map(finish).collect::<Vec<_>>()
    };
    assert!(target(2999).iter().all(Result::is_ok));
    for result in target(3000) {
        assert!(
            matches!(result, Err(RunError::TargetOutOfRange { classes: 3000, .. })),
            "{result:?}"
        );
    }
}

/// A loss in buffers, with rows apart and its gradient in place: nothing but the gradient is written over.
#[test]
fn losses_of_shards_in_buffers_are_those_of_whole_rows() {
    let (count, classes, stride) = (COUNT, 3000, 3004);
    let x = logits::<f32>(&mut Random(309), count, classes);
    let targets = [5u32, 2999, 1024, 1023, 0];
    let options = CrossEntropy {
        gradient: Gradient::InPlace,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let expected = gpu()
        .cross_entropy(&x, &targets, whole(count, classes), &options)
        .unwrap();
    let gradient = expected.gradient.unwrap();
    let mut apart = vec![7f32; count * stride];
    let lay = |of: &[f32], apart: &mut [f32]| {
        for (row, values) in of.chunks(classes).enumerate() {
            apart[row * stride..row * stride + classes].copy_from_slice(values);
        }
    };
    lay(&x, &mut apart);
    let all_logits = buffer(&apart);
    let target_words = buffer(&targets);
    let kernels: Vec<_> = shards(count, classes, &[1])
        .iter()
        .map(|rows| {
            (
                rows.first_class(),
                options.prepare(gpu(), rows.with_row_stride(stride)).unwrap(),
            )
        })
        .collect();
    let statistics = buffer(&vec![0u32; kernels[0].1.statistics_bytes()[1] as usize / 4]);
    let summary = buffer(&[0u32; CrossEntropySummary::BYTES as usize / 4]);
    let losses = buffer(&[0f32; COUNT]);
    let buffers = |first: usize, statistics| CrossEntropyBuffers {
        statistics: Some(statistics),
        row_losses: Some(losses.slice(..)),
        ..CrossEntropyBuffers::new(
            all_logits.slice(4 * first as u64..),
            target_words.slice(..),
            summary.slice(..),
        )
    };
    let mut at = 0;
    for (first, kernel) in &kernels {
        let end = at + kernel.statistics_bytes()[0];
        let bound = kernel
            .bind_statistics(&buffers(*first, statistics.slice(at..end)))
            .unwrap();
        encode(|encoder| bound.encode(encoder));
        at = end;
    }
    for (first, kernel) in &kernels {
        encode(|encoder| kernel.encode(encoder, &buffers(*first, statistics.slice(..))).unwrap());
    }
    let subject = Subject::new::<f32>("the recorded loss of shards", whole(count, classes), &options);
    lay(&gradient, &mut apart);
    must(subject.each("gradient and padding", &bits(&read::<f32>(&all_logits)), &bits(&apart)));
    let got = bits(&read::<f32>(&losses));
    must(subject.each("losses", &got, &bits(&expected.row_losses.unwrap())));
}
