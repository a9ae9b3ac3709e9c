//! Measures a call on host slices, beside the least that moving its bytes takes: one copy of the input and one of the result.

use super::case::{Op, target};
use super::options::Options;
use super::timer::{Repeat, median};
use crate::failure::Failure;
use std::hint::black_box;
use std::time::{Duration, Instant};
use wgpu_softmax::{Element, Gpu, Rows, RunError, Schedule};

pub(crate) struct HostTimes {
    pub(crate) ms: f64,
    pub(crate) memcpy_ms: f64,
}

/// The medians of calls and of copies, which alternate.
pub(crate) fn measure<T: Element>(
    gpu: &Gpu,
    op: Op,
    rows: Rows,
    schedule: Option<Schedule>,
    time: Duration,
) -> Result<HostTimes, Failure> {
    let x: Vec<T> = (0..rows.elements()?).map(|i| T::nearest(op.logit(i))).collect();
    let targets: Vec<u32> = (0..rows.count()).map(|row| target(row, rows.classes())).collect();
    let options = Options::new(op, &rows, T::DTYPE, schedule);
    // Makes the call, and gives the size of its result in bytes.
    let call = || -> Result<usize, RunError> {
        Ok(match op {
            Op::Softmax | Op::LogSoftmax => size_of_val(&gpu.softmax(&x, rows, &options.softmax)?[..]),
            Op::SoftmaxGrad => size_of_val(&gpu.softmax_grad(&x, &x, None, rows, &options.grad)?[..]),
            Op::Logsumexp => size_of_val(&gpu.logsumexp(&x, rows, &options.logsumexp)?[..]),
            Op::CrossEntropy | Op::CrossEntropyLoss => {
                let out = gpu.cross_entropy(&x, &targets, rows, &options.cross_entropy)?;
                out.gradient.map_or(4, |g| size_of_val(&g[..]))
            }
            Op::Distillation => {
                let out = gpu.distillation(&x, &x, rows, &options.cross_entropy)?;
                out.gradient.map_or(4, |g| size_of_val(&g[..]))
            }
            _ => size_of_val(&gpu.sample(&x, rows, &options.sample)?.tokens[..]),
        })
    };
    let inputs: &[&[u8]] = match op {
        Op::SoftmaxGrad | Op::Distillation => &[bytemuck::cast_slice(&x), bytemuck::cast_slice(&x)],
        Op::CrossEntropy | Op::CrossEntropyLoss => &[bytemuck::cast_slice(&x), bytemuck::cast_slice(&targets)],
        _ => &[bytemuck::cast_slice(&x)],
    };
    let result = vec![1u8; call()?];
    let mut copies: Vec<Vec<u8>> = inputs
        .iter()
        .copied()
        .chain([&result[..]])
        .map(<[u8]>::to_vec)
        .collect();
    let (mut ms, mut memcpy_ms) = (Vec::new(), Vec::new());
    let mut repeat = Repeat::new(time);
    while repeat.again() {
        let before = Instant::now();
        call()?;
        ms.push(before.elapsed().as_secs_f64() * 1e3);
        let before = Instant::now();
        for (copy, bytes) in copies.iter_mut().zip(inputs.iter().copied().chain([&result[..]])) {
            black_box(copy).copy_from_slice(black_box(bytes));
        }
        memcpy_ms.push(before.elapsed().as_secs_f64() * 1e3);
    }
    Ok(HostTimes {
        ms: median(ms),
        memcpy_ms: median(memcpy_ms),
    })
}
