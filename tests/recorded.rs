//! The library as training code calls it: on its own buffers, in its own encoder; and the mistakes that can be made there.
#![allow(clippy::unwrap_used)]

#[macro_use]
mod common;
#[path = "recorded/bound.rs"]
mod bound;
#[path = "recorded/mistakes.rs"]
mod mistakes;
#[path = "recorded/one_buffer.rs"]
mod one_buffer;

use common::buffers::{GUARD, buffer, encode, guarded, inside, read, unguarded};
use common::{Random, Subject, bits, equal, gpu, must, near, places, same_bits};
use wgpu_softmax::{
    CrossEntropy, CrossEntropyBuffers, CrossEntropySummary, Gradient, Reduction, Rows, RunError, Softmax,
    SoftmaxBuffers, reference, twin,
};

/// Logits and targets, and what they must give.
struct Batch {
    rows: Rows,
    x: Vec<f32>,
    targets: Vec<u32>,
    probs: Vec<f32>,
    losses: Vec<f32>,
    gradient: Vec<f32>,
}

impl Batch {
    fn new(random: &mut Random, rows: Rows) -> Self {
        let elements = rows.elements().unwrap();
        let x = random.logits(elements, 4.0);
        let targets = random.targets(rows.count(), rows.classes());
        let (mut probs, mut gradient) = (vec![0.0; elements], vec![0.0; elements]);
        let mut losses = Vec::new();
        for (row, &target) in targets.iter().enumerate() {
            let places: Vec<usize> = places(&rows, row).collect();
            let logits: Vec<f32> = places.iter().map(|&i| x[i]).collect();
            let (loss, row_gradient) = twin::cross_entropy(&logits, target as usize, 1.0);
            losses.push(loss);
            places
                .iter()
                .zip(twin::softmax(&logits))
                .for_each(|(&i, y)| probs[i] = y);
            places.iter().zip(row_gradient).for_each(|(&i, g)| gradient[i] = g);
        }
        Self {
            rows,
            x,
            targets,
            probs,
            losses,
            gradient,
        }
    }

    /// `expected`, with the bits that were there before as padding: the logits', or guards.
    fn unwritten_padding(&self, expected: &[f32], in_place: bool) -> Vec<f32> {
        let mut all = if in_place {
            self.x.clone()
        } else {
            vec![f32::from_bits(GUARD); self.x.len()]
        };
        let places = (0..self.rows.count()).flat_map(|row| places(&self.rows, row));
        places.for_each(|i| all[i] = expected[i]);
        all
    }

    fn softmax(&self, in_place: bool) {
        let elements = self.x.len();
        let (logits, result) = (guarded(Some(&bits(&self.x)), elements), guarded(None, elements));
        let options = Softmax {
            in_place,
            ..Softmax::default()
        };
        let kernel = options.prepare(gpu(), self.rows).unwrap();
        let buffers = SoftmaxBuffers::new(inside(&logits), (!in_place).then(|| inside(&result)));
        encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
        let subject = Subject::new::<f32>("softmax, recorded", self.rows, &options);
        let written = unguarded(&subject, "y", if in_place { &logits } else { &result });
        let expected = self.unwritten_padding(&self.probs, in_place);
        same_bits(&subject, "y", bytemuck::cast_slice(&written), &expected);
        if !in_place {
            let logits = unguarded(&subject, "the logits", &logits);
            same_bits(&subject, "the logits", bytemuck::cast_slice(&logits), &self.x);
        }
    }

    fn cross_entropy(&self, gradient: Gradient) {
        let (elements, count) = (self.x.len(), self.rows.count());
        let options = CrossEntropy {
            gradient,
            reduction: Reduction::Sum,
            row_losses: true,
            lse: true,
            argmax: true,
            correct: true,
            ..CrossEntropy::default()
        };
        let kernel = options.prepare(gpu(), self.rows).unwrap();
        let [losses, lse, argmax] = [0; 3].map(|_| guarded(None, count));
        let (logits, targets) = (
            guarded(Some(&bits(&self.x)), elements),
            guarded(Some(&self.targets), count),
        );
        let (apart, summary) = (guarded(None, elements), guarded(None, 16));
        let is_apart = gradient == Gradient::Apart;
        let buffers = CrossEntropyBuffers {
            gradient: is_apart.then(|| inside(&apart)),
            row_losses: Some(inside(&losses)),
            lse: Some(inside(&lse)),
            argmax: Some(inside(&argmax)),
            ..CrossEntropyBuffers::new(inside(&logits), inside(&targets), inside(&summary))
        };
        encode(|encoder| kernel.encode(encoder, &buffers).unwrap());

        let subject = Subject::new::<f32>("cross_entropy, recorded", self.rows, &options);
        let exact = reference::cross_entropy(&self.x, &self.targets, self.rows, &options).unwrap();
        let written = unguarded(&subject, "the gradient", if is_apart { &apart } else { &logits });
        let expected = self.unwritten_padding(&self.gradient, !is_apart);
        same_bits(&subject, "gradient", bytemuck::cast_slice(&written), &expected);
        if is_apart {
            let logits = unguarded(&subject, "the logits", &logits);
            same_bits(&subject, "the logits", bytemuck::cast_slice(&logits), &self.x);
        }
        let losses = unguarded(&subject, "the row losses", &losses);
        same_bits(&subject, "row losses", bytemuck::cast_slice(&losses), &self.losses);
        let lse: Vec<u32> = unguarded(&subject, "the lse", &lse);
        near::<f32>(&subject, "lse", bytemuck::cast_slice(&lse), &exact.lse);
        let argmax = unguarded(&subject, "argmax", &argmax);
        let argmax: Vec<usize> = argmax.iter().map(|&c| c as usize).collect();
        must(subject.each("argmax", &argmax, &exact.argmax));
        let words = unguarded(&subject, "the summary", &summary);
        let summary = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words)).unwrap();
        same_bits(&subject, "loss", &[summary.loss], &[twin::total(&self.losses)]);
        let counts = (summary.counted as usize, summary.correct as usize);
        equal(&subject, "counted and correct", counts, (count, exact.correct));
        equal(
            &subject,
            "bad targets and the first",
            (summary.bad_targets, summary.first_bad),
            (0, None),
        );
    }
}

