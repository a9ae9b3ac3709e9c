//! The options of the operations.

use super::case::Op;
use super::sampling;
use wgpu_softmax::{
    CrossEntropy, Dtype, Gradient, LogSumExp, Rows, Sample, Schedule, Softmax, SoftmaxGrad, Storage, Targets,
};

/// The library's options for an operation, the same for calls on device buffers and on host slices.
pub(super) struct Options {
    pub(super) softmax: Softmax,
    pub(super) grad: SoftmaxGrad,
    pub(super) logsumexp: LogSumExp,
    pub(super) cross_entropy: CrossEntropy,
    pub(super) sample: Sample,
}

impl Options {
    pub(super) fn new(op: Op, rows: &Rows, dtype: Dtype, schedule: Option<Schedule>) -> Self {
        let storage = Storage::all(dtype);
        Self {
            softmax: Softmax {
                log: op == Op::LogSoftmax,
                storage,
                schedule,
                ..Softmax::default()
            },
            grad: SoftmaxGrad {
                storage,
                schedule,
                ..SoftmaxGrad::default()
            },
            logsumexp: LogSumExp {
                storage,
                schedule,
                ..LogSumExp::default()
            },
            cross_entropy: CrossEntropy {
                gradient: if op == Op::CrossEntropyLoss {
                    Gradient::None
                } else {
                    Gradient::Apart
                },
                targets: if op == Op::Distillation {
                    Targets::TeacherLogits
                } else {
                    Targets::Indices
                },
                storage,
                schedule,
                ..CrossEntropy::default()
            },
            sample: sampling::options(op, rows, dtype, schedule),
        }
    }
}
