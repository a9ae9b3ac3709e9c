//! Checks an operation's result against the f64 reference before it is timed: a wrong result is not worth a time.

use super::case::{Op, target};
use super::options::Options;
use super::sampling;
use super::timer::read;
use super::work::Work;
use crate::failure::Failure;
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{CrossEntropy, Dtype, Element, Gpu, Gradient, LogSumExp, Reduction, Rows, Softmax, reference};

/// Runs the operation once, and compares the results of the first rows.
pub(super) fn check<T: Element>(gpu: &Gpu, work: &Work) -> Result<(), Failure> {
    let classes = work.rows.classes();
    let expected = expected::<T>(work)?;
    let got = first_results::<T>(gpu, work, expected.len())?;
    // The gradient of a mean over many rows is small throughout, so the bound is relative to the largest result.
    let largest = expected.iter().fold(1e-30, |max: f64, v| max.max(v.abs()));
    for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
        let bound = match work.op.is_sampling() {
            true => 0.0,
            false => 4e-6 * largest + rounding(T::DTYPE) * expected.abs().max(6e-5),
        };
        let is_near = (got - expected).abs() <= bound;
        if !is_near {
            let place = match work.op {
                Op::Softmax | Op::LogSoftmax | Op::SoftmaxGrad | Op::CrossEntropy => {
                    format!("row {}, class {}", i / classes, i % classes)
                }
                _ => format!("row {i}"),
            };
            return Err(Failure::Machine(format!(
                "a wrong result before timing: {place}: {got} for {expected}"
            )));
        }
    }
    Ok(())
}

/// The relative error that rounding to a type may make.
fn rounding(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::F16 => 1e-3,
        Dtype::Bf16 => 8e-3,
        _ => 0.0,
    }
}

/// The reference's results for as many rows as it can do in a moment. A mean loss can only be checked if that is all of them;
/// else there are no results to compare.
fn expected<T: Element>(work: &Work) -> Result<Vec<f64>, Failure> {
    let (total, classes) = (work.rows.count(), work.rows.classes());
    let count = total.min((1 << 18) / classes + 1);
    let rows = Rows::new(count, classes);
    let logits = |first: usize| -> Vec<T> {
        (0..count * classes)
            .map(|i| T::nearest(work.op.logit(first + i)))
            .collect()
    };
    let x = logits(0);
    let targets: Vec<u32> = (0..count).map(|row| target(row, classes)).collect();
    // The kernel divides by all rows, the reference sees the first ones: so it sums, and the mean is taken here.
    let sum = CrossEntropy {
        gradient: Gradient::Apart,
        reduction: Reduction::Sum,
        ..CrossEntropy::default()
    };
    let mean = |values: Vec<f64>| values.into_iter().map(|v| v / total as f64).collect::<Vec<_>>();
    Ok(match work.op {
        Op::Softmax | Op::LogSoftmax => {
            let options = Softmax {
                log: work.op == Op::LogSoftmax,
                ..Softmax::default()
            };
            reference::softmax(&x, rows, &options)?
        }
        Op::SoftmaxGrad => reference::softmax_grad(&x, &logits(total * classes), rows, false, None)?,
        Op::Logsumexp => reference::logsumexp(&x, rows, &LogSumExp::default())?,
        Op::CrossEntropy => mean(reference::cross_entropy(&x, &targets, rows, &sum)?.gradient),
        Op::Distillation => mean(reference::distillation(&x, &logits(total * classes), rows, &sum)?.gradient),
        Op::CrossEntropyLoss if count == total => mean(vec![reference::cross_entropy(&x, &targets, rows, &sum)?.loss]),
        Op::CrossEntropyLoss => Vec::new(),
        // The seeds of the first rows are the same however many there are.
        op => {
            let options = Options::new(op, &rows, T::DTYPE, None);
            let tokens = sampling::tokens(&x, &rows, &options.sample);
            tokens.into_iter().map(f64::from).collect()
        }
    })
}

/// Runs the operation, and reads so many of its results back.
fn first_results<T: Element>(gpu: &Gpu, work: &Work, count: usize) -> Result<Vec<f64>, Failure> {
    // A loss and an lse are f32, whatever the logits' type, and a token is u32.
    let is_f32 = matches!(work.op, Op::Logsumexp | Op::CrossEntropyLoss);
    let size = if is_f32 || work.op.is_sampling() {
        4
    } else {
        T::DTYPE.bytes() as usize
    };
    let source = match work.op {
        Op::CrossEntropyLoss => &work.summary,
        _ => &work.result,
    };
    let bytes = ((count * size) as u64).next_multiple_of(4).max(4);
    let back = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: Some("check"),
        size: bytes,
        usage: Usage::MAP_READ | Usage::COPY_DST,
        mapped_at_creation: false,
    });
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    work.encode(&mut encoder)?;
    encoder.copy_buffer_to_buffer(source, 0, &back, 0, bytes);
    gpu.queue().submit([encoder.finish()]);
    Ok(if work.op.is_sampling() {
        read::<u32>(gpu, &back)?.into_iter().map(f64::from).collect()
    } else if is_f32 {
        read::<f32>(gpu, &back)?.into_iter().map(f64::from).collect()
    } else {
        read::<T>(gpu, &back)?.into_iter().map(Into::into).collect()
    })
}
