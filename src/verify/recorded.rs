//! Checks calls that are recorded on the caller's buffers: what lies around an array stays as it is, a target that is no class makes
//! its row NaN and no other, and options may be in buffers. Calls on host slices have no padding, and end at such a target.

use super::accuracy::{all_outputs, stored};
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element, Storage};
use crate::error::RunError;
use crate::gpu::{Gpu, Wait};
use crate::ops::adjust::{Adjust, AdjustBuffers, Mask, Scale};
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyBuffers};
use crate::ops::loss::{CrossEntropySummary, Gradient, Normalizer, Reduction, Upstream};
use crate::ops::sink::Sink;
use crate::ops::softmax::{Softmax, SoftmaxBuffers};
use crate::ops::values::Values;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{Subject, places};
use wgpu::BufferUsages as Usage;

const GUARD: u32 = 0xdead_beef;
/// Words before and after an array: less than what bindings are aligned to, and no multiple of that, so that kernels have an offset
/// to add; but one of four, so that they load four elements at once.
const PAD: usize = 52;
/// Those around a summary, which has to be aligned.
const ALIGNED: usize = 64;

/// An array between guards, in a buffer of its own.
pub(super) struct Guarded {
    buffer: wgpu::Buffer,
    pad: usize,
    words: usize,
}

impl Guarded {
    pub(super) fn new(gpu: &Gpu, content: &[u32]) -> Result<Self, RunError> {
        Self::with_pad(gpu, content, PAD)
    }

    fn with_pad(gpu: &Gpu, content: &[u32], pad: usize) -> Result<Self, RunError> {
        let guards = vec![GUARD; pad];
        let all = [&guards[..], content, &guards[..]].concat();
        let usage = Usage::STORAGE | Usage::COPY_SRC;
        Ok(Self {
            buffer: gpu.buffer_of("a guarded array", bytemuck::cast_slice(&all), usage)?,
            pad,
            words: content.len(),
        })
    }

    pub(super) fn of<T: Element>(gpu: &Gpu, content: &[T]) -> Result<Self, RunError> {
        let mut bytes = bytemuck::cast_slice::<T, u8>(content).to_vec();
        bytes.resize(bytes.len().next_multiple_of(4), 0xef);
        Self::new(gpu, &bytemuck::pod_collect_to_vec::<u8, u32>(&bytes))
    }

    pub(super) fn empty(gpu: &Gpu, words: usize) -> Result<Self, RunError> {
        Self::new(gpu, &vec![GUARD; words])
    }

    pub(super) fn summary(gpu: &Gpu, words: usize) -> Result<Self, RunError> {
        Self::with_pad(gpu, &vec![GUARD; words], ALIGNED)
    }

    pub(super) fn inside(&self) -> wgpu::BufferSlice<'_> {
        let (first, end) = (self.pad, self.pad + self.words);
        self.buffer.slice(4 * first as u64..4 * end as u64)
    }

    /// The array, of which this is an output; that the guards are whole is a case.
    pub(super) async fn read(
        &self,
        tally: &mut Tally<'_>,
        subject: &Subject<'_>,
        output: &str,
    ) -> Result<Vec<u32>, RunError> {
        let (first, end) = (self.pad, self.pad + self.words);
        let all: Vec<u32> = tally.gpu.elements(&self.buffer, end + self.pad, Wait::OnThread).await?;
        let guards = [&all[..first], &all[end..]].concat();
        let broken = guards.iter().position(|&word| word != GUARD);
        tally.case(subject.equal(&format!("the first word written around {output}"), &broken, &None));
        Ok(all[first..end].to_vec())
    }
}

/// The elements of a type in words.
fn elements<T: Element>(words: &[u32], count: usize) -> Vec<T> {
    let all: Vec<T> = bytemuck::pod_collect_to_vec::<u32, T>(words);
    all[..count].to_vec()
}

