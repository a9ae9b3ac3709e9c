//! Operations that are bound once and recorded often.

use crate::common::buffers::{GUARD, binding_at_most, buffer, encoder, read};
use crate::common::{Random, Subject, equal, gpu, same_bits};
use std::fmt::Debug;
use wgpu_softmax::wgpu;
use wgpu_softmax::{
    BinaryCrossEntropy, BinaryCrossEntropyBuffers, Bound, CrossEntropy, CrossEntropyBuffers, CrossEntropySummary,
    EmptyMean, EncodeError, Gpu, Gradient, LogSumExp, LogSumExpBuffers, LogSumExpGradBuffers, Normalizer, Recorded,
    Reduction, Rows, Softmax, SoftmaxBuffers, SoftmaxGrad, SoftmaxGradBuffers, SoftmaxJacobianBuffers, Targets,
    Upstream, Values, twin,
};

const ROWS: Rows = Rows::new(6, 70);

fn submit(encoder: wgpu::CommandEncoder) {
    gpu().queue().submit([encoder.finish()]);
}

/// What is bound writes what `encode` writes, in a pass of its own and in the caller's, however often, and allocates
/// nothing. `written` are all the buffers that it writes.
fn same_as_encoded(
    options: &dyn Debug,
    written: &[&wgpu::Buffer],
    bound: Bound,
    encode: impl FnOnce(&mut wgpu::CommandEncoder) -> Result<Recorded, EncodeError>,
) {
    let subject = Subject::new::<f32>("bound", ROWS, options);
    let again = || -> Vec<Vec<u32>> {
        let all = written.iter().map(|buffer| read(buffer)).collect();
        for buffer in written {
            gpu()
                .queue()
                .write_buffer(buffer, 0, &vec![0xab; buffer.size() as usize]);
        }
        all
    };
    again();
    let mut commands = encoder();
    let encoded = encode(&mut commands).unwrap();
    submit(commands);
    let expected = again();

    let mut commands = encoder();
    let recorded = bound.encode(&mut commands);
    submit(commands);
    equal(&subject, "what bound.encode wrote", again(), expected.clone());
    equal(&subject, "dispatches", recorded.dispatches, encoded.dispatches);
    equal(&subject, "bytes allocated", recorded.allocated_bytes, 0);

    for times in 1..3 {
        let mut commands = encoder();
        let mut pass = commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        for _ in 0..times {
            equal(&subject, "what was recorded", bound.clone().record(&mut pass), recorded);
        }
        drop(pass);
        submit(commands);
        equal(&subject, "what bound.record wrote", again(), expected.clone());
    }
}

#[test]
fn what_is_bound_gives_what_encode_gives() {
    let (mut random, elements) = (Random(31), ROWS.elements().unwrap());
    let (x, g) = (
        buffer(&random.logits(elements, 3.0)),
        buffer(&random.logits(elements, 1.0)),
    );
    let by_row = buffer(&random.logits(ROWS.count(), 1.0));
    let [y, dx] = [0; 2].map(|_| buffer(&vec![GUARD; elements]));
    let (lse, jacobian) = (buffer(&[GUARD; 6]), buffer(&vec![GUARD; elements * ROWS.classes()]));

    let options = Softmax::default();
    let kernel = options.prepare(gpu(), ROWS).unwrap();
    let buffers = SoftmaxBuffers::new(x.slice(..), Some(y.slice(..)));
    same_as_encoded(&options, &[&y], kernel.bind(&buffers).unwrap(), |e| {
        kernel.encode(e, &buffers)
    });
    let kernel = options.prepare_jacobian(gpu(), ROWS).unwrap();
    let buffers = SoftmaxJacobianBuffers {
        logits: x.slice(..),
        jacobian: jacobian.slice(..),
    };
    let bound = kernel.bind(&buffers).unwrap();
    same_as_encoded(&options, &[&jacobian], bound, |e| kernel.encode(e, &buffers));
    let options = SoftmaxGrad::default();
    let kernel = options.prepare(gpu(), ROWS).unwrap();
    let buffers = SoftmaxGradBuffers::new(x.slice(..), g.slice(..), dx.slice(..));
    same_as_encoded(&options, &[&dx], kernel.bind(&buffers).unwrap(), |e| {
        kernel.encode(e, &buffers)
    });
    let options = LogSumExp::default();
    let kernel = options.prepare(gpu(), ROWS).unwrap();
    let buffers = LogSumExpBuffers::new(x.slice(..), lse.slice(..));
    same_as_encoded(&options, &[&lse], kernel.bind(&buffers).unwrap(), |e| {
        kernel.encode(e, &buffers)
    });
    let kernel = options.prepare_grad(gpu(), ROWS).unwrap();
    let buffers = LogSumExpGradBuffers::new(x.slice(..), by_row.slice(..), by_row.slice(..), Some(dx.slice(..)));
    same_as_encoded(&options, &[&dx], kernel.bind(&buffers).unwrap(), |e| {
        kernel.encode(e, &buffers)
    });
}

