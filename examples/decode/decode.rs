//! Decoding. Nothing leaves the device between two tokens: the one that is drawn is appended to its row's text, which is what the
//! model sees in the next step, and the history that penalties count.

use crate::device::{Kernel, buffer, read};
use crate::model::{Forward, HIDDEN, Model, Seen};
use crate::text::Vocabulary;
use std::error::Error;
use wgpu_softmax::wgpu::Buffer;
use wgpu_softmax::{Bound, Gpu, History, NO_TOKEN, Rows, Sample, SampleBuffers, SampleParams, SampleRows, Words};

/// Characters that are drawn for each request, and those that its prompt may have besides.
pub(crate) const DRAWN: usize = 160;
const LENGTH: usize = DRAWN + 32;

/// What one row is asked for.
pub(crate) struct Request {
    pub(crate) name: &'static str,
    pub(crate) prompt: &'static str,
    /// Its seed is the request's own, so that its numbers do not depend on its row. Prompt and position are set here.
    pub(crate) params: SampleParams,
}

/// A batch of so many rows, whose requests may differ in everything.
pub(crate) struct Decoder<'a> {
    gpu: &'a Gpu,
    vocabulary: &'a Vocabulary,
    rows: usize,
    text: Buffer,
    /// Where the next character of each row comes in `text`.
    ends: Buffer,
    params: Buffer,
    forward: Forward,
    sample: Bound,
    append: Kernel,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(
        gpu: &'a Gpu,
        vocabulary: &'a Vocabulary,
        model: &Model,
        rows: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let (text, ends, tokens) = (buffer(gpu, rows * LENGTH), buffer(gpu, rows), buffer(gpu, rows));
        let params = buffer(gpu, rows * size_of::<SampleParams>() / 4);
        let (hidden, logits) = (buffer(gpu, rows * HIDDEN), buffer(gpu, rows * model.classes));
        let seen = Seen {
            rows,
            text: &text,
            ends: &ends,
            stride: LENGTH,
        };
        let options = Sample {
            rows: SampleRows::Buffer,
            history: Some(History {
                length: LENGTH,
                tokens: Words::Buffer,
            }),
            ..Sample::default()
        };
        let buffers = SampleBuffers {
            params: Some(params.slice(..)),
            history: Some(text.slice(..)),
            ..SampleBuffers::new(logits.slice(..), tokens.slice(..))
        };
        Ok(Self {
            forward: Forward::new(gpu, model, &seen, &hidden, &logits),
            sample: options.prepare(gpu, Rows::new(rows, model.classes))?.bind(&buffers)?,
            append: Kernel::new(
                gpu,
                include_str!("append.wgsl"),
                &[("ROWS", rows as f64), ("STRIDE", LENGTH as f64)],
                &[tokens.slice(..), text.slice(..), ends.slice(..), params.slice(..)],
                rows,
            ),
            gpu,
            vocabulary,
            rows,
            text,
            ends,
            params,
        })
    }

    /// What is written after each prompt.
    pub(crate) fn run(&self, requests: &[&Request]) -> Result<Vec<String>, Box<dyn Error>> {
        let mut text = vec![NO_TOKEN; self.rows * LENGTH];
        let (mut ends, mut params) = (Vec::new(), Vec::new());
        for ((row, request), text) in requests.iter().enumerate().zip(text.chunks_mut(LENGTH)) {
            let prompt = self.vocabulary.tokens(request.prompt)?;
            text.get_mut(..prompt.len())
                .ok_or("the prompt is too long")?
                .copy_from_slice(&prompt);
            ends.push((row * LENGTH + prompt.len()) as u32);
            params.push(SampleParams {
                prompt_length: prompt.len() as u32,
                ..request.params
            });
        }
        let queue = self.gpu.queue();
        queue.write_buffer(&self.text, 0, bytemuck::cast_slice(&text));
        queue.write_buffer(&self.ends, 0, bytemuck::cast_slice(&ends));
        queue.write_buffer(&self.params, 0, bytemuck::cast_slice(&params));

        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for _step in 0..DRAWN {
            self.forward.record(&mut pass);
            self.sample.record(&mut pass);
            self.append.record(&mut pass);
        }
        drop(pass);
        let text: Vec<u32> = read(self.gpu, encoder, &self.text)?;
        let drawn = text.chunks(LENGTH).zip(&params).map(|(text, params)| {
            let begin = params.prompt_length as usize;
            self.vocabulary.text(&text[begin..begin + DRAWN])
        });
        drawn.collect()
    }
}
