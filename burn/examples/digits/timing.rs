//! Times Burn's own operations and ours, one after the other in one process.

use burn::nn::loss::CrossEntropyLossConfig;
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use burn_wgpu_softmax::wgpu_softmax::{CrossEntropy, Upstream};
use burn_wgpu_softmax::{CrossEntropyLoss, cross_entropy};
use std::error::Error;
use std::time::{Duration, Instant};

/// The median time of nine runs, after three that compile. Results live until the device is done, so that Burn cannot skip them.
fn median<T>(device: &Device, mut run: impl FnMut() -> T) -> Result<Duration, Box<dyn Error>> {
    let mut times = Vec::new();
    for i in 0..12 {
        device.sync()?;
        let start = Instant::now();
        let made = run();
        device.sync()?;
        if i >= 3 {
            times.push(start.elapsed());
        }
        drop(made);
    }
    times.sort();
    Ok(times[times.len() / 2])
}

/// Prints the times of the loss with its gradient, and of softmax, for a batch of this many rows and classes.
pub(crate) fn beside_burn([rows, classes]: [usize; 2], device: &Device) -> Result<(), Box<dyn Error>> {
    let values: Vec<f32> = (0..rows * classes)
        .map(|i| ((i * 7919) % 10_007) as f32 / 1e3 - 5.0)
        .collect();
    let x = Tensor::<2>::from_data(TensorData::new(values, [rows, classes]), device);
    let labels: Vec<i32> = (0..rows).map(|row| (row * 31 % classes) as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(labels, [rows]), device);
    let theirs = CrossEntropyLossConfig::new().init(device);
    let ours = CrossEntropyLoss::from(theirs.clone());
    let both = |loss: &dyn Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>| {
        median(device, || {
            let x = x.clone().require_grad();
            let loss = loss(x.clone(), targets.clone());
            let gradients = loss.backward();
            (loss, x.grad(&gradients))
        })
    };
    let report = |what: &str, theirs: Duration, ours: Duration| {
        let [theirs, ours] = [theirs, ours].map(|t| t.as_secs_f64() * 1e3);
        let faster = theirs / ours;
        println!("{rows} x {classes}, {what}: Burn {theirs:.1} ms, ours {ours:.1} ms: {faster:.1} times as fast");
    };
    let their_loss = both(&|x, targets| theirs.forward(x, targets))?;
    report(
        "loss and gradient",
        their_loss,
        both(&|x, targets| ours.forward(x, targets))?,
    );
    let two_passes = CrossEntropy {
        upstream: Upstream::Buffer,
        ..CrossEntropy::default()
    };
    report(
        "loss and gradient in two passes",
        their_loss,
        both(&|x, targets| cross_entropy(x, targets, 1, &two_passes))?,
    );
    let x = x.clone().inner();
    let their_softmax = median(device, || activation::softmax(x.clone(), 1))?;
    let our_softmax = median(device, || burn_wgpu_softmax::softmax(x.clone(), 1))?;
    report("softmax", their_softmax, our_softmax);
    Ok(())
}
