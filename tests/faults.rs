//! Faults from outside: a lost device, missing memory, errors of other code on the same device, panics in callers' threads,
//! calls that are dropped before their end. Each ends in an `Err` that says so. A new `Gpu` computes the right bits after
//! it, and so does the same one unless its device is lost.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod common;

use common::{Random, Subject, gpu, same_bits};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Waker};
use wgpu_softmax::wgpu::{self, BufferUsages as Usage};
use wgpu_softmax::{
    BinaryCrossEntropy, CrossEntropy, EncodeError, Gpu, GpuOptions, Gradient, LogSumExp, Rows, RunError, Softmax,
    SoftmaxBuffers, SoftmaxGrad, twin,
};

/// Rows of 7 classes that travel one row at a time: as many parts as rows.
const CLASSES: usize = 7;
const COUNT: usize = 40;

fn in_parts() -> Gpu {
    let options = GpuOptions {
        part_bytes: 1,
        ..GpuOptions::default()
    };
    Gpu::with_options(&options).unwrap()
}

fn batch() -> (Vec<f32>, Rows) {
    (Random(61).logits(COUNT * CLASSES, 3.0), Rows::new(COUNT, CLASSES))
}

#[track_caller]
fn is_right(x: &[f32], y: &[f32]) {
    let expected: Vec<f32> = x.chunks(CLASSES).flat_map(twin::softmax).collect();
    let options = Softmax::default();
    same_bits(
        &Subject::new::<f32>("softmax", Rows::new(COUNT, CLASSES), &options),
        "y",
        y,
        &expected,
    );
}

/// A call through each way that a `Gpu` waits for its device.
#[track_caller]
fn computes(gpu: &Gpu) {
    let (x, rows) = batch();
    is_right(&x, &gpu.softmax(&x, rows, &Softmax::default()).unwrap());
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        ..CrossEntropy::default()
    };
    let targets = [3u8; COUNT];
    let out = pollster::block_on(gpu.cross_entropy_async(&x, &targets, rows, &options)).unwrap();
    let (losses, gradient) = (out.row_losses.unwrap(), out.gradient.unwrap());
    let twins = x.chunks(CLASSES).map(|x| twin::cross_entropy(x, 3, 1.0 / COUNT as f32));
    let (twin_losses, twin_gradients): (Vec<f32>, Vec<Vec<f32>>) = twins.unzip();
    let subject = Subject::new::<f32>("cross_entropy_async", rows, &options);
    same_bits(&subject, "row losses", &losses, &twin_losses);
    same_bits(&subject, "gradient", &gradient, &twin_gradients.concat());
}

type Call = fn(&Gpu) -> Result<(), RunError>;

/// Every operation on slices, blocking or not.
const CALLS: [(&str, Call); 8] = [
    ("softmax", |gpu| {
        let (x, rows) = batch();
        gpu.softmax(&x, rows, &Softmax::default()).map(|_| ())
    }),
    ("softmax_async", |gpu| {
        let (x, rows) = batch();
        pollster::block_on(gpu.softmax_async(&x, rows, &Softmax::default())).map(|_| ())
    }),
    ("softmax_grad", |gpu| {
        let (x, rows) = batch();
        gpu.softmax_grad(&x, &x, None, rows, &SoftmaxGrad::default())
            .map(|_| ())
    }),
    ("softmax_jacobian", |gpu| {
        let (x, rows) = batch();
        gpu.softmax_jacobian(&x, rows, &Softmax::default()).map(|_| ())
    }),
    ("logsumexp", |gpu| {
        let (x, rows) = batch();
        gpu.logsumexp(&x, rows, &LogSumExp::default()).map(|_| ())
    }),
    ("cross_entropy", |gpu| {
        let (x, rows) = batch();
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            lse: true,
            ..CrossEntropy::default()
        };
        gpu.cross_entropy(&x, &[0u8; COUNT], rows, &options).map(|_| ())
    }),
    ("cross_entropy_async", |gpu| {
        let (x, rows) = batch();
        pollster::block_on(gpu.cross_entropy_async(&x, &[0u8; COUNT], rows, &CrossEntropy::default())).map(|_| ())
    }),
    ("binary_cross_entropy_with_logits", |gpu| {
        let (x, rows) = batch();
        gpu.binary_cross_entropy_with_logits(&x, &x, rows, &BinaryCrossEntropy::default())
            .map(|_| ())
    }),
];

#[track_caller]
fn says_lost(what: &str, result: Result<(), RunError>) {
    match result {
        Err(RunError::DeviceLost { .. }) => {}
        other => panic!("{what} on a lost device: {other:?}, but Err(DeviceLost) is expected"),
    }
}

