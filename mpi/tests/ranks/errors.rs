//! What goes wrong on one rank is the same error on all.

use super::{SCHEDULE, ranks};
use mpi::environment::Universe;
use mpi::traits::{Communicator, CommunicatorCollectives};
use std::panic::AssertUnwindSafe;
use wgpu_softmax::{CrossEntropy, Gpu, Rows, Sample, SampleParams, Softmax, Values};
use wgpu_softmax_mpi::{Error, Ranks};

const CLASSES: usize = 4 * 1024;

/// Asserts that all ranks have the same error, and returns it.
#[track_caller]
fn same<T>(universe: &Universe, result: Result<T, Error>) -> Error {
    let error = result.map(|_| ()).unwrap_err();
    let mut text = error.to_string().into_bytes();
    text.resize(300, 0);
    let mut all = vec![0u8; 300 * universe.world().size() as usize];
    universe.world().all_gather_into(&text[..], &mut all[..]);
    assert!(
        all.chunks(300).all(|other| other == text),
        "{error} here, and elsewhere another one"
    );
    error
}

fn options() -> CrossEntropy {
    CrossEntropy {
        schedule: SCHEDULE,
        ..CrossEntropy::default()
    }
}

/// A call that succeeds, after one that did not.
#[track_caller]
fn succeeds(ranks: &Ranks<'_>, gpu: &Gpu) {
    let rows = ranks.shard(2, CLASSES).unwrap();
    let x = vec![0f32; 2 * rows.classes()];
    let out = ranks.cross_entropy(gpu, &x, &[5u32, 6], rows, &options()).unwrap();
    assert_eq!(out.counted, 2 * ranks.data_ranks());
}

pub(super) fn bad_target(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    let rows = ranks.shard(2, CLASSES).unwrap();
    let x = vec![0f32; 2 * rows.classes()];
    let bad = ranks.rank() + 1 == universe.world().size() as usize;
    let targets = [5, if bad { 4096 } else { 6 }];
    let error = same(universe, ranks.cross_entropy(&gpu, &x, &targets, rows, &options()));
    let last = universe.world().size() as usize - 1;
    let expected = format!("rank {last}: row 1 has target 4096, but there are 4096 classes");
    assert!(error.to_string().starts_with(&expected), "{error}");
    succeeds(&ranks, &gpu);
    // A target that is a class, but not that of the others.
    let targets = [5, if bad { 7 } else { 6 }];
    let error = same(universe, ranks.cross_entropy(&gpu, &x, &targets, rows, &options()));
    assert!(
        matches!(
            error,
            Error::Differs {
                what: "the targets or parameters",
                ..
            }
        ),
        "{error}"
    );
    // Tokens drawn with other random numbers.
    let sample = Sample::new(SampleParams::default().at(ranks.rank() as u64, 0));
    let error = same(universe, ranks.sample(&gpu, &x, rows, &sample));
    assert!(error.to_string().contains("parameters"), "{error}");
    // Slices that do not fit, on all ranks but one.
    let short = if bad { &x[..] } else { &x[1..] };
    let error = same(universe, ranks.softmax(&gpu, short, rows, &Softmax::default()));
    assert!(
        matches!(error, Error::Failed { rank: 0, failed, .. } if failed == last),
        "{error}"
    );
    succeeds(&ranks, &gpu);
}