#[test]
fn losses_that_are_bound_give_what_encode_gives() {
    let (mut random, elements) = (Random(32), ROWS.elements().unwrap());
    let (x, q) = (buffer(&random.logits(elements, 3.0)), buffer(&vec![0.25f32; elements]));
    let mut targets = random.targets(ROWS.count(), ROWS.classes());
    targets[3] = 1 << 20;
    let targets = buffer(&targets);
    let (gradient, summary) = (buffer(&vec![GUARD; elements]), buffer(&[GUARD; 16]));
    for reduction in [Reduction::None, Reduction::Sum, Reduction::Mean] {
        let losses = buffer(&[GUARD; 6]);
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            row_losses: true,
            correct: true,
            reduction,
            ..CrossEntropy::default()
        };
        let kernel = options.prepare(gpu(), ROWS).unwrap();
        let buffers = CrossEntropyBuffers {
            gradient: Some(gradient.slice(..)),
            row_losses: Some(losses.slice(..)),
            ..CrossEntropyBuffers::new(x.slice(..), targets.slice(..), summary.slice(..))
        };
        let written = [&gradient, &summary, &losses];
        same_as_encoded(&options, &written, kernel.bind(&buffers).unwrap(), |e| {
            kernel.encode(e, &buffers)
        });

        let all = buffer(&vec![GUARD; elements]);
        let options = BinaryCrossEntropy {
            gradient: Gradient::Apart,
            reduction,
            ..BinaryCrossEntropy::default()
        };
        let kernel = options.prepare(gpu(), ROWS).unwrap();
        let buffers = BinaryCrossEntropyBuffers {
            logits: x.slice(..),
            targets: q.slice(..),
            summary: summary.slice(..),
            losses: (reduction == Reduction::None).then(|| all.slice(..)),
            gradient: Some(gradient.slice(..)),
            weight: None,
            pos_weight: None,
            normalizer: None,
            upstream: None,
        };
        let written = [&gradient, &summary, &all];
        same_as_encoded(&options, &written, kernel.bind(&buffers).unwrap(), |e| {
            kernel.encode(e, &buffers)
        });
    }
}

/// The dispatches of a loss, with every buffer that its options ask for.
fn dispatches(options: &CrossEntropy) -> usize {
    let words = |count: usize| buffer(&vec![0u32; count]);
    let (x, q, targets, summary) = (words(420), words(420), words(6), words(16));
    let (gradient, losses, one) = (words(420), words(6), words(1));
    let is_soft = options.targets == Targets::Probabilities;
    let targets = if is_soft { &q } else { &targets };
    let buffers = CrossEntropyBuffers {
        gradient: (options.gradient == Gradient::Apart).then(|| gradient.slice(..)),
        upstream: (options.upstream == Upstream::Buffer).then(|| one.slice(..)),
        normalizer: (options.normalizer == Normalizer::Buffer).then(|| one.slice(..)),
        row_losses: (options.reduction == Reduction::None).then(|| losses.slice(..)),
        ..CrossEntropyBuffers::new(x.slice(..), targets.slice(..), summary.slice(..))
    };
    let bound = options.prepare(gpu(), ROWS).unwrap().bind(&buffers).unwrap();
    bound.encode(&mut encoder()).dispatches
}

/// No dispatch before the rows unless the gradient needs what the device alone knows, and one after them at most.
#[test]
fn losses_take_no_more_dispatches_than_they_need() {
    let (number, soft) = (Upstream::Number(1.0), Targets::Probabilities);
    for (targets, reduction, normalizer, upstream, has_gradient, expected) in [
        (Targets::Indices, Reduction::Mean, Normalizer::Rows, &number, true, 3),
        (
            Targets::Indices,
            Reduction::Mean,
            Normalizer::Rows,
            &Upstream::Buffer,
            true,
            3,
        ),
        (
            Targets::Indices,
            Reduction::Mean,
            Normalizer::Buffer,
            &Upstream::Buffer,
            true,
            3,
        ),
        (Targets::Indices, Reduction::Mean, Normalizer::Rows, &number, false, 2),
        (Targets::Indices, Reduction::Mean, Normalizer::Buffer, &number, false, 2),
        (
            Targets::Indices,
            Reduction::Mean,
            Normalizer::Number(4.0),
            &Upstream::Buffer,
            true,
            2,
        ),
        (
            Targets::Indices,
            Reduction::Sum,
            Normalizer::Rows,
            &Upstream::Buffer,
            true,
            2,
        ),
        (Targets::Indices, Reduction::None, Normalizer::Rows, &number, true, 2),
        (soft, Reduction::Mean, Normalizer::Rows, &number, true, 2),
        (soft, Reduction::Mean, Normalizer::Rows, &Upstream::Buffer, true, 2),
    ] {
        let options = CrossEntropy {
            targets,
            reduction,
            normalizer,
            upstream: upstream.clone(),
            gradient: if has_gradient { Gradient::Apart } else { Gradient::None },
            z_loss: 0.1,
            correct: targets == Targets::Indices,
            ..CrossEntropy::default()
        };
        let subject = Subject::new::<f32>("cross_entropy", ROWS, &options);
        equal(&subject, "dispatches", dispatches(&options), expected);
    }
}

