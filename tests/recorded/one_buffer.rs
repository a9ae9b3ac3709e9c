//! As a framework's memory pool has it: everything in one buffer, each array at an aligned offset.

use crate::common::buffers::{GUARD, buffer, encode, encoder, read};
use crate::common::{Random, Subject, bits, equal, gpu, must, same_bits};
use std::ops::Range;
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, EncodeError, Gradient, Rows, Softmax, SoftmaxBuffers,
    Upstream, Values, reference, twin, wgpu,
};

const ROWS: Rows = Rows::new(6, 70);

struct Inputs {
    x: Vec<f32>,
    targets: Vec<u32>,
    weights: Vec<f32>,
    upstream: f32,
}

impl Inputs {
    fn new() -> Self {
        let (mut random, count, classes) = (Random(23), ROWS.count(), ROWS.classes());
        Self {
            x: random.logits(count * classes, 3.0),
            targets: random.targets(count, classes),
            weights: random.logits(classes, 1.0).iter().map(|w| w.abs()).collect(),
            upstream: 1.75,
        }
    }
}

/// Where each array is, in words.
struct Page {
    words: Vec<u32>,
    logits: Range<usize>,
    targets: Range<usize>,
    summary: Range<usize>,
    gradient: Range<usize>,
    weights: Range<usize>,
    upstream: Range<usize>,
    losses: Range<usize>,
}

impl Page {
    /// Inputs and, for outputs, guards, with guards between them: as far apart as bindings must be.
    fn new(inputs: &Inputs) -> Self {
        let mut words = Vec::new();
        let mut add = |content: &[u32]| {
            words.extend([GUARD; 64]);
            words.resize(words.len().next_multiple_of(64), GUARD);
            let start = words.len();
            words.extend(content);
            start..words.len()
        };
        let output = |length: usize| vec![GUARD; length];
        let (logits, targets) = (add(&bits(&inputs.x)), add(&inputs.targets));
        let (summary, gradient) = (add(&output(16)), add(&output(inputs.x.len())));
        let (weights, upstream) = (add(&bits(&inputs.weights)), add(&[inputs.upstream.to_bits()]));
        let losses = add(&output(ROWS.count()));
        words.extend([GUARD; 64]);
        Self {
            words,
            logits,
            targets,
            summary,
            gradient,
            weights,
            upstream,
            losses,
        }
    }

    fn buffers<'a>(&self, page: &'a wgpu::Buffer) -> CrossEntropyBuffers<'a> {
        CrossEntropyBuffers {
            gradient: Some(slice(page, &self.gradient)),
            weights: Some(slice(page, &self.weights)),
            upstream: Some(slice(page, &self.upstream)),
            row_losses: Some(slice(page, &self.losses)),
            ..CrossEntropyBuffers::new(
                slice(page, &self.logits),
                slice(page, &self.targets),
                slice(page, &self.summary),
            )
        }
    }
}

fn slice<'a>(page: &'a wgpu::Buffer, words: &Range<usize>) -> wgpu::BufferSlice<'a> {
    page.slice(words.start as u64 * 4..words.end as u64 * 4)
}

fn options() -> CrossEntropy {
    CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        weights: Some(Values::Buffer),
        upstream: Upstream::Buffer,
        ..CrossEntropy::default()
    }
}

#[test]
fn arrays_of_one_buffer_overlap_unless_it_is_said_to_be_shared() {
    let page_of = Page::new(&Inputs::new());
    let page = buffer(&page_of.words);
    let buffers = page_of.buffers(&page);
    let apart = options().prepare(gpu(), ROWS).unwrap().encode(&mut encoder(), &buffers);
    assert_is!("encode on one buffer", apart, Err(EncodeError::Overlap { .. }));
    let shared = options().prepare(&gpu().with_shared_buffers(), ROWS).unwrap();
    let meets = CrossEntropyBuffers {
        gradient: Some(slice(&page, &(page_of.logits.start + 64..page_of.logits.end + 64))),
        ..buffers
    };
    let result = shared.encode(&mut encoder(), &meets);
    assert_is!(
        "encode with a gradient that meets the logits",
        result,
        Err(EncodeError::Overlap { .. })
    );
}

