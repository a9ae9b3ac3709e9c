//! A small network on the UCI digits, trained with Burn twice from the same weights: with Burn's own cross-entropy, and with ours.
//!
//! `cargo run --release -p burn-wgpu-softmax --example digits` prints the losses of both and their difference, then the time
//! of each loss with its gradient, and of softmax, for a batch as large as a language model's.
#![allow(unreachable_pub)] // Burn's derive makes its own types public

#[path = "../../../examples/digits/data.rs"]
mod data;
mod timing;

use burn::module::Module;
use burn::nn::loss::{CrossEntropyLoss as BurnLoss, CrossEntropyLossConfig};
use burn::nn::{Linear, LinearConfig};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use burn_wgpu_softmax::CrossEntropyLoss;
use data::{CLASSES, Images, PIXELS};
use std::error::Error;

const EPOCHS: usize = 20;
const HIDDEN: usize = 32;
const LEARNING_RATE: f64 = 0.2;
/// The largest difference that rounding may cause over 60 steps, with losses of about 1.
const TOLERANCE: f32 = 1e-4;
/// Rows and classes of the large batch.
const LARGE: [usize; 2] = [4096, 1024];

#[derive(Module, Debug)]
struct Network {
    first: Linear,
    last: Linear,
}

impl Network {
    fn new(device: &Device) -> Self {
        Self {
            first: LinearConfig::new(PIXELS, HIDDEN).init(device),
            last: LinearConfig::new(HIDDEN, CLASSES).init(device),
        }
    }

    fn logits(&self, pixels: Tensor<2>) -> Tensor<2> {
        self.last.forward(activation::relu(self.first.forward(pixels)))
    }
}

/// One of the two losses, as a function of logits and targets.
type Loss<'a> = &'a dyn Fn(Tensor<2>, Tensor<1, Int>) -> Tensor<1>;

fn tensors(images: &Images, device: &Device) -> (Tensor<2>, Tensor<1, Int>) {
    let rows = images.digits.len();
    let digits: Vec<i32> = images.digits.iter().map(|&d| d as i32).collect();
    let pixels = TensorData::new(images.pixels.clone(), [rows, PIXELS]);
    (
        Tensor::from_data(pixels, device),
        Tensor::from_data(TensorData::new(digits, [rows]), device),
    )
}

/// Trains, and returns the mean loss of each epoch and the network.
fn train(
    mut network: Network,
    train: &[Images],
    device: &Device,
    loss: Loss<'_>,
) -> Result<(Vec<f32>, Network), Box<dyn Error>> {
    let momentum = MomentumConfig::new().with_momentum(0.9);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).init();
    let mut losses = Vec::new();
    for _ in 0..EPOCHS {
        let mut total = 0.0;
        for images in train {
            let (pixels, digits) = tensors(images, device);
            let loss = loss(network.logits(pixels), digits);
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(LEARNING_RATE, network, gradients);
            total += loss.into_data().try_to_vec::<f32>()?[0];
        }
        losses.push(total / train.len() as f32);
    }
    Ok((losses, network))
}

fn accuracy(network: &Network, test: &Images, device: &Device) -> Result<f64, Box<dyn Error>> {
    let (pixels, digits) = tensors(test, device);
    let right = network
        .logits(pixels)
        .argmax(1)
        .reshape([test.digits.len()])
        .equal(digits);
    let right = right.int().sum().into_data().iter::<i64>().next().ok_or("no sum")?;
    Ok(100.0 * right as f64 / test.digits.len() as f64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = burn_wgpu_softmax::device()?.autodiff();
    let identity = device.identity().ok_or("Burn does not name its device")?;
    println!("adapter: {}", identity.name);
    let (batches, test) = data::load()?;
    let start = Network::new(&device);
    let theirs: BurnLoss = CrossEntropyLossConfig::new().init(&device);
    let ours = CrossEntropyLoss::from(theirs.clone());
    let theirs = |logits: Tensor<2>, targets| theirs.forward(logits, targets);
    let ours = |logits: Tensor<2>, targets| ours.forward(logits, targets);

    let (their_losses, their_network) = train(start.clone(), &batches, &device, &theirs)?;
    let (our_losses, our_network) = train(start, &batches, &device, &ours)?;
    println!("epoch  Burn's loss  ours");
    let mut furthest = 0f32;
    for (epoch, (theirs, ours)) in their_losses.iter().zip(&our_losses).enumerate() {
        println!("{:5}  {theirs:.7}    {ours:.7}", epoch + 1);
        furthest = furthest.max((theirs - ours).abs());
    }
    let their_accuracy = accuracy(&their_network, &test, &device)?;
    let our_accuracy = accuracy(&our_network, &test, &device)?;
    println!("test set: {their_accuracy:.2} % right with Burn's loss, {our_accuracy:.2} % with ours");
    println!("losses at most {furthest:.1e} apart, {TOLERANCE:.0e} allowed");

    timing::beside_burn(LARGE, &device)?;
    if furthest > TOLERANCE {
        return Err("the losses are further apart than rounding takes them".into());
    }
    Ok(())
}