#[test]
fn a_device_lost_before_a_call() {
    // A device that has made no pipeline yet, and one that has; and for each a device whose callbacks are the caller's.
    for is_warm in [false, true] {
        let lost = Gpu::new().unwrap();
        let shared = Gpu::from_device(lost.device().clone(), lost.queue().clone()).unwrap();
        if is_warm {
            for (name, call) in CALLS {
                call(&lost).unwrap_or_else(|e| panic!("{name}: {e}"));
            }
        }
        lost.device().destroy();
        for (name, call) in CALLS {
            says_lost(name, call(&lost));
            says_lost(name, call(&shared));
        }
        // A call that only records may or may not find out, but it returns.
        let _ = Softmax::default().prepare(&lost, Rows::new(2, 3));
    }
    computes(&Gpu::new().unwrap());
    computes(gpu());
}

#[test]
fn a_device_lost_between_recording_and_submitting() {
    let lost = Gpu::new().unwrap();
    let kernel = Softmax::default().prepare(&lost, Rows::new(2, 4)).unwrap();
    let buffer = || {
        lost.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 32,
            usage: Usage::STORAGE,
            mapped_at_creation: false,
        })
    };
    let (logits, result) = (buffer(), buffer());
    let buffers = SoftmaxBuffers::new(logits.slice(..), Some(result.slice(..)));
    let mut encoder = lost.device().create_command_encoder(&Default::default());
    kernel.encode(&mut encoder, &buffers).unwrap();
    lost.device().destroy();
    // Recording again may succeed or fail; the submission ignores it.
    let _ = kernel.encode(&mut encoder, &buffers);
    lost.queue().submit([encoder.finish()]);
    says_lost("softmax", CALLS[0].1(&lost));
    computes(&Gpu::new().unwrap());
}

/// The device is destroyed when a certain part is done, and then by another thread at any moment.
#[test]
fn a_device_lost_while_a_batch_streams_through() {
    let (x, rows) = batch();
    for is_async in [false, true] {
        for part in [1, COUNT / 2, COUNT - 1] {
            let lost = in_parts();
            let device = lost.device().clone();
            let lost = lost.with_progress(move |done, _| {
                if done == part {
                    device.destroy();
                }
            });
            let result = if is_async {
                pollster::block_on(lost.softmax_async(&x, rows, &Softmax::default()))
            } else {
                lost.softmax(&x, rows, &Softmax::default())
            };
            says_lost(&format!("part {part}"), result.map(|_| ()));
        }
    }
    let mut lost_count = 0;
    for spins in 0..8 {
        let lost = in_parts();
        CALLS[0].1(&lost).unwrap();
        let device = lost.device().clone();
        let started = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&started);
        let lost = lost.with_progress(move |_, _| told.store(true, Ordering::Release));
        let killer = std::thread::spawn(move || {
            while !started.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            (0..spins * spins * 20_000).for_each(|_| std::hint::spin_loop());
            device.destroy();
        });
        match lost.softmax(&x, rows, &Softmax::default()) {
            Ok(y) => is_right(&x, &y),
            error => {
                lost_count += 1;
                says_lost("in a batch", error.map(|_| ()));
            }
        }
        killer.join().unwrap();
        says_lost("after it", CALLS[5].1(&lost));
    }
    println!("{lost_count} of 8 batches were lost on their way, the others came through whole");
    computes(&Gpu::new().unwrap());
}

#[test]
fn memory_that_is_not_there() {
    let alive = gpu();
    // More than a device's largest buffer, and shapes whose elements cannot be counted.
    let out_of_memory = |result: Result<(), EncodeError>| match result {
        Err(error @ (EncodeError::OutOfMemory { .. } | EncodeError::TooLarge { .. })) => error.to_string(),
        other => panic!("{other:?}, but an error for want of memory is expected"),
    };
    let most = alive.device().limits().max_buffer_size as usize;
    for rows in [
        Rows::new(most, 5),
        Rows::new(1 << 33, 1),
        Rows::new(1 << 60, 1),
        Rows::new(2, 3).with_row_stride(1 << 60),
        Rows::new(usize::MAX, usize::MAX),
        Rows::of_shape(&[1 << 20, 3, 1 << 20], 1).unwrap(),
    ] {
        let binary = BinaryCrossEntropy::default();
        for message in [
            out_of_memory(Softmax::default().prepare(alive, rows).map(|_| ())),
            out_of_memory(SoftmaxGrad::default().prepare(alive, rows).map(|_| ())),
            out_of_memory(LogSumExp::default().prepare(alive, rows).map(|_| ())),
            out_of_memory(CrossEntropy::default().prepare(alive, rows).map(|_| ())),
            out_of_memory(binary.prepare(alive, rows).map(|_| ())),
        ] {
            assert!(
                message.contains(|c: char| c.is_ascii_digit()),
                "{rows:?}: «{message}», but numbers are expected in it"
            );
        }
        // Slices are never that long.
        let short = alive.softmax(&[0f32; 4], rows, &Softmax::default());
        assert_is!(
            format!("softmax of 4 logits as {rows:?}"),
            short,
            Err(RunError::Encode(_) | RunError::WrongLength { .. })
        );
        computes(alive);
    }
    // A batch of 0 rows is empty, whatever their length.
    let empty = Softmax::default().prepare(alive, Rows::new(0, usize::MAX)).map(|_| ());
    assert_is!("preparing 0 rows of usize::MAX classes", empty, Ok(()));
    let square = Rows::new(40_000, 40_000);
    out_of_memory(Softmax::default().prepare_jacobian(alive, square).map(|_| ()));
    computes(alive);
}

