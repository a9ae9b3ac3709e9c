//! The operations on Burn's wgpu runtime. Our kernels are recorded on the tensors' own memory, and submitted to the queue that
//! Burn itself uses.

use crate::backend::{
    LossWeights, SampleBackend, SoftmaxBackend, SoftmaxGradBackend, SoftmaxOnePassBackend, Targets, Weights,
    loss_shape, rows_shape,
};
use crate::device::gpu_of;
use crate::scale::scale_in_place;
use burn::backend::ops::{FloatTensorOps, IntTensorOps};
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{FloatDType, IntDType, StreamId};
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl::wgpu::{AutoCompiler, WgpuServer};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use std::collections::HashSet;
use wgpu_softmax::wgpu::CommandEncoder;
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Dtype, EncodeError, Gpu, Gradient, Reduction, Rows, Sample,
    SampleBuffers, Sink, Slice, Softmax, SoftmaxBuffers, SoftmaxGrad, SoftmaxGradBuffers, Storage, Targets as Kind,
    Upstream, Values,
};

impl SoftmaxBackend for CubeBackend {
    fn fused_softmax(logits: FloatTensor<Self>, dim: usize, options: Softmax) -> FloatTensor<Self> {
        softmax(logits, [None, None], dim, options)
    }

    fn fused_cross_entropy(
        logits: FloatTensor<Self>,
        targets: Targets<Self>,
        weights: LossWeights<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> FloatTensor<Self> {
        let options = CrossEntropy {
            gradient: Gradient::None,
            upstream: Upstream::default(),
            ..options
        };
        Batch::new(logits, targets, weights, dim, options).run(None).0
    }
}

/// The softmax, with a tensor of sinks if there is one; the lse of each row is left in a tensor if there is one.
pub(crate) fn softmax(
    logits: CubeTensor,
    [sink, lse]: [Option<CubeTensor>; 2],
    dim: usize,
    options: Softmax,
) -> CubeTensor {
    let logits = into_contiguous(logits);
    let sink = sink.map(as_f32);
    let per_row = sink.as_ref().map(|_| Sink::PerRow(Values::Buffer));
    let options = Softmax {
        storage: storage(logits.dtype),
        in_place: is_ours_alone(&logits),
        sink: per_row.or(options.sink),
        lse: lse.is_some(),
        ..options
    };
    let result = (!options.in_place).then(|| empty(&logits, logits.meta.shape().clone(), logits.dtype));
    let optional = [&result, &sink, &lse];
    let tensors: Vec<_> = std::iter::once(&logits).chain(optional.into_iter().flatten()).collect();
    launch(&tensors, |gpu, encoder, slices| {
        let mut buffers = SoftmaxBuffers::new(slices[0], None);
        [buffers.result, buffers.sink, buffers.lse] = spread(&slices[1..], optional);
        options.prepare(gpu, rows(&logits, dim)?)?.encode(encoder, &buffers)
    });
    result.unwrap_or(logits)
}

/// The slices of tensors that need not be there, of which those that are there have one.
fn spread<'a, const N: usize>(slices: &[Slice<'a>], tensors: [&Option<CubeTensor>; N]) -> [Option<Slice<'a>>; N] {
    let mut rest = slices.iter().copied();
    tensors.map(|tensor| tensor.as_ref().and_then(|_| rest.next()))
}

impl SoftmaxGradBackend for CubeBackend {
    fn fused_softmax_grad(
        saved: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        dim: usize,
        options: SoftmaxGrad,
    ) -> FloatTensor<Self> {
        let upstream = cast(upstream, saved.dtype);
        let [saved, logits, upstream] = [saved, logits, upstream].map(into_contiguous);
        let options = SoftmaxGrad {
            storage: storage(saved.dtype),
            ..options
        };
        let gradient = empty(&saved, saved.meta.shape().clone(), saved.dtype);
        launch(&[&saved, &upstream, &gradient, &logits], |gpu, encoder, slices| {
            let kernel = options.prepare(gpu, rows(&saved, dim)?)?;
            let buffers = SoftmaxGradBuffers {
                logits: options.adjust.softcap.map(|_| slices[3]),
                ..SoftmaxGradBuffers::new(slices[0], slices[1], slices[2])
            };
            kernel.encode(encoder, &buffers)
        });
        gradient
    }

    fn fused_cross_entropy_grad(
        logits: FloatTensor<Self>,
        targets: Targets<Self>,
        weights: LossWeights<Self>,
        upstream: FloatTensor<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> FloatTensor<Self> {
        let logits = into_contiguous(logits);
        let options = CrossEntropy {
            gradient: place_of_grad(&logits),
            upstream: Upstream::Buffer,
            ..options
        };
        Batch::new(logits, targets, weights, dim, options).run(Some(upstream)).1
    }
}

impl SoftmaxOnePassBackend for CubeBackend {
    fn fused_cross_entropy_with_grad(
        logits: FloatTensor<Self>,
        targets: Targets<Self>,
        weights: LossWeights<Self>,
        dim: usize,
        options: CrossEntropy,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let logits = into_contiguous(logits);
        let options = CrossEntropy {
            gradient: place_of_grad(&logits),
            upstream: Upstream::default(),
            ..options
        };
        Batch::new(logits, targets, weights, dim, options).run(None)
    }

