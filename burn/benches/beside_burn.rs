//! `cargo bench -p burn-wgpu-softmax`: the time of Burn's softmax and loss beside that of ours, for the shapes of `benches/RESULTS.md`.

#[path = "../examples/digits/timing.rs"]
mod timing;

const SHAPES: [[usize; 2]; 5] = [[8192, 64], [4096, 1024], [1024, 4096], [128, 32_000], [32, 128_256]];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let device = burn_wgpu_softmax::device()?.autodiff();
    let identity = device.identity().ok_or("Burn does not name its device")?;
    println!("adapter: {}", identity.name);
    SHAPES.iter().try_for_each(|&shape| timing::beside_burn(shape, &device))
}
