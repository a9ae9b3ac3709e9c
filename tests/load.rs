//! Many threads, many calls, and a `Gpu` that is dropped while it works. The long forms are ignored unless asked for:
//! `cargo test --test load -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

mod common;

use cap::Cap;
use common::{Random, Subject, bits, must, same_bits, stored};
use std::alloc::System;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use wgpu_softmax::half::bf16;
use wgpu_softmax::{CrossEntropy, Gpu, GpuOptions, Gradient, LogSumExp, Rows, Softmax, SoftmaxBuffers, twin, wgpu};

/// Counts what is allocated in Rust; what the driver allocates shows in the process's memory alone.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

/// One test at a time, so that a test measures no other test's memory.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The name of a call on a batch drawn from a seed, and the call; it returns the bits of all its results.
type Call = (&'static str, fn(&Gpu, u64) -> Vec<u32>);

/// Rows of 5 to 8 classes: a few kernels serve them all.
fn batch(seed: u64) -> (Vec<f32>, Rows, Vec<u32>) {
    let mut random = Random(seed + 1);
    random.bits();
    let (count, classes) = (1 + random.below(60), 5 + random.below(4));
    let x = random.logits(count * classes, 3.0);
    (x, Rows::new(count, classes), random.targets(count, classes))
}

const CALLS: [Call; 6] = [
    ("softmax", |gpu, seed| {
        let (x, rows, _) = batch(seed);
        bits(&gpu.softmax(&x, rows, &Softmax::default()).unwrap())
    }),
    ("softmax_async", |gpu, seed| {
        let (x, rows, _) = batch(seed);
        bits(&pollster::block_on(gpu.softmax_async(&x, rows, &Softmax::log())).unwrap())
    }),
    ("softmax of bf16", |gpu, seed| {
        let (x, rows, _) = batch(seed);
        let y = gpu.softmax(&stored::<bf16>(&x), rows, &Softmax::default()).unwrap();
        y.iter().map(|y| y.to_bits().into()).collect()
    }),
    ("logsumexp", |gpu, seed| {
        let (x, rows, _) = batch(seed);
        bits(&gpu.logsumexp(&x, rows, &LogSumExp::default()).unwrap())
    }),
    ("cross_entropy", |gpu, seed| {
        let (x, rows, targets) = batch(seed);
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            lse: true,
            ..CrossEntropy::default()
        };
        let out = gpu.cross_entropy(&x, &targets, rows, &options).unwrap();
        [out.gradient.unwrap(), out.lse.unwrap(), vec![out.loss.unwrap()]]
            .iter()
            .flat_map(|values| bits(values))
            .collect()
    }),
    ("cross_entropy of a bad target", |gpu, seed| {
        let (x, rows, mut targets) = batch(seed);
        targets[0] = 99;
        let error = gpu.cross_entropy(&x, &targets, rows, &CrossEntropy::default());
        error.unwrap_err().to_string().bytes().map(u32::from).collect()
    }),
];

/// Small parts, so that larger batches take several.
fn shared() -> Gpu {
    let options = GpuOptions {
        part_bytes: 1024,
        ..GpuOptions::default()
    };
    Gpu::with_options(&options).unwrap()
}

fn computes(gpu: &Gpu) {
    let (x, rows, _) = batch(0);
    let expected: Vec<f32> = x.chunks(rows.classes()).flat_map(twin::softmax).collect();
    let options = Softmax::default();
    let y = gpu.softmax(&x, rows, &options).unwrap();
    same_bits(&Subject::new::<f32>("softmax", rows, &options), "y", &y, &expected);
}

