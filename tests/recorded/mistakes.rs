//! Mistakes are errors, and after each of them a correct call works.

use crate::common::buffers::{buffer, encoder, new_buffer};
use crate::common::{Subject, equal, gpu, same_bits};
use std::fmt::Debug;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, EncodeError, Gpu, GpuError, GpuOptions, Recorded, Rows, RunError, Softmax,
    SoftmaxBuffers,
};

const ROWS: Rows = Rows::new(4, 8);

fn storage(words: usize) -> wgpu::Buffer {
    buffer(&vec![0u32; words])
}

/// The error of `wrong`, after which `right` must do, in the same encoder.
#[track_caller]
fn error_of(
    what: &str,
    wrong: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Recorded, EncodeError>,
    right: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Recorded, EncodeError>,
) -> EncodeError {
    let mut encoder = encoder();
    let error = wrong(&mut encoder).err();
    let after = right(&mut encoder).err();
    gpu().queue().submit([encoder.finish()]);
    assert_eq!(after, None, "the error of a correct call after {what}");
    error.unwrap_or_else(|| panic!("{what} was recorded, but an error is expected"))
}

#[test]
fn mistakes_with_softmax_are_errors_and_a_correct_call_works_after_each() {
    let (logits, result) = (storage(32), storage(32));
    let unusable = new_buffer(128, Usage::COPY_DST);
    let kernel = Softmax::default().prepare(gpu(), ROWS).unwrap();
    let good = SoftmaxBuffers::new(logits.slice(..), Some(result.slice(..)));
    let fails = |what: &str, buffers: SoftmaxBuffers<'_>| {
        error_of(what, |e| kernel.encode(e, &buffers), |e| kernel.encode(e, &good))
    };
    let short = SoftmaxBuffers {
        logits: logits.slice(..124),
        ..good
    };
    let expected = EncodeError::BufferTooSmall {
        buffer: "logits",
        needed: 128,
        bound: 124,
    };
    assert_eq!(fails("a short buffer", short), expected, "the error of a short buffer");
    let missing = SoftmaxBuffers { result: None, ..good };
    let error = fails("no buffer for the result", missing);
    assert_is!(
        "no buffer for the result",
        error,
        EncodeError::MissingBuffer { buffer: "result", .. }
    );
    let same = SoftmaxBuffers {
        result: Some(logits.slice(..)),
        ..good
    };
    let error = fails("the logits as the result", same);
    assert_is!("the logits as the result", error, EncodeError::Overlap { .. });
    let wrong_usage = SoftmaxBuffers {
        logits: unusable.slice(..),
        ..good
    };
    let error = fails("a buffer without a usage", wrong_usage);
    assert_is!(
        "a buffer without a usage",
        error,
        EncodeError::MissingUsage { buffer: "logits", .. }
    );
}

#[test]
fn mistakes_with_cross_entropy_are_errors_and_a_correct_call_works_after_each() {
    let (logits, result, targets, summary) = (storage(32), storage(32), storage(4), storage(16));
    let kernel = CrossEntropy::default().prepare(gpu(), ROWS).unwrap();
    let good = CrossEntropyBuffers::new(logits.slice(..), targets.slice(..), summary.slice(..));
    let fails = |what: &str, buffers: CrossEntropyBuffers<'_>| {
        error_of(what, |e| kernel.encode(e, &buffers), |e| kernel.encode(e, &good))
    };
    let unasked = CrossEntropyBuffers {
        gradient: Some(result.slice(..)),
        ..good
    };
    let error = fails("a gradient not asked for", unasked);
    assert_is!(
        "a gradient not asked for",
        error,
        EncodeError::UnusedBuffer { buffer: "gradient", .. }
    );
    let short_summary = CrossEntropyBuffers {
        summary: summary.slice(..16),
        ..good
    };
    let error = fails("a short summary", short_summary);
    assert_is!(
        "a short summary",
        error,
        EncodeError::BufferTooSmall { buffer: "summary", .. }
    );
    let short_targets = CrossEntropyBuffers {
        targets: targets.slice(..12),
        ..good
    };
    let error = fails("short targets", short_targets);
    assert_is!(
        "short targets",
        error,
        EncodeError::BufferTooSmall { buffer: "targets", .. }
    );

    let (shared, unaligned) = (storage(128), storage(32));
    let within = CrossEntropyBuffers::new(logits.slice(..), shared.slice(256..272), shared.slice(..64));
    let expected = EncodeError::Overlap {
        a: "summary",
        b: "targets",
    };
    let error = fails("two arrays of one buffer", within);
    assert_eq!(error, expected, "the error of two arrays of one buffer");
    let shifted = CrossEntropyBuffers {
        summary: unaligned.slice(4..),
        ..good
    };
    let error = fails("a misaligned offset", shifted);
    assert_is!(
        "a misaligned offset",
        error,
        EncodeError::MisalignedOffset { buffer: "summary", .. }
    );
}

#[test]
fn mistakes_before_recording_are_errors_and_a_correct_call_works_after_each() {
    let huge = CrossEntropy {
        ignore_index: 1 << 40,
        ..CrossEntropy::default()
    };
    let result = huge.prepare(gpu(), ROWS).map(|_| ());
    assert_is!("an ignored index of 2^40", result, Err(EncodeError::IgnoreIndex { .. }));

    let options = Softmax::default();
    let subject = Subject::new::<f32>("softmax", ROWS, &options);
    let expected = RunError::WrongLength {
        what: "logits",
        expected: 32,
        got: 31,
    };
    let result = gpu().softmax(&[0f32; 31], ROWS, &options);
    equal(&subject, "the error of 31 logits", result.err(), Some(expected));
    let nobody = GpuOptions {
        adapter_name: Some("no such adapter".into()),
        ..GpuOptions::default()
    };
    let result: Result<Box<dyn Debug>, GpuError> = Gpu::with_options(&nobody).map(|gpu| Box::new(gpu) as _);
    assert_is!("an adapter that is not there", result, Err(GpuError::NoAdapter { .. }));
    let y = gpu().softmax(&[0f32; 32], ROWS, &options).unwrap();
    same_bits(&subject, "y", &y, &[0.125; 32]);
}