/// Softmax of rows with padding, apart and in place: the padding keeps its bits, though in 16 bits a word may hold the last class
/// of a row and its padding, or the first of the next row.
pub(super) async fn padding<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (classes, stride) in [(5, 7), (6, 10), (1028, 1032), (4, 4), (1030, 1031)] {
        // Of 16 bits the other two-chunk shape is enough.
        if classes == 1028 && T::DTYPE != Dtype::F32 {
            continue;
        }
        // One more row of four classes would have lanes that run after those of the last.
        let rows = Rows::new(8, classes).with_row_stride(stride);
        let x: Vec<T> = stored(&tally.random.logits(rows.elements()?, 4.0));
        for in_place in [false, true] {
            let options = Softmax {
                in_place,
                storage: Storage::all(T::DTYPE),
                ..Softmax::default()
            };
            let kernel = options.prepare(tally.gpu, rows)?;
            let before: Vec<T> = if in_place {
                x.clone()
            } else {
                vec![T::nearest(7.0); x.len()]
            };
            let (logits, result) = (Guarded::of(tally.gpu, &x)?, Guarded::of(tally.gpu, &before)?);
            let mut encoder = tally.gpu.encoder();
            let apart = (!in_place).then(|| result.inside());
            kernel.encode(&mut encoder, &SoftmaxBuffers::new(logits.inside(), apart))?;
            tally.gpu.submit(encoder)?;
            let subject = Subject::new::<T>("softmax, recorded", rows, &options);
            let written = if in_place { &logits } else { &result };
            let y: Vec<T> = elements(&written.read(tally, &subject, "y").await?, x.len());
            let mut expected: Vec<f64> = before.iter().map(|&v| v.into()).collect();
            let exact = reference::softmax(&x, rows, &options)?;
            (0..rows.count())
                .flat_map(|row| places(&rows, row))
                .for_each(|i| expected[i] = exact[i]);
            tally.near(&subject, &Compared::new("y and padding", &y, expected));
        }
    }
    Ok(())
}

/// Targets that are the number of classes, and less than 0: their rows are NaN, the row that is ignored has 0, and all others are as
/// without them.
pub(super) async fn bad_targets(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let (count, classes) = (300, 8);
    let rows = Rows::new(count, classes);
    let x = tally.random.logits(count * classes, 3.0);
    let mut targets = vec![3i32; count];
    (targets[123], targets[299], targets[7]) = (classes as i32, -5, -100);
    let options = CrossEntropy {
        reduction: Reduction::Mean,
        z_loss: 0.5,
        row_z_losses: true,
        ..all_outputs()
    };
    let kernel = options.prepare(tally.gpu, rows)?;
    let words: Vec<u32> = targets.iter().map(|&t| t as u32).collect();
    let gpu = tally.gpu;
    let (logits, indices) = (Guarded::of(gpu, &x)?, Guarded::new(gpu, &words)?);
    let (gradient, summary) = (Guarded::empty(gpu, x.len())?, Guarded::summary(gpu, 16)?);
    let [losses, z_losses, lse, log_probs, entropies, argmax] = of_rows(gpu, count)?;
    let buffers = CrossEntropyBuffers {
        gradient: Some(gradient.inside()),
        row_losses: Some(losses.inside()),
        row_z_losses: Some(z_losses.inside()),
        lse: Some(lse.inside()),
        log_prob: Some(log_probs.inside()),
        entropy: Some(entropies.inside()),
        argmax: Some(argmax.inside()),
        ..CrossEntropyBuffers::new(logits.inside(), indices.inside(), summary.inside())
    };
    let mut encoder = gpu.encoder();
    kernel.encode(&mut encoder, &buffers)?;
    gpu.submit(encoder)?;
    let subject = Subject::new::<f32>("cross_entropy, recorded", rows, &options);
    let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
    for (name, buffer, exact) in [
        ("gradient", &gradient, exact.gradient),
        ("row losses", &losses, exact.row_losses),
        ("row z-losses", &z_losses, exact.row_z_losses),
        ("lse", &lse, exact.lse),
        ("log_prob", &log_probs, exact.log_probs),
        ("entropy", &entropies, exact.entropies),
    ] {
        let words = buffer.read(tally, &subject, name).await?;
        let got: Vec<f32> = elements(&words, exact.len());
        tally.near(&subject, &Compared::new(name, &got, exact));
    }
    let classes = argmax.read(tally, &subject, "argmax").await?;
    let classes = classes.iter().map(|&c| c as usize);
    tally.near(&subject, &Compared::indices("argmax", classes, &exact.argmax));
    is_counted(tally, &subject, &summary, [exact.counted, exact.correct]).await
}