    fn fused_grad_times(gradient: FloatTensor<Self>, number: FloatTensor<Self>) -> FloatTensor<Self> {
        let gradient = into_contiguous(gradient);
        let is_wide = [gradient.dtype, number.dtype] == [DType::F32; 2];
        if is_wide && gradient.can_mut() {
            scale_in_place(&gradient, into_contiguous(number));
            return gradient;
        }
        times(gradient, number)
    }
}

/// A tensor times one number, in the tensor's type.
fn times(tensor: CubeTensor, number: CubeTensor) -> CubeTensor {
    let ones = vec![1; tensor.meta.num_dims()];
    let number = CubeBackend::float_reshape(cast(number, tensor.dtype), ones.into());
    CubeBackend::float_mul(tensor, number)
}

/// Over the logits if no other tensor shares their memory.
fn place_of_grad(logits: &CubeTensor) -> Gradient {
    match is_ours_alone(logits) {
        true => Gradient::InPlace,
        false => Gradient::Apart,
    }
}

impl SampleBackend for CubeBackend {
    fn fused_sample(logits: FloatTensor<Self>, options: Sample) -> IntTensor<Self> {
        let logits = into_contiguous(logits);
        let options = Sample {
            dtype: storage(logits.dtype).logits,
            ..options
        };
        let tokens = empty(&logits, rows_shape(logits.meta.shape()), DType::I32);
        launch(&[&logits, &tokens], |gpu, encoder, slices| {
            let last = logits.meta.shape().num_dims().saturating_sub(1);
            let kernel = options.prepare(gpu, rows(&logits, last)?)?;
            kernel.encode(encoder, &SampleBuffers::new(slices[0], slices[1]))
        });
        tokens
    }
}

/// The tensors and options of a cross-entropy, contiguous and of the types that the kernels read.
pub(crate) struct Batch {
    logits: CubeTensor,
    targets: CubeTensor,
    weights: [Option<CubeTensor>; 2],
    dim: usize,
    options: CrossEntropy,
}

impl Batch {
    pub(crate) fn new(
        logits: CubeTensor,
        targets: Targets<CubeBackend>,
        weights: LossWeights<CubeBackend>,
        dim: usize,
        options: CrossEntropy,
    ) -> Self {
        let logits = into_contiguous(logits);
        let (kind, targets) = match targets {
            Targets::Indices(targets) => match targets.dtype {
                DType::I32 | DType::U32 => (Kind::Indices, targets),
                _ => (Kind::Indices, to_i32(targets)),
            },
            Targets::Probabilities(targets) => (Kind::Probabilities, cast(targets, logits.dtype)),
            Targets::TeacherLogits(teacher) => (Kind::TeacherLogits, cast(teacher, logits.dtype)),
        };
        let weights = [weights.classes, weights.rows].map(|weights| match weights {
            Weights::None => None,
            Weights::Tensor(weights) => Some(as_f32(weights)),
        });
        let [of_classes, of_rows] = weights.each_ref().map(|w| w.as_ref().map(|_| Values::Buffer));
        Self {
            options: CrossEntropy {
                storage: storage(logits.dtype),
                targets: kind,
                weights: of_classes.or(options.weights),
                row_weights: of_rows.or(options.row_weights),
                ..options
            },
            targets: into_contiguous(targets),
            logits,
            weights,
            dim,
        }
    }

    /// Runs the kernels. Returns the loss, and the gradient or else the logits.
    pub(crate) fn run(self, upstream: Option<CubeTensor>) -> (CubeTensor, CubeTensor) {
        let Self {
            logits,
            targets,
            weights: [classes, of_rows],
            dim,
            options,
        } = self;
        let like = |shape: Shape, dtype| empty(&logits, shape, dtype);
        let words = CrossEntropySummary::BYTES as usize / size_of::<f32>();
        let summary = like([words].into(), DType::F32);
        let is_none = options.reduction == Reduction::None;
        let losses = is_none.then(|| like(loss_shape(logits.meta.shape(), dim, &options), DType::F32));
        let apart = options.gradient == Gradient::Apart;
        let gradient = apart.then(|| like(logits.meta.shape().clone(), logits.dtype));
        let upstream = upstream.map(as_f32);

        let mut tensors = vec![&logits, &targets, &summary];
        let optional = [&gradient, &upstream, &classes, &of_rows, &losses];
        tensors.extend(optional.into_iter().flatten());
        launch(&tensors, |gpu, encoder, slices| {
            let all = spread(&slices[3..], optional);
            let [gradient, upstream, weights, row_weights, row_losses] = all;
            let buffers = CrossEntropyBuffers {
                gradient,
                upstream,
                weights,
                row_weights,
                row_losses,
                ..CrossEntropyBuffers::new(slices[0], slices[1], slices[2])
            };
            let kernel = options.prepare(gpu, rows(&logits, dim)?)?;
            kernel.encode(encoder, &buffers)
        });
        let loss = losses.unwrap_or_else(|| first_word(summary));
        (loss, gradient.unwrap_or(logits))
    }
}

/// A tensor of the first element alone, in the same memory.
fn first_word(tensor: CubeTensor) -> CubeTensor {
    let mut handle = tensor.handle.clone();
    let rest = (tensor.meta.num_elements() - 1) * size_of::<f32>();
    handle.offset_end = Some(handle.offset_end.unwrap_or(0) + rest as u64);
    CubeTensor::new_contiguous(tensor.client, tensor.device, [1].into(), handle, tensor.dtype)
}

pub(crate) fn empty(like: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, dtype)
}