#[test]
fn recorded_operations_write_all_of_their_result_and_nothing_else() {
    let mut random = Random(11);
    for (count, classes, stride) in [
        (5, 3, 3),
        (3, 64, 64),
        (9, 10, 10),
        (4, 8, 11),
        (2, 1025, 1025),
        (3, 2048, 2048),
        (1, 20_000, 20_000),
    ] {
        let batch = Batch::new(&mut random, Rows::new(count, classes).with_row_stride(stride));
        batch.softmax(false);
        batch.softmax(true);
        batch.cross_entropy(Gradient::Apart);
        batch.cross_entropy(Gradient::InPlace);
    }
}

/// Row 1234 has a target that is no class, and so has row 2999; row 7 is ignored.
fn bad_targets() -> (Rows, Vec<f32>, Vec<i64>, CrossEntropy) {
    let (count, classes) = (3000, 10);
    let x = Random(12).logits(count * classes, 2.0);
    let mut targets = vec![3i64; count];
    (targets[1234], targets[2999], targets[7]) = (10, -5, -100);
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    (Rows::new(count, classes), x, targets, options)
}

#[test]
fn bad_targets_are_errors_on_the_host() {
    let (rows, x, targets, options) = bad_targets();
    let subject = Subject::new::<f32>("cross_entropy", rows, &options);
    let error = gpu().cross_entropy(&x, &targets, rows, &options).unwrap_err();
    let message = error.to_string();
    let expected = RunError::TargetOutOfRange {
        row: 1234,
        target: 10,
        classes: 10,
        count: 2,
    };
    equal(&subject, "the error", error, expected);
    let expected = "row 1234 has target 10, but there are 10 classes";
    assert!(
        message.contains(expected),
        "{}: «{message}», but «{expected}» is expected in it",
        subject.call()
    );
    // 2^40 does not fit a 32-bit word, but must be named as it is.
    let huge = gpu().cross_entropy(&x[..10], &[1i64 << 40], Rows::new(1, 10), &options);
    let expected = RunError::TargetOutOfRange {
        row: 0,
        target: 0x100_0000_0000,
        classes: 10,
        count: 1,
    };
    equal(&subject, "the error of a target of 2^40", huge.err(), Some(expected));
    // And the same Gpu goes on.
    let y = gpu().softmax(&x, rows, &Softmax::default()).unwrap();
    let expected: Vec<f32> = x.chunks(rows.classes()).flat_map(twin::softmax).collect();
    let subject = Subject::new::<f32>("softmax after an error", rows, &());
    same_bits(&subject, "y", &y, &expected);
}

#[test]
fn bad_targets_are_left_in_the_summary() {
    let (rows, x, targets, options) = bad_targets();
    let kernel = options.prepare(gpu(), rows).unwrap();
    let words: Vec<u32> = targets.iter().map(|&t| t as i32 as u32).collect();
    let (logits, indices) = (buffer(&x), buffer(&words));
    let (gradient, summary) = (buffer(&vec![GUARD; x.len()]), buffer(&[GUARD; 16]));
    let buffers = CrossEntropyBuffers {
        gradient: Some(gradient.slice(..)),
        ..CrossEntropyBuffers::new(logits.slice(..), indices.slice(..), summary.slice(..))
    };
    encode(|encoder| kernel.encode(encoder, &buffers).unwrap());
    let subject = Subject::new::<f32>("cross_entropy, recorded", rows, &options);
    let summary = CrossEntropySummary::from_bytes(&read::<u8>(&summary)).unwrap();
    let bad = (summary.bad_targets, summary.first_bad);
    equal(&subject, "bad targets and the first", bad, (2, Some((1234, 10))));
    equal(&subject, "counted", summary.counted, 2997);
    equal(&subject, "whether the loss is NaN", summary.loss.is_nan(), true);
    // Rows with a bad target have a gradient of NaN, the ignored row of 0, every other row that of the reference.
    let gradient: Vec<f32> = read(&gradient);
    let exact = reference::cross_entropy(&x, &targets, rows, &options).unwrap().gradient;
    near(&subject, "gradient", &gradient, &exact);
    same_bits(&subject, "gradient of row 7", &gradient[70..80], &[0.0; 10]);
}