/// Checks loss and counts of a batch of `count` rows on `gpu`, of which some are ignored and some have bad targets.
fn check_reduction(on: &Gpu, count: usize) {
    let classes = 3;
    let rows = Rows::new(count, classes);
    let mut random = Random(33 + count as u32 as u64);
    let mut targets = random.targets(count, classes);
    targets.iter_mut().step_by(17).for_each(|t| *t = -100i32 as u32);
    let options = CrossEntropy {
        row_losses: true,
        correct: true,
        reduction: Reduction::Sum,
        weights: Some(Values::from(vec![0.5, 1.5, 2.0])),
        ..CrossEntropy::default()
    };
    let subject = Subject::new::<f32>("cross_entropy, reduced", rows, &options);
    let mean = CrossEntropy {
        reduction: Reduction::Mean,
        ..options.clone()
    };
    let x = random.logits(count * classes, 2.0);
    let sum = on.cross_entropy(&x, &targets_of(&targets), rows, &options).unwrap();
    let losses = sum.row_losses.unwrap();
    same_bits(&subject, "loss", &[sum.loss.unwrap()], &[twin::total(&losses)]);
    let counted = targets.iter().filter(|&&t| t < 3).count();
    equal(&subject, "counted", sum.counted, counted);
    let weights: Vec<f32> = targets
        .iter()
        .map(|&t| [0.5, 1.5, 2.0].get(t as usize).copied().unwrap_or(0.0))
        .collect();
    let out = on.cross_entropy(&x, &targets_of(&targets), rows, &mean).unwrap();
    let expected = twin::total(&losses) / twin::total(&weights);
    let subject = Subject::new::<f32>("cross_entropy, mean", rows, &mean);
    same_bits(&subject, "loss", &[out.loss.unwrap()], &[expected]);
    equal(&subject, "correct", out.correct, sum.correct);

    // The last row and one in the middle are bad.
    let mut bad = targets_of(&targets);
    (bad[count / 2], bad[count - 1]) = (7, 8);
    let error = on.cross_entropy(&x, &bad, rows, &mean).unwrap_err().to_string();
    let row = format!("row {} has target", count / 2);
    equal(&subject, "whether the error names the row", error.contains(&row), true);
}

fn targets_of(words: &[u32]) -> Vec<i64> {
    words.iter().map(|&t| i64::from(t as i32)).collect()
}

/// One work-group reduces up to 65,536 rows.
#[test]
fn losses_are_reduced_in_the_canonical_order_whatever_their_number() {
    for count in [2, 1023, 1024, 1025, 8193, 65_536, 65_537, 140_000] {
        check_reduction(gpu(), count);
    }
}

/// Where a device binds 64 KiB, the losses of 70,000 rows are in several bindings.
#[test]
fn losses_in_several_bindings_are_reduced_to_the_same_bits() {
    check_reduction(&binding_at_most(1 << 16), 70_000);
}

/// The summary of no rows is written by a dispatch too, so that it can be recorded in a pass.
#[test]
fn a_batch_without_rows_leaves_a_whole_summary() {
    for (empty_mean, expected) in [(EmptyMean::Nan, f32::NAN.to_bits()), (EmptyMean::Zero, 0)] {
        let options = CrossEntropy {
            empty_mean,
            ..CrossEntropy::default()
        };
        let none = Rows::new(0, 4);
        let (empty, summary) = (buffer(&[0u32; 4]), buffer(&[GUARD; 16]));
        let buffers = CrossEntropyBuffers::new(empty.slice(..), empty.slice(..), summary.slice(..));
        let bound = options.prepare(gpu(), none).unwrap().bind(&buffers).unwrap();
        let mut commands = encoder();
        bound.record(&mut commands.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        submit(commands);
        let subject = Subject::new::<f32>("cross_entropy of no rows", none, &options);
        let words: Vec<u32> = read(&summary);
        let loss = CrossEntropySummary::from_bytes(bytemuck::cast_slice(&words))
            .unwrap()
            .loss;
        equal(&subject, "loss", loss.to_bits(), expected);
        equal(&subject, "counts", words[1..6].to_vec(), vec![0; 5]);
    }
}