/// Contiguous f32, as the kernels read numbers that are not logits.
pub(crate) fn as_f32(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(cast(tensor, DType::F32))
}

pub(crate) fn cast(tensor: CubeTensor, dtype: DType) -> CubeTensor {
    if tensor.dtype == dtype {
        return tensor;
    }
    CubeBackend::float_cast(tensor, float_dtype(dtype))
}

/// A type of the kernels as Burn names types of floats.
pub(crate) fn float_dtype(dtype: DType) -> FloatDType {
    match dtype {
        DType::F16 => FloatDType::F16,
        DType::BF16 => FloatDType::BF16,
        _ => FloatDType::F32,
    }
}

/// Targets as i32. A 64-bit target that does not fit is clamped, and so stays out of range.
pub(crate) fn to_i32(targets: CubeTensor) -> CubeTensor {
    let fitting = match targets.dtype {
        DType::I64 => CubeBackend::int_clamp(targets, i32::MIN.into(), i32::MAX.into()),
        DType::U64 => CubeBackend::int_clamp_max(targets, i32::MAX.into()),
        _ => targets,
    };
    CubeBackend::int_cast(fitting, IntDType::I32)
}

/// Whether a tensor may be overwritten: no other tensor shares its memory, and no work that another thread has queued but not
/// submitted uses it.
fn is_ours_alone(tensor: &CubeTensor) -> bool {
    // This thread's own queued work also holds the tensors it reads. Once flushed, it runs before the kernel to be recorded.
    tensor.handle.can_mut() && tensor.client.flush().is_ok() && !tensor.handle.memory.is_bound()
}

/// The storage for a tensor's type.
pub(crate) fn storage(dtype: DType) -> Storage {
    Storage::all(match dtype {
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::Bf16,
        other => panic!("burn-wgpu-softmax computes in f32, f16 or bf16, not {other:?}: cast the tensor"),
    })
}

pub(crate) fn rows(tensor: &CubeTensor, dim: usize) -> Result<Rows, EncodeError> {
    Rows::of_shape(tensor.meta.shape(), dim as isize)
}

/// Records commands on the tensors' memory, and submits them after all of Burn's pending work on these tensors.
///
/// # Panics
/// If the commands cannot be recorded, as Burn's own operations do.
pub(crate) fn launch<T>(
    tensors: &[&CubeTensor],
    record: impl FnOnce(&Gpu, &mut CommandEncoder, &[Slice<'_>]) -> Result<T, EncodeError>,
) {
    let gpu = gpu_of(&tensors[0].device);
    assert!(
        !tensors[0].client.is_capturing(),
        "burn-wgpu-softmax: a graph that is being captured cannot record these kernels; leave them out of it"
    );
    let failed = |error: &dyn std::fmt::Display| -> ! { panic!("burn-wgpu-softmax: {error}") };
    let memory = tensors.iter().map(|tensor| {
        let resource = tensor
            .client
            .get_resource::<WgpuServer<AutoCompiler>>(tensor.handle.clone());
        resource.unwrap_or_else(|error| failed(&error))
    });
    let memory: Vec<_> = memory.collect();
    // Asking for the memory made Burn record the work that writes it. That must reach the queue before the work that reads it.
    let streams = tensors.iter().map(|tensor| tensor.handle.stream);
    for stream in streams.chain([StreamId::current()]).collect::<HashSet<_>>() {
        let flushed = stream.executes(|| tensors[0].client.flush());
        flushed.unwrap_or_else(|error| failed(&error));
    }
    let slices = memory.iter().zip(tensors).map(|(memory, tensor)| {
        let resource = memory.resource();
        // A slice must not be empty, and memory that Burn allocates never is.
        let bytes = (tensor.meta.num_elements() * tensor.dtype.size()).max(4) as u64;
        resource.buffer.slice(resource.offset..resource.offset + bytes)
    });
    let slices: Vec<_> = slices.collect();
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    record(&gpu, &mut encoder, &slices).unwrap_or_else(|error| failed(&error));
    gpu.queue().submit([encoder.finish()]);
}
