//! What `linear_cross_entropy` holds, by Burn's own counter. The only test of its binary, since others would be counted too.
#![allow(clippy::unwrap_used)]

use burn::tensor::wgpu::MemoryConfiguration;
use burn::tensor::{Device, Int, Tensor, TensorData};
use burn_wgpu_softmax::linear_cross_entropy;
use burn_wgpu_softmax::wgpu_softmax::CrossEntropy;
use burn_wgpu_softmax::wgpu_softmax::testing::Random;

const ROWS: usize = 512;
const FEATURES: usize = 64;
const CLASSES: usize = 4000;

/// Bytes that the device has reserved, where each allocation has a page of its own.
fn reserved(device: &Device) -> u64 {
    device.sync().unwrap();
    device.memory_cleanup();
    device.sync().unwrap();
    device.memory_pool_usage().unwrap().bytes_reserved
}

#[test]
fn the_budget_is_kept() {
    let options = Device::wgpu_options().memory_config(MemoryConfiguration::ExclusivePages);
    let (device, setup) = options.init_with_setup().unwrap();
    burn_wgpu_softmax::attach(&device, &setup).unwrap();
    let device = device.autodiff();
    let random = |shape: [usize; 2]| {
        let values = Random(shape[0] as u64).logits(shape[0] * shape[1], 0.5);
        Tensor::<2>::from_data(TensorData::new(values, shape), &device)
    };
    let (hidden, weight) = (random([ROWS, FEATURES]), random([FEATURES, CLASSES]));
    let labels: Vec<i32> = (0..ROWS).map(|row| (row * 31 % CLASSES) as i32).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(labels, [ROWS]), &device);
    let gradient_bytes = 4 * FEATURES * (ROWS + CLASSES);
    let logits = 4 * ROWS * CLASSES;
    // Inputs are made by the first run, which is not counted.
    let mut is_counted = false;
    for budget in [1 << 20, 1 << 20, 2 << 20, 4 << 20] {
        let before = reserved(&device);
        let [h, w] = [&hidden, &weight].map(|x| x.clone().require_grad());
        let loss = linear_cross_entropy(
            h.clone(),
            w.clone(),
            None,
            targets.clone(),
            &CrossEntropy::default(),
            budget,
        );
        let gradients = loss.backward();
        let made = (h.grad(&gradients).unwrap(), w.grad(&gradients).unwrap(), loss);
        drop(gradients);
        device.sync().unwrap();
        let held = device
            .memory_pool_usage()
            .unwrap()
            .bytes_reserved
            .saturating_sub(before) as usize;
        // What Burn needs for launches, and pages whose sizes differ so that one does not serve for another.
        let allowed = budget + gradient_bytes + (384 << 10);
        assert!(
            !is_counted || held <= allowed,
            "a budget of {budget} bytes and gradients of {gradient_bytes}: {held} bytes held, {allowed} allowed, {logits} of logits"
        );
        is_counted = true;
        drop((made, h, w));
    }
}
