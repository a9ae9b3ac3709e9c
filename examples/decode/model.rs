//! The model: each character that is seen has an embedding for its place; their sum is the hidden layer, of which a matrix makes
//! the logits.

use crate::device::{Kernel, filled};
use std::error::Error;
use wgpu_softmax::Gpu;
use wgpu_softmax::wgpu::{Buffer, ComputePass};

/// Characters that are seen. This and the next are in the shaders too.
pub(crate) const CONTEXT: usize = 8;
pub(crate) const HIDDEN: usize = 64;

/// Rounded weights are multiples of this. Hidden units are sums of them, and logits are sums of products of the two, so all are
/// multiples of its square, 2⁻¹⁴. Up to 2¹⁰ these are f32 numbers, and then no sum is ever rounded, whatever its order.
const GRID: f32 = 1.0 / 128.0;
const LARGEST: f32 = 1024.0;

/// The numbers of the model, on the host.
#[derive(Clone)]
pub(crate) struct Weights {
    pub(crate) classes: usize,
    /// `[CONTEXT, classes + 1, HIDDEN]`.
    pub(crate) embeddings: Vec<f32>,
    /// `[HIDDEN + 1, classes]`, the bias last.
    pub(crate) output: Vec<f32>,
}

impl Weights {
    /// Small random numbers.
    pub(crate) fn new(classes: usize) -> Self {
        let mut state = 2463534242u32;
        let mut random = |count: usize| -> Vec<f32> {
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                (state >> 8) as f32 / 16_777_216.0 - 0.5
            };
            (0..count).map(|_| 0.3 * next()).collect()
        };
        Self {
            classes,
            embeddings: random(CONTEXT * (classes + 1) * HIDDEN),
            output: random((HIDDEN + 1) * classes),
        }
    }

    /// Rounds the weights, after which every adapter computes the same logits; an error if that could not be relied upon.
    pub(crate) fn round(&mut self) -> Result<(), Box<dyn Error>> {
        for weight in self.embeddings.iter_mut().chain(&mut self.output) {
            *weight = (*weight / GRID).round() * GRID;
        }
        let bound = self.bound();
        if bound >= LARGEST {
            return Err(format!("logits up to {bound} are not exact").into());
        }
        Ok(())
    }

    /// What no sum of a logit's terms can exceed, whatever the characters.
    fn bound(&self) -> f32 {
        let mut units = [0f32; HIDDEN];
        for place in self.embeddings.chunks(self.embeddings.len() / CONTEXT) {
            for (unit, most) in units.iter_mut().enumerate() {
                *most += place
                    .iter()
                    .skip(unit)
                    .step_by(HIDDEN)
                    .fold(0f32, |m, e| m.max(e.abs()));
            }
        }
        let of_class = |class: usize| -> f32 {
            let weights = self.output.iter().skip(class).step_by(self.classes);
            weights
                .zip(units.iter().chain([&1.0]))
                .map(|(w, unit)| w.abs() * unit)
                .sum()
        };
        (0..self.classes).map(of_class).fold(0.0, f32::max)
    }
}

/// The weights on a device.
pub(crate) struct Model {
    pub(crate) classes: usize,
    pub(crate) embeddings: Buffer,
    pub(crate) output: Buffer,
}

impl Model {
    pub(crate) fn new(gpu: &Gpu, weights: &Weights) -> Self {
        Self {
            classes: weights.classes,
            embeddings: filled(gpu, bytemuck::cast_slice(&weights.embeddings)),
            output: filled(gpu, bytemuck::cast_slice(&weights.output)),
        }
    }
}

/// Rows that the model sees: a text, and where in it the part ends that each row sees.
pub(crate) struct Seen<'a> {
    pub(crate) rows: usize,
    pub(crate) text: &'a Buffer,
    pub(crate) ends: &'a Buffer,
    /// Characters that each row has in the text; 0 if the text is everybody's.
    pub(crate) stride: usize,
}

/// The forward pass.
pub(crate) struct Forward {
    hidden: Kernel,
    logits: Kernel,
}

impl Forward {
    pub(crate) fn new(gpu: &Gpu, model: &Model, seen: &Seen<'_>, hidden: &Buffer, logits: &Buffer) -> Self {
        let (rows, classes) = (("ROWS", seen.rows as f64), ("CLASSES", model.classes as f64));
        Self {
            hidden: Kernel::new(
                gpu,
                concat!(include_str!("context.wgsl"), include_str!("hidden.wgsl")),
                &[rows, classes, ("STRIDE", seen.stride as f64)],
                &[
                    seen.text.slice(..),
                    seen.ends.slice(..),
                    model.embeddings.slice(..),
                    hidden.slice(..),
                ],
                seen.rows * HIDDEN,
            ),
            logits: Kernel::new(
                gpu,
                include_str!("logits.wgsl"),
                &[rows, classes],
                &[hidden.slice(..), model.output.slice(..), logits.slice(..)],
                seen.rows * model.classes,
            ),
        }
    }

    pub(crate) fn record(&self, pass: &mut ComputePass<'_>) {
        self.hidden.record(pass);
        self.logits.record(pass);
    }
}
