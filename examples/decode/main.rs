//! A language model decoded on the device. It is a small one, of characters, and first learns a page of text through this library's
//! cross-entropy. Then it writes: logits, sampling and the next step's input are recorded one after the other, for all tokens, and
//! only the finished text is read back.
//!
//! `cargo run --example decode` prints what it writes with several parameters, and checks that a request's text depends on nothing
//! but its prompt, parameters and seed: not on the batch that it is in, on its row, or on the adapter.

mod decode;
#[path = "../digits/device.rs"]
#[allow(
    dead_code,
    reason = "here all kernels are recorded in one pass, there each has its own"
)]
mod device;
mod model;
mod text;
mod train;

use decode::{DRAWN, Decoder, Request};
use model::{Model, Weights};
use std::error::Error;
use std::sync::Arc;
use std::time::Instant;
use text::Vocabulary;
use wgpu_softmax::{Gpu, GpuOptions, SampleParams, wgpu};

fn requests() -> [Request; 5] {
    let default = SampleParams::default();
    [
        Request {
            name: "greedy",
            prompt: "The temperature says",
            params: SampleParams::greedy(),
        },
        Request {
            name: "temperature 0.8",
            prompt: "The temperature says",
            params: SampleParams {
                temperature: 0.8,
                ..default
            }
            .at(1, 0),
        },
        Request {
            name: "top_k 5",
            prompt: "A number ",
            params: SampleParams { top_k: 5, ..default }.at(2, 0),
        },
        Request {
            name: "top_p 0.9, repetition penalty 1.1",
            prompt: "Rare tokens ",
            params: SampleParams {
                top_p: 0.9,
                repetition_penalty: 1.1,
                ..default
            }
            .at(3, 0),
        },
        Request {
            name: "temperature 1.5, min_p 0.05, frequency penalty 0.02",
            prompt: "The model ",
            params: SampleParams {
                temperature: 1.5,
                min_p: 0.05,
                frequency_penalty: 0.02,
                ..default
            }
            .at(4, 0),
        },
    ]
}

/// The requests' texts as one batch, which must be those of the batch in another order, and of each request alone.
fn decode(
    gpu: &Gpu,
    vocabulary: &Vocabulary,
    weights: &Weights,
    requests: &[&Request],
) -> Result<Vec<String>, Box<dyn Error>> {
    let model = Model::new(gpu, weights);
    let batch = Decoder::new(gpu, vocabulary, &model, requests.len())?;
    let alone = Decoder::new(gpu, vocabulary, &model, 1)?;
    let texts = batch.run(requests)?;
    // Timed the second time, when the driver has compiled all kernels.
    let start = Instant::now();
    let reversed: Vec<_> = requests.iter().rev().copied().collect();
    let mut in_reverse = batch.run(&reversed)?;
    in_reverse.reverse();
    let seconds = start.elapsed().as_secs_f64();
    println!("{} times {DRAWN} characters in {seconds:.2} s", requests.len());
    for ((request, text), other) in requests.iter().zip(&texts).zip(&in_reverse) {
        let [by_itself] = alone.run(&[request])?.try_into().map_err(|_| "one row has one text")?;
        same(text, other, request, "in another row")?;
        same(text, &by_itself, request, "alone")?;
    }
    println!("the same in another order, and each one alone");
    Ok(texts)
}

fn same(text: &str, other: &str, request: &Request, place: &str) -> Result<(), Box<dyn Error>> {
    if text == other {
        return Ok(());
    }
    let name = request.name;
    Err(format!("{name}: {text:?} became {other:?} {place}").into())
}

/// All adapters that are found, or those of WGPU_BACKEND and WGPU_ADAPTER_NAME.
fn gpus() -> Result<Vec<Gpu>, Box<dyn Error>> {
    let adapters = pollster::block_on(wgpu_softmax::adapters(&GpuOptions::default()))?;
    let gpu = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        let gpu = Gpu::with_options(&GpuOptions {
            backends: Some(info.backend.into()),
            adapter_name: Some(info.name),
            ..GpuOptions::default()
        })?;
        // A Gpu keeps errors for its next call on host slices, and there is none here: a mistake in the example's own kernels would
        // only be seen in what they write.
        gpu.device().on_uncaptured_error(Arc::new(|error| panic!("{error}")));
        Ok(gpu)
    };
    adapters.iter().map(gpu).collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let gpus = gpus()?;
    let text = text::load();
    let vocabulary = Vocabulary::of(&text);
    let requests = requests();
    let requests: Vec<_> = requests.iter().collect();
    let mut learnt: Option<(Weights, Vec<String>)> = None;
    for gpu in &gpus {
        println!("adapter: {} ({})", gpu.adapter_info().name, gpu.adapter_info().backend);
        match &learnt {
            None => {
                let weights = train::train(gpu, &vocabulary.tokens(&text)?, vocabulary.len())?;
                let texts = decode(gpu, &vocabulary, &weights, &requests)?;
                for (request, text) in requests.iter().zip(&texts) {
                    println!(
                        "\n{}\n    {}[{}]",
                        request.name,
                        request.prompt,
                        text.replace('\n', "\n    ")
                    );
                }
                println!();
                learnt = Some((weights, texts));
            }
            Some((weights, texts)) => {
                let others = decode(gpu, &vocabulary, weights, &requests)?;
                for ((request, text), other) in requests.iter().zip(texts).zip(&others) {
                    same(text, other, request, "on this adapter")?;
                }
                println!("the same as on the first adapter");
            }
        }
    }
    if learnt.is_none() {
        return Err("there is no adapter".into());
    }
    Ok(())
}
