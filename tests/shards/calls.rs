//! Shards in buffers, and shards that do not fit.

use super::common::buffers::{encode, encoder, guarded, inside, unguarded};
use super::common::{Random, Subject, bits, equal, gpu, must};
use super::{CLASSES, COUNT, CUTS, logits, part, shards, whole};
use wgpu_softmax::{CrossEntropy, EncodeError, Rows, RunError, ShardStatistics, Softmax, SoftmaxBuffers};

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
        let found = |first, held| {
            let rows = Rows::new(1, held).shard(first, 3000);
            gpu()
                .cross_entropy_statistics(&vec![0f32; held], &[target], rows, &options)
                .unwrap()
        };
        let all = ShardStatistics::join(&[found(0, 1024), found(1024, 1976)]).unwrap();
        let rows = Rows::new(1, 1024).shard(0, 3000);
        gpu().cross_entropy_shard(&[0f32; 1024], &[target], rows, &all, &options)
    };
    assert!(target(2999).is_ok());
    assert!(matches!(
        target(3000),
        Err(RunError::TargetOutOfRange { classes: 3000, .. })
    ));
}
