//! Softmax with sinks on Burn's wgpu runtime.

use super::backend::{SoftmaxSinkBackend, SoftmaxSinkGradBackend};
use crate::backend::rows_along;
use crate::cube::{as_f32, cast, empty, launch, rows, softmax, storage};
use burn::backend::tensor::FloatTensor;
use burn::tensor::DType;
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use wgpu_softmax::{Sink, Softmax, SoftmaxGrad, SoftmaxGradBuffers, Values};

impl SoftmaxSinkBackend for CubeBackend {
    fn fused_softmax_with_sink(
        logits: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        dim: usize,
        options: Softmax,
    ) -> FloatTensor<Self> {
        softmax(logits, [Some(sink), None], dim, options)
    }
}

impl SoftmaxSinkGradBackend for CubeBackend {
    fn fused_softmax_with_sink_and_lse(
        logits: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        dim: usize,
        options: Softmax,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let lse = empty(&logits, rows_along(logits.meta.shape(), dim), DType::F32);
        let result = softmax(logits, [Some(sink), Some(lse.clone())], dim, options);
        (result, lse)
    }

    fn fused_softmax_with_sink_grad(
        saved: FloatTensor<Self>,
        logits: FloatTensor<Self>,
        upstream: FloatTensor<Self>,
        sink: FloatTensor<Self>,
        lse: FloatTensor<Self>,
        dim: usize,
        options: SoftmaxGrad,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let upstream = cast(upstream, saved.dtype);
        let [saved, logits, upstream] = [saved, logits, upstream].map(into_contiguous);
        let [sink, lse] = [sink, lse].map(as_f32);
        let options = SoftmaxGrad {
            storage: storage(saved.dtype),
            sink: Some(Sink::PerRow(Values::Buffer)),
            ..options
        };
        let shape = saved.meta.shape();
        let gradient = empty(&saved, shape.clone(), saved.dtype);
        let of_sink = empty(&saved, rows_along(shape, dim), DType::F32);
        let tensors = [&saved, &upstream, &gradient, &logits, &sink, &lse, &of_sink];
        launch(&tensors, |gpu, encoder, slices| {
            let kernel = options.prepare(gpu, rows(&saved, dim)?)?;
            let buffers = SoftmaxGradBuffers {
                logits: options.adjust.softcap.map(|_| slices[3]),
                sink: Some(slices[4]),
                lse: Some(slices[5]),
                sink_gradient: Some(slices[6]),
                ..SoftmaxGradBuffers::new(slices[0], slices[1], slices[2])
            };
            kernel.encode(encoder, &buffers)
        });
        (gradient, of_sink)
    }
}
