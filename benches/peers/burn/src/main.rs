//! burn's softmax and cross-entropy (forward + backward) on its Vulkan device, timed: one JSON object a line.
//!
//! `wgpu-softmax-peer-burn [ROWSxCLASSES ...]`; built with `--features fusion` it runs as burn's defaults do.

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, DeviceKind, Int, Tensor, TensorData};
use std::time::Instant;

const PEER: &str = if cfg!(feature = "fusion") {
    "burn 0.22.1, fusion + autotune"
} else {
    "burn 0.22.1"
};
const SHAPES: [&str; 5] = ["8192x64", "4096x1024", "1024x4096", "128x32000", "32x128256"];
const WARM_UP: usize = 3;
const RUNS: usize = 9;

fn main() {
    let mut shapes: Vec<String> = std::env::args().skip(1).collect();
    if shapes.is_empty() {
        shapes = SHAPES.map(String::from).to_vec();
    }
    let device = Device::vulkan(DeviceKind::DefaultDevice); // CUBECL_WGPU_DEFAULT_DEVICE=Cpu, DiscreteGpu(1) … overrides
    let adapter = device
        .identity()
        .map_or_else(|| "unknown".into(), |identity| identity.name);
    for shape in &shapes {
        let (rows, classes) = parse(shape);
        let report = |op: &str, ms: f64| {
            println!(
                "{{\"peer\":\"{PEER}\",\"op\":\"{op}\",\"rows\":{rows},\"classes\":{classes},\"dtype\":\"f32\",\"adapter\":{adapter:?},\
                 \"ms\":{ms:.4}}}"
            );
        };
        report("softmax", time_softmax(&device, rows, classes));
        report("cross-entropy", time_cross_entropy(&device, rows, classes));
    }
}

fn parse(shape: &str) -> (usize, usize) {
    let sides = shape
        .split_once('x')
        .and_then(|(rows, classes)| Some((rows.parse().ok()?, classes.parse().ok()?)));
    sides.unwrap_or_else(|| panic!("{shape} is not ROWSxCLASSES"))
}

/// Logits within ±0.5, unsorted.
fn logits(device: &Device, rows: usize, classes: usize) -> Tensor<2> {
    let mut state = 1_u32;
    let values: Vec<f32> = (0..rows * classes)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect();
    Tensor::from_data(TensorData::new(values, [rows, classes]), device)
}

fn time_softmax(device: &Device, rows: usize, classes: usize) -> f64 {
    let x = logits(device, rows, classes);
    for sum in host(softmax(x.clone(), 1).sum_dim(1).reshape([rows])) {
        assert!((sum - 1.0).abs() < 1e-4, "a row of probabilities adds up to {sum}");
    }
    let last = host(
        softmax(x.clone(), 1)
            .slice([rows - 1..rows, 0..classes])
            .reshape([classes]),
    );
    let x_last = host(x.clone().slice([rows - 1..rows, 0..classes]).reshape([classes]));
    for (got, want) in last.iter().zip(probabilities(&x_last)) {
        assert!(
            (f64::from(*got) - want).abs() < 1e-4 * want,
            "a probability is {got}, not {want}"
        );
    }
    median(device, || softmax(x.clone(), 1))
}

fn time_cross_entropy(device: &Device, rows: usize, classes: usize) -> f64 {
    let device = device.clone().autodiff();
    let x = logits(&device, rows, classes);
    let labels: Vec<i32> = (0..rows).map(|row| (row * 7919 % classes) as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [rows]), &device);
    let criterion = CrossEntropyLossConfig::new().init(&device);

    let (loss, gradient) = forward_backward(&criterion, &x, &targets);
    let (loss, expected) = (host(loss)[0], (classes as f32).ln());
    assert!(
        (loss - expected).abs() < 0.2,
        "the loss is {loss}, not about ln {classes} = {expected}"
    );
    let last = host(gradient.slice([rows - 1..rows, 0..classes]).reshape([classes]));
    let mut want = probabilities(&host(x.clone().slice([rows - 1..rows, 0..classes]).reshape([classes])));
    want[labels[rows - 1] as usize] -= 1.0;
    for (got, want) in last.iter().zip(want) {
        let want = want / rows as f64;
        assert!(
            (f64::from(*got) - want).abs() < 1e-4 * want.abs() + 1e-9,
            "a gradient is {got}, not {want}"
        );
    }
    median(&device, || forward_backward(&criterion, &x, &targets))
}

/// The mean loss, and its gradient.
fn forward_backward(criterion: &CrossEntropyLoss, x: &Tensor<2>, targets: &Tensor<1, Int>) -> (Tensor<1>, Tensor<2>) {
    let x = x.clone().require_grad();
    let loss = criterion.forward(x.clone(), targets.clone());
    let gradients = loss.backward();
    (loss, x.grad(&gradients).expect("x was required to have a gradient"))
}

fn probabilities(x: &[f32]) -> Vec<f64> {
    let exps: Vec<f64> = x.iter().map(|&x| f64::from(x).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.iter().map(|e| e / sum).collect()
}

fn host(x: Tensor<1>) -> Vec<f32> {
    x.into_data().try_to_vec().expect("f32 values")
}

/// Milliseconds of one run, including the wait until the device has finished. The results live until then, so that burn cannot skip them.
fn median<T>(device: &Device, mut run: impl FnMut() -> T) -> f64 {
    let mut once = || {
        let start = Instant::now();
        let result = run();
        device.sync().expect("the device finishes");
        drop(result);
        start.elapsed().as_secs_f64() * 1e3
    };
    let warm = (0..WARM_UP).map(|_| once()).fold(f64::INFINITY, f64::min);
    let runs = if warm > 300.0 { 3 } else { RUNS };
    let mut times: Vec<f64> = (0..runs).map(|_| once()).collect();
    times.sort_by(f64::total_cmp);
    times[runs / 2]
}