fn eight_threads(time: Duration) {
    let _alone = alone();
    const SEEDS: u64 = 50;
    let gpu = shared();
    computes(&gpu);
    let one_by_one = |(_, call): &Call| -> Vec<Vec<u32>> { (0..SEEDS).map(|seed| call(&gpu, seed)).collect() };
    let expected: Vec<Vec<Vec<u32>>> = CALLS.iter().map(one_by_one).collect();
    let (gpu, expected) = (&gpu, &expected);
    let end = Instant::now() + time;
    let calls: usize = std::thread::scope(|scope| {
        let thread = |seed| {
            move || {
                let mut random = Random(seed);
                let mut calls = 0;
                while calls == 0 || Instant::now() < end {
                    let (call, seed) = (random.below(CALLS.len()), random.below(SEEDS as usize));
                    let (name, run) = CALLS[call];
                    let (got, rows) = (run(gpu, seed as u64), batch(seed as u64).1);
                    let subject = Subject::new::<f32>(format!("{name}, among 8 threads, of batch {seed}"), rows, &());
                    must(subject.each("the result's bits", &got, &expected[call][seed]));
                    calls += 1;
                }
                calls
            }
        };
        let threads: Vec<_> = (1..=8).map(|seed| scope.spawn(thread(seed))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!(
        "{calls} calls by 8 threads in {} s, every result the same bits",
        time.as_secs()
    );
}

#[test]
fn eight_threads_share_one_gpu() {
    eight_threads(Duration::from_secs(2));
}

#[test]
#[ignore = "takes a minute"]
fn eight_threads_share_one_gpu_for_a_minute() {
    eight_threads(Duration::from_secs(60));
}

/// Bytes of this process in memory, where the system says.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    // Pages, of 4 KiB on the systems that tests run on.
    Some(text.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4096)
}

/// Bytes that wgpu has allocated on the device, where its backend says.
fn on_device(gpu: &Gpu) -> Option<u64> {
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    Some(gpu.device().generate_allocator_report()?.total_allocated_bytes)
}

fn flat_memory(calls: u64) {
    let _alone = alone();
    let gpu = shared();
    // Until all that is kept from call to call is there: kernels, parameters, and what allocators hold back.
    let warm = calls / 4;
    let run = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            let (_, call) = CALLS[seed as usize % CALLS.len()];
            call(&gpu, seed);
        }
        let device = on_device(&gpu);
        [
            ("heap", Some(HEAP.allocated() as u64)),
            ("process", resident()),
            ("device", device),
        ]
    };
    let before = run(0..warm);
    let after = run(warm..calls);
    for ((which, before), (_, after)) in before.into_iter().zip(after) {
        let (Some(before), Some(after)) = (before, after) else {
            println!("{which}: not measured, as nothing here tells it");
            continue;
        };
        println!("{which}: {before} bytes after {warm} calls, {after} after {calls}");
        // Of the up to 256 parameters that are kept, there are more at one time than at another.
        let grown = after.saturating_sub(before);
        assert!(
            grown < 1 << 20,
            "the {which}'s memory: {before} bytes after {warm} calls and {after} after {calls}, which is {grown} more, \
             but less than {} more is expected",
            1 << 20
        );
    }
}

#[test]
fn memory_is_flat() {
    flat_memory(4_000);
}

#[test]
#[ignore = "takes minutes"]
fn memory_is_flat_over_100_000_calls() {
    flat_memory(100_000);
}

#[test]
fn a_gpu_dropped_while_it_works() {
    let _alone = alone();
    let plain = Softmax::default();
    for round in 0..3 {
        // Recorded and submitted, and nobody waits.
        let gpu = shared();
        let rows = Rows::new(20_000, 8);
        let in_place = Softmax {
            in_place: true,
            ..Softmax::default()
        };
        let kernel = in_place.prepare(&gpu, rows).unwrap();
        let logits = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size: 640_000,
            usage: wgpu::BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        for _ in 0..20 {
            kernel
                .encode(&mut encoder, &SoftmaxBuffers::new(logits.slice(..), None))
                .unwrap();
        }
        gpu.queue().submit([encoder.finish()]);
        // A call that is given up, some way on.
        let x = Random(7).logits(160_000, 3.0);
        {
            let mut call = pin!(gpu.softmax_async(&x, rows, &plain));
            for _ in 0..round {
                let _ = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            }
        }
        // A call in another thread keeps it alive until its end.
        let last = gpu.clone();
        let thread = std::thread::spawn(move || computes(&last));
        drop((kernel, logits, gpu));
        thread.join().unwrap();
    }
    computes(&shared());
}