#[test]
fn arrays_in_one_buffer() {
    let inputs = Inputs::new();
    let page_of = Page::new(&inputs);
    let page = buffer(&page_of.words);
    let shared = gpu().with_shared_buffers();
    let kernel = options().prepare(&shared, ROWS).unwrap();
    encode(|encoder| kernel.encode(encoder, &page_of.buffers(&page)).unwrap());

    let on_host = CrossEntropy {
        weights: Some(inputs.weights.into()),
        upstream: Upstream::Number(inputs.upstream),
        ..options()
    };
    let expected = gpu().cross_entropy(&inputs.x, &inputs.targets, ROWS, &on_host).unwrap();
    let after: Vec<u32> = read(&page);
    let floats = |words: &Range<usize>| -> &[f32] { bytemuck::cast_slice(&after[words.clone()]) };
    let subject = Subject::new::<f32>("cross_entropy on one buffer", ROWS, &on_host);
    same_bits(
        &subject,
        "gradient",
        floats(&page_of.gradient),
        &expected.gradient.unwrap(),
    );
    same_bits(
        &subject,
        "row losses",
        floats(&page_of.losses),
        &expected.row_losses.unwrap(),
    );
    let summary = bytemuck::cast_slice(&after[page_of.summary.clone()]);
    let summary = CrossEntropySummary::from_bytes(summary).unwrap();
    same_bits(&subject, "loss", &[summary.loss], &[expected.loss.unwrap()]);
    let outputs = [&page_of.summary, &page_of.gradient, &page_of.losses];
    let is_output = |i: &usize| outputs.iter().any(|range| range.contains(i));
    let changed = (0..after.len()).find(|i| !is_output(i) && after[*i] != page_of.words[*i]);
    equal(
        &subject,
        "the first word overwritten that is no output's",
        changed,
        None,
    );

    let options = Softmax::default();
    let softmax = options.prepare(&shared, ROWS).unwrap();
    let buffers = SoftmaxBuffers::new(slice(&page, &page_of.logits), Some(slice(&page, &page_of.gradient)));
    encode(|encoder| softmax.encode(encoder, &buffers).unwrap());
    let expected: Vec<f32> = inputs.x.chunks(ROWS.classes()).flat_map(twin::softmax).collect();
    let after: Vec<f32> = read(&page);
    let subject = Subject::new::<f32>("softmax on one buffer", ROWS, &options);
    must(subject.bits("y", &after[page_of.gradient.clone()], &expected));
}

/// Outputs alone, so that a kernel only writes to the buffer; then it is read, and the marks of odd rows are taken back.
#[test]
fn losses_and_argmax_are_parts_of_one_buffer() {
    let Inputs { mut x, targets, .. } = Inputs::new();
    x[3] = f32::NAN;
    let options = CrossEntropy {
        row_losses: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    };
    let kernel = options.prepare(gpu(), ROWS).unwrap();
    let (logits, targets_there) = (buffer(&bits(&x)), buffer(&targets));
    let (summary, outputs) = (buffer(&[GUARD; 16]), buffer(&[GUARD; 128]));
    let buffers = CrossEntropyBuffers {
        row_losses: Some(outputs.slice(..24)),
        argmax: Some(outputs.slice(256..280)),
        ..CrossEntropyBuffers::new(logits.slice(..), targets_there.slice(..), summary.slice(..))
    };
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let exact = reference::cross_entropy(&x, &targets, ROWS, &options).unwrap();
    let subject = Subject::new::<f32>("cross_entropy, outputs in one buffer", ROWS, &options);
    let words: Vec<u32> = read(&outputs);
    let argmax: Vec<usize> = words[64..70].iter().map(|&class| class as usize).collect();
    equal(&subject, "argmax", argmax, exact.argmax);
    let summary = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&read::<u32>(&summary))).unwrap();
    equal(&subject, "correct", summary.correct as usize, exact.correct);
}
