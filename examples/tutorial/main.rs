//! The tutorial that this library comes from, "How to implement a neural network, intermezzo 2: softmax classification" by
//! Peter Roelants, step by step. Each formula is printed beside the call that computes it and the result, which is compared with
//! the formula in plain f64. The last section adds what the tutorial leaves out: how to compute the loss in f32.
//!
//! `cargo run --release --example tutorial [FOLDER]` writes its figures into FOLDER (`tutorial` by default), and fails if a
//! number is off by more than [`page::TOLERANCE`].

mod curves;
mod exact;
mod figure;
mod loss;
mod offset;
mod page;
mod softmax;
mod surface;
mod two_classes;

use page::Page;
use std::error::Error;
use std::path::PathBuf;
use wgpu_softmax::Gpu;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).unwrap_or_else(|| "tutorial".into()));
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let gpu = Gpu::new()?;
    println!("adapter: {} ({})", gpu.adapter_info().name, gpu.adapter_info().backend);
    let mut page = Page::new(folder);
    softmax::function(&gpu, &mut page)?;
    softmax::surface(&gpu, &mut page)?;
    softmax::derivative(&gpu, &mut page)?;
    loss::likelihood(&gpu, &mut page)?;
    loss::gradient(&gpu, &mut page)?;
    two_classes::logistic(&gpu, &mut page)?;
    two_classes::cross_entropy(&gpu, &mut page)?;
    offset::swallowed_digits(&gpu, &mut page)?;
    page.end()
}