/// A mistake of other code on the device, with no error scope open for it.
fn mistake(device: &wgpu::Device) {
    let _ = device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("a mistake"),
        size: 16,
        usage: Usage::MAP_READ | Usage::STORAGE | Usage::MAP_WRITE,
        mapped_at_creation: false,
    });
}

#[test]
fn a_validation_error_that_nobody_caught() {
    // On a device of the crate's own the next call reports it, once.
    let own = Gpu::new().unwrap();
    for (name, call) in CALLS {
        mistake(own.device());
        match call(&own) {
            Err(RunError::Device { message }) => {
                assert!(
                    message.contains("a mistake"),
                    "{name}: «{message}», but the buffer's label is expected in it"
                );
            }
            other => panic!("{name}: {other:?}, but Err(Device) is expected"),
        }
        computes(&own);
    }
    // On the caller's device only the caller's handler hears of it, and calls in other threads go on.
    let device = Gpu::new().unwrap();
    let heard = Arc::new(Mutex::new(0));
    let count = Arc::clone(&heard);
    let handler = move |_: wgpu::Error| *count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    device.device().on_uncaptured_error(Arc::new(handler));
    let shared = Gpu::from_device(device.device().clone(), device.queue().clone()).unwrap();
    computes(&shared);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..20).for_each(|_| mistake(shared.device())));
        (0..5).for_each(|_| computes(&shared));
    });
    assert_eq!(
        *heard.lock().unwrap(),
        20,
        "how many of 20 mistakes the caller's handler heard of"
    );
}

#[test]
fn a_panic_in_a_callers_thread() {
    let (x, rows) = batch();
    let shared = in_parts();
    for part in [1, COUNT / 2, COUNT] {
        let panics = shared.with_progress(move |done, _| assert_ne!(done, part, "a panic of the test's"));
        // Half of the batch is in flight.
        let result = catch_unwind(AssertUnwindSafe(|| panics.softmax(&x, rows, &Softmax::default())));
        assert!(
            result.is_err(),
            "softmax after a panic in its progress callback at part {part}: the panic was swallowed"
        );
        computes(&shared);
        let thread = std::thread::spawn({
            let x = x.clone();
            move || pollster::block_on(panics.softmax_async(&x, rows, &Softmax::default())).map(|_| ())
        });
        computes(&shared);
        let joined = thread.join();
        assert!(
            joined.is_err(),
            "softmax_async with a panic at part {part}: {joined:?}, but the panic is expected"
        );
        computes(&shared);
    }
    // A panic in the handler of errors, which wgpu may call while a call of this crate runs in another thread.
    let device = Gpu::new().unwrap();
    device
        .device()
        .on_uncaptured_error(Arc::new(|_| panic!("a panic of the test's")));
    let shared = Gpu::from_device(device.device().clone(), device.queue().clone()).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| mistake(shared.device())));
    assert!(caught.is_err(), "a panic in the handler of errors was swallowed");
    computes(&shared);
}

#[test]
fn calls_that_are_given_up() {
    let (x, rows) = batch();
    let shared = in_parts();
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let plain = Softmax::default();
    let mut context = Context::from_waker(Waker::noop());
    let mut given_up = 0;
    for polls in (0..200).step_by(10) {
        let mut softmax = pin!(shared.softmax_async(&x, rows, &plain));
        let mut loss = pin!(shared.cross_entropy_async(&x, &[1u8; COUNT], rows, &options));
        // On OpenGL the second waits for the first. Neither may hold up the calls after them.
        let pending = |done: bool| usize::from(!done);
        let (mut first, mut second) = (false, false);
        for _ in 0..polls {
            first = first || softmax.as_mut().poll(&mut context).is_ready();
            second = second || loss.as_mut().poll(&mut context).is_ready();
            std::thread::yield_now();
        }
        given_up += pending(first) + pending(second);
    }
    computes(&shared);
    println!("{given_up} of 40 calls were given up before their end");
    assert!(given_up > 0, "each of 40 calls ended before it could be given up");
}
