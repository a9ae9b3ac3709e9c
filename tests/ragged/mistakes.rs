//! Rows of unequal length that do not fit are errors with numbers.

use super::common::buffers::{buffer, encoder};
use super::common::gpu;
use super::{SCHEDULE, of_lengths};
use wgpu_softmax::{
    Adjust, CrossEntropy, EncodeError, LogSumExp, Rows, RunError, Schedule, Softmax, SoftmaxBuffers, Upstream, Values,
};

#[test]
fn offsets_that_do_not_ascend_from_zero_are_errors() {
    for (offsets, expected) in [
        (
            vec![],
            "there are no offsets; n rows have n + 1, the first of which is 0",
        ),
        (vec![5], "offsets[0] is 5, but must be 0, where the first row begins"),
        (vec![1, 2], "offsets[0] is 1, but must be 0, where the first row begins"),
        (
            vec![0, 9, 5],
            "offsets[2] is 5, but must be at least 9, which is offsets[1]",
        ),
        (
            vec![0, 3, 3, 2, 1],
            "offsets[3] is 2, but must be at least 3, which is offsets[2]",
        ),
    ] {
        let error = Rows::ragged(offsets.clone()).unwrap_err();
        assert_eq!(error.to_string(), expected, "the error of offsets {offsets:?}");
    }
    let error = Rows::ragged([0, usize::MAX]).unwrap_err();
    assert!(matches!(error, EncodeError::TooLarge { .. }), "{error}");
}

#[test]
fn slices_and_options_that_do_not_fit_are_errors() {
    let rows = of_lengths(&[3, 0, 5]);
    let error = gpu().softmax(&[0f32; 7], &rows, &Softmax::default()).unwrap_err();
    assert_eq!(error.to_string(), "logits has 7 elements, but the shape asks for 8");
    let error = gpu().softmax(&[0f32; 9], &rows, &Softmax::default()).unwrap_err();
    assert_eq!(error.to_string(), "logits has 9 elements, but the shape asks for 8");
    let error = gpu().cross_entropy(&[0f32; 8], &[0u8; 2], &rows, &CrossEntropy::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "targets has 2 elements, but the shape asks for 3"
    );
    let bias = Softmax {
        adjust: Adjust {
            bias: Some(Values::from([0.0; 4])),
            ..Adjust::default()
        },
        ..Softmax::default()
    };
    let error = gpu().softmax(&[0f32; 8], &rows, &bias).unwrap_err();
    assert_eq!(
        error.to_string(),
        "adjust.bias has 4 elements, but the shape asks for 5"
    );
    let upstream = CrossEntropy {
        upstream: Upstream::PerRow(vec![1.0; 3]),
        ..CrossEntropy::default()
    };
    let error = gpu()
        .cross_entropy(&[0f32; 8], &[0, -100, 0], &rows, &upstream)
        .unwrap_err();
    assert!(
        matches!(error, RunError::Encode(EncodeError::Conflict { .. })),
        "{error}"
    );
    let error = gpu().logsumexp_grad(&[0f32; 8], &[0.0; 3], &[0.0; 2], &rows, &LogSumExp::default());
    assert_eq!(
        error.unwrap_err().to_string(),
        "upstream has 2 elements, but the shape asks for 3"
    );
}

/// A schedule is for the longest row.
#[test]
fn schedules_that_cannot_run_the_longest_row_are_errors() {
    let rows = of_lengths(&[3, 700]);
    let held = |lanes| Softmax {
        schedule: Some(Schedule::Held { lanes }),
        ..Softmax::default()
    };
    let error = held(1).prepare(gpu(), &rows).unwrap_err();
    assert!(matches!(error, EncodeError::Schedule { classes: 700, .. }), "{error}");
    assert!(
        error.to_string().contains("held/1 cannot run rows of 700 classes"),
        "{error}"
    );
    assert_eq!(
        held(8).prepare(gpu(), &rows).unwrap().schedule(),
        Schedule::Held { lanes: 8 }
    );
}

#[test]
fn buffers_that_are_too_small_are_errors() {
    let options = Softmax {
        schedule: SCHEDULE,
        ..Softmax::default()
    };
    let short = |lengths: &[usize], words: usize| {
        let kernel = options.prepare(gpu(), of_lengths(lengths)).unwrap();
        let (logits, y) = (buffer(&[0u32; 16]), buffer(&[0u32; 16]));
        let buffers = SoftmaxBuffers::new(logits.slice(..4 * words as u64), Some(y.slice(..)));
        kernel.encode(&mut encoder(), &buffers)
    };
    let error = short(&[3, 0, 5], 7).unwrap_err();
    assert_eq!(error.to_string(), "buffer logits needs 32 bytes, but 28 are bound");
    assert!(short(&[3, 0, 5], 8).is_ok());
    assert!(short(&[0, 0], 1).is_ok(), "rows that are all empty");
}
