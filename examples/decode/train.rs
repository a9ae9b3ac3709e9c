//! Training: the model learns to tell each character of the text from those before it.

use crate::device::{Kernel, buffer, filled, read};
use crate::model::{CONTEXT, Forward, HIDDEN, Model, Seen, Weights};
use std::error::Error;
use wgpu_softmax::wgpu::{Buffer, ComputePass};
use wgpu_softmax::{Bound, CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gpu, Gradient, Rows};

const EPOCHS: usize = 40;
/// Characters of a batch.
const BATCH: usize = 256;

/// What all batches use.
struct Shared<'a> {
    gpu: &'a Gpu,
    model: &'a Model,
    text: Buffer,
    hidden: Buffer,
    logits: Buffer,
    hidden_gradient: Buffer,
    gradient: Buffer,
    output_moments: Buffer,
    embedding_moments: Buffer,
    /// The gradient of the embeddings.
    embedding_sums: Buffer,
    summary: Buffer,
}

impl<'a> Shared<'a> {
    fn new(gpu: &'a Gpu, model: &'a Model, text: &[u32]) -> Self {
        let units = BATCH * HIDDEN;
        let logits = BATCH * model.classes;
        let embeddings = CONTEXT * (model.classes + 1) * HIDDEN;
        Self {
            gpu,
            model,
            text: filled(gpu, bytemuck::cast_slice(text)),
            hidden: buffer(gpu, units),
            logits: buffer(gpu, logits),
            hidden_gradient: buffer(gpu, units),
            gradient: buffer(gpu, logits),
            output_moments: buffer(gpu, 2 * (HIDDEN + 1) * model.classes),
            embedding_moments: buffer(gpu, 2 * embeddings),
            embedding_sums: buffer(gpu, embeddings),
            summary: buffer(gpu, CrossEntropySummary::BYTES as usize / 4),
        }
    }
}

/// The kernels of a training step on a batch.
struct Step {
    forward: Forward,
    loss: Bound,
    hidden_gradient: Kernel,
    output: Kernel,
    embeddings: Kernel,
}

impl Step {
    /// `ends` are the places in the text of the characters that are to be told.
    fn new(shared: &Shared<'_>, text: &[u32], ends: &[u32]) -> Result<Self, Box<dyn Error>> {
        let (gpu, model, rows) = (shared.gpu, shared.model, ends.len());
        let targets: Vec<u32> = ends.iter().map(|&end| text[end as usize]).collect();
        let targets = filled(gpu, bytemuck::cast_slice(&targets));
        let ends = filled(gpu, bytemuck::cast_slice(ends));
        let seen = Seen {
            rows,
            text: &shared.text,
            ends: &ends,
            stride: 0,
        };
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            ..CrossEntropy::default()
        };
        let buffers = CrossEntropyBuffers {
            gradient: Some(shared.gradient.slice(..)),
            ..CrossEntropyBuffers::new(shared.logits.slice(..), targets.slice(..), shared.summary.slice(..))
        };
        let (hidden, output) = (shared.hidden.slice(..), model.output.slice(..));
        let (gradient, hidden_gradient) = (shared.gradient.slice(..), shared.hidden_gradient.slice(..));
        let (output_moments, embedding_moments) = (&shared.output_moments, &shared.embedding_moments);
        let constants = [("ROWS", rows as f64), ("CLASSES", model.classes as f64)];
        let kernel = |source, bound: &[_], count| Kernel::new(gpu, source, &constants, bound, count);
        Ok(Self {
            forward: Forward::new(gpu, model, &seen, &shared.hidden, &shared.logits),
            loss: options.prepare(gpu, Rows::new(rows, model.classes))?.bind(&buffers)?,
            hidden_gradient: kernel(
                include_str!("hidden_gradient.wgsl"),
                &[hidden, output, gradient, hidden_gradient],
                rows * HIDDEN,
            ),
            output: kernel(
                concat!(include_str!("adam.wgsl"), include_str!("output_step.wgsl")),
                &[hidden, gradient, output, output_moments.slice(..)],
                (HIDDEN + 1) * model.classes,
            ),
            embeddings: kernel(
                concat!(
                    include_str!("context.wgsl"),
                    include_str!("adam.wgsl"),
                    include_str!("embedding_step.wgsl")
                ),
                &[
                    shared.text.slice(..),
                    ends.slice(..),
                    hidden_gradient,
                    model.embeddings.slice(..),
                    embedding_moments.slice(..),
                    shared.embedding_sums.slice(..),
                ],
                CONTEXT * HIDDEN,
            ),
        })
    }

    fn record(&self, pass: &mut ComputePass<'_>) {
        self.forward.record(pass);
        self.loss.record(pass);
        self.hidden_gradient.record(pass);
        self.output.record(pass);
        self.embeddings.record(pass);
    }
}

/// The places of a text in a random order, always the same.
fn shuffled(count: usize) -> Vec<u32> {
    let mut places: Vec<u32> = (0..count as u32).collect();
    let mut state = 2463534242u32;
    for i in (1..count).rev() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        places.swap(i, state as usize % (i + 1));
    }
    places
}

/// Learns a text, and returns the weights as they are rounded.
pub(crate) fn train(gpu: &Gpu, text: &[u32], classes: usize) -> Result<Weights, Box<dyn Error>> {
    let mut weights = Weights::new(classes);
    let model = Model::new(gpu, &weights);
    let shared = Shared::new(gpu, &model, text);
    let places = shuffled(text.len());
    let step = |ends: &[u32]| Step::new(&shared, text, ends);
    let steps = places.chunks(BATCH).map(step).collect::<Result<Vec<_>, _>>()?;
    for epoch in 1..=EPOCHS {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for step in &steps {
            step.record(&mut pass);
        }
        drop(pass);
        let summary = read::<u8>(gpu, encoder, &shared.summary)?;
        let summary = CrossEntropySummary::from_bytes(&summary).ok_or("the summary is too short")?;
        if epoch % 10 == 0 {
            println!("epoch {epoch}: loss {:.3} a character of the last batch", summary.loss);
        }
    }
    weights.embeddings = read(
        gpu,
        gpu.device().create_command_encoder(&Default::default()),
        &model.embeddings,
    )?;
    weights.output = read(
        gpu,
        gpu.device().create_command_encoder(&Default::default()),
        &model.output,
    )?;
    weights.round()?;
    Ok(weights)
}