/// The summary of the rows above.
async fn is_counted(
    tally: &mut Tally<'_>,
    subject: &Subject<'_>,
    summary: &Guarded,
    [counted, correct]: [usize; 2],
) -> Result<(), RunError> {
    let words = summary.read(tally, subject, "the summary").await?;
    let found = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words));
    let found = found.map(|s| {
        (
            s.bad_targets,
            s.first_bad,
            s.counted as usize,
            s.correct as usize,
            s.loss.is_nan(),
        )
    });
    let expected = Some((2, Some((123, 8)), counted, correct, true));
    tally.case(subject.equal("bad targets, the first, counted, correct, NaN", &found, &expected));
    Ok(())
}

fn of_rows<const N: usize>(gpu: &Gpu, count: usize) -> Result<[Guarded; N], RunError> {
    let all: Result<Vec<Guarded>, RunError> = (0..N).map(|_| Guarded::empty(gpu, count)).collect();
    all?.try_into().map_err(|_| unreachable!("there are N of them"))
}

/// The numbers of options, each kept with the kernel or in a buffer.
struct Numbers {
    scales: Vec<f32>,
    bias: Vec<f32>,
    mask: Vec<f32>,
    weights: Vec<f32>,
    row_weights: Vec<f32>,
}

impl Numbers {
    /// The ignored index is a class, which on the host no target can be that is ignored.
    fn options(&self, in_buffers: bool, is_counted: bool) -> CrossEntropy {
        let values = |numbers: &[f32]| {
            if in_buffers {
                Values::Buffer
            } else {
                numbers.to_vec().into()
            }
        };
        let (normalizer, upstream) = match in_buffers {
            _ if is_counted => (Normalizer::Rows, Upstream::Number(-2.5)),
            true => (Normalizer::Buffer, Upstream::Buffer),
            false => (Normalizer::Number(7.5), Upstream::Number(-2.5)),
        };
        CrossEntropy {
            adjust: Adjust {
                scale: Scale::PerRow(values(&self.scales)),
                bias: Some(values(&self.bias)),
                softcap: Some(5.0),
                mask: Mask::Full(values(&self.mask)),
            },
            weights: Some(values(&self.weights)),
            row_weights: Some(values(&self.row_weights)),
            normalizer,
            upstream,
            ignore_index: 1,
            correct: true,
            gradient: Gradient::InPlace,
            ..CrossEntropy::default()
        }
    }
}

pub(super) fn first_largest(row: &[f32]) -> u32 {
    let better = |best: usize, c: usize| if row[c] > row[best] { c } else { best };
    (0..row.len()).fold(0, better) as u32
}