pub(super) fn differing_calls(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    let is_odd = ranks.rank() == 3;
    let differs = |result: Result<(), Error>, expected: &str| {
        let error = same(universe, result);
        assert!(
            matches!(error, Error::Differs { what, .. } if what == expected),
            "{error}"
        );
    };
    let softmax = |rows: Rows| {
        let x = vec![0f32; rows.count() * rows.classes()];
        ranks.softmax(&gpu, &x, rows, &Softmax::default()).map(|_| ())
    };
    let rows = ranks.shard(2, CLASSES).unwrap();
    differs(
        softmax(ranks.shard(if is_odd { 3 } else { 2 }, CLASSES).unwrap()),
        "the number of rows",
    );
    let classes = if is_odd { 8192 } else { CLASSES };
    differs(softmax(ranks.shard(2, classes).unwrap()), "the classes of whole rows");
    let from = rows.first_class() + if is_odd { 1024 } else { 0 };
    let held = rows.classes() - if is_odd { 1024 } else { 0 };
    let gap = Rows::new(2, held).shard(from, CLASSES);
    differs(softmax(gap), "where the one's classes end and the other's begin");
    let with = |options: &CrossEntropy| {
        let x = vec![0f32; 2 * rows.classes()];
        ranks.cross_entropy(&gpu, &x, &[1u32, 2], rows, options).map(|_| ())
    };
    let label_smoothing = if is_odd { 0.2 } else { 0.1 };
    differs(
        with(&CrossEntropy {
            label_smoothing,
            ..options()
        }),
        "the options",
    );
    differs(if is_odd { with(&options()) } else { softmax(rows) }, "the call");
    differs(
        if is_odd {
            ranks.agree(Ok::<(), Error>(()))
        } else {
            softmax(rows)
        },
        "the call",
    );
    let two_denominators = CrossEntropy {
        weights: Some(Values::from(vec![1.0; CLASSES])),
        z_loss: 0.1,
        ..options()
    };
    let error = same(universe, with(&two_denominators));
    assert!(error.to_string().contains("Normalizer::Number"), "{error}");
    succeeds(&ranks, &gpu);
}

pub(super) fn no_gpu(universe: &Universe, vocab_ranks: usize) {
    let ranks = Ranks::new(universe, vocab_ranks).unwrap();
    let gpu = match ranks.rank() {
        2 => Err("no GPU here".into()),
        _ => Gpu::new().map_err(|e| e.to_string()),
    };
    let error = same(universe, ranks.agree(gpu));
    assert_eq!(error.to_string(), "rank 2: no GPU here");
}

pub(super) fn lost_device(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    succeeds(&ranks, &gpu);
    if ranks.rank() == 3 {
        gpu.device().destroy();
    }
    let rows = ranks.shard(2, CLASSES).unwrap();
    let x = vec![0f32; 2 * rows.classes()];
    let error = same(universe, ranks.cross_entropy(&gpu, &x, &[5u32, 6], rows, &options()));
    assert!(error.to_string().starts_with("rank 3: the device was lost"), "{error}");
    let gpu = ranks.agree(Gpu::new()).unwrap();
    succeeds(&ranks, &gpu);
}

pub(super) fn grids(universe: &Universe, _: usize) {
    for bad in [0, 3, usize::MAX] {
        let error = same(universe, Ranks::new(universe, bad));
        assert!(matches!(error, Error::Grid { ranks: 2, .. }), "{error}");
    }
    let rank = universe.world().rank() as usize;
    let error = same(universe, Ranks::new(universe, 1 + rank));
    assert!(matches!(error, Error::Differs { .. }), "{error}");
    let ranks = Ranks::new(universe, 2).unwrap();
    let error = same(universe, ranks.shard(1, 1000));
    assert_eq!(
        error.to_string(),
        "1000 classes are 1 spans of 1024, too few for 2 ranks"
    );
}

pub(super) fn one_returns(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    succeeds(&ranks, &gpu);
    if ranks.rank() == 1 {
        return;
    }
    for _ in 0..2 {
        let rows = ranks.shard(2, CLASSES).unwrap();
        let x = vec![0f32; 2 * rows.classes()];
        let result = ranks.cross_entropy(&gpu, &x, &[5u32, 6], rows, &options());
        assert_eq!(result.map(|_| ()), Err(Error::Left { rank: 1 }));
    }
}

/// What a panic unwinds says that the rank has left.
pub(super) fn one_panics(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    if ranks.rank() == 1 {
        let panics = move || assert!(ranks.rank() != 1, "as planned");
        std::panic::catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
        return;
    }
    let rows = ranks.shard(2, CLASSES).unwrap();
    let x = vec![0f32; 2 * rows.classes()];
    let result = ranks.softmax(&gpu, &x, rows, &Softmax::default());
    assert_eq!(result, Err(Error::Left { rank: 1 }));
}

pub(super) fn one_exits(universe: &Universe, vocab_ranks: usize) {
    let (ranks, gpu) = ranks(universe, vocab_ranks);
    if ranks.rank() == 1 {
        std::process::exit(0);
    }
    succeeds(&ranks, &gpu);
}