/// A mean, and its gradient in place, of which every number is in a buffer.
pub(super) async fn buffers(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (count, classes, is_counted) in [(9, 8, false), (9, 7, true), (5, 1032, false)] {
        let rows = Rows::new(count, classes);
        let x = tally.random.logits(count * classes, 3.0);
        let mut targets = tally.random.targets(count, classes);
        targets[0] = 1;
        targets[2] = first_largest(&x[2 * classes..3 * classes]);
        let numbers = Numbers {
            scales: tally.random.logits(count, 1.0),
            bias: tally.random.logits(classes, 1.0),
            mask: tally.random.logits(x.len(), 1.0),
            weights: tally.random.logits(classes, 1.0).iter().map(|w| w.abs()).collect(),
            row_weights: (0..count).map(|row| 0.5 + row as f32).collect(),
        };
        let (given, options) = (numbers.options(false, is_counted), numbers.options(true, is_counted));
        let gpu = tally.gpu;
        let [scales, bias, mask, weights, row_weights, normalizer, upstream] = [
            &numbers.scales[..],
            &numbers.bias,
            &numbers.mask,
            &numbers.weights,
            &numbers.row_weights,
            &[7.5],
            &[-2.5],
        ]
        .map(|numbers| Guarded::of(gpu, numbers));
        let (scales, bias, mask, weights, row_weights) = (scales?, bias?, mask?, weights?, row_weights?);
        let (normalizer, upstream, summary) = (normalizer?, upstream?, Guarded::summary(gpu, 16)?);
        let (logits, indices) = (Guarded::of(gpu, &x)?, Guarded::new(gpu, &targets)?);
        let buffers = CrossEntropyBuffers {
            upstream: (!is_counted).then(|| upstream.inside()),
            normalizer: (!is_counted).then(|| normalizer.inside()),
            weights: Some(weights.inside()),
            row_weights: Some(row_weights.inside()),
            adjust: AdjustBuffers {
                scale: Some(scales.inside()),
                bias: Some(bias.inside()),
                mask: Some(mask.inside()),
            },
            ..CrossEntropyBuffers::new(logits.inside(), indices.inside(), summary.inside())
        };
        let mut encoder = gpu.encoder();
        options.prepare(gpu, rows)?.encode(&mut encoder, &buffers)?;
        gpu.submit(encoder)?;
        let subject = Subject::new::<f32>("cross_entropy, recorded", rows, &options);
        let exact = reference::cross_entropy(&x, &targets, rows, &given)?;
        let gradient: Vec<f32> = elements(&logits.read(tally, &subject, "the gradient").await?, x.len());
        tally.near(&subject, &Compared::new("gradient", &gradient, exact.gradient));
        let words = summary.read(tally, &subject, "the summary").await?;
        tally.near(
            &subject,
            &Compared::new("loss", &elements::<f32>(&words, 1), vec![exact.loss]),
        );
        let found = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words));
        let found = found.map(|s| (s.counted as usize, s.correct as usize));
        tally.case(subject.equal("counted and correct", &found, &Some((exact.counted, exact.correct))));
    }
    Ok(())
}

/// A scale that is no number, which on the host would be an error, makes its row NaN and no other. Each row has a sink.
pub(super) async fn scales(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let rows = Rows::new(4, 3);
    let options = Softmax {
        adjust: Adjust {
            scale: Scale::PerRow(Values::Buffer),
            ..Adjust::default()
        },
        sink: Some(Sink::PerRow(Values::Buffer)),
        ..Softmax::default()
    };
    let gpu = tally.gpu;
    let logits = Guarded::of(gpu, &[0.0f32, 1e-30, -1.0].repeat(4))?;
    let scales = Guarded::of(gpu, &[f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.0])?;
    let sinks = Guarded::of(gpu, &[0.0f32; 4])?;
    let result = Guarded::empty(gpu, 12)?;
    let mut buffers = SoftmaxBuffers::new(logits.inside(), Some(result.inside()));
    buffers.adjust.scale = Some(scales.inside());
    buffers.sink = Some(sinks.inside());
    let mut encoder = gpu.encoder();
    options.prepare(gpu, rows)?.encode(&mut encoder, &buffers)?;
    gpu.submit(encoder)?;
    let subject = Subject::new::<f32>("softmax, recorded", rows, &options);
    let y: Vec<f32> = elements(&result.read(tally, &subject, "y").await?, 12);
    let expected = [[f64::NAN; 9].as_slice(), &[1.0 / 4.0; 3]].concat();
    tally.near(&subject, &Compared::new("y", &y, expected));
    Ok(())
}
