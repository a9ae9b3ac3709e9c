//! Checks what only unusual numbers show: equal maxima in several spans, soft targets that are no numbers, results between two
//! numbers of 16 bits, batches in parts, and edges of what sampling keeps.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::Element;
use crate::error::{EncodeError, RunError};
use crate::ops::adjust::{Adjust, Mask, Scale};
use crate::ops::cross_entropy::{CrossEntropy, Input};
use crate::ops::loss::{Gradient, Reduction, Upstream};
use crate::ops::sample::{Sample, SampleParams};
use crate::ops::shard::ShardStatistics;
use crate::ops::softmax::Softmax;
use crate::reference;
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::testing::{SampleBatch, Subject, part};
use crate::twin::{self, Drawn, Edits};

/// The first of several largest classes, which lie in other chunks and spans: rows of one span, of several, and of spans of several
/// chunks.
pub(super) async fn ties(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (count, classes) in [(3, 1000), (3, 5000), (1, 1_050_000)] {
        let rows = Rows::new(count, classes);
        if !tally.fits(rows) {
            continue;
        }
        let mut x: Vec<f32> = tally
            .random
            .logits(count * classes, 1.0)
            .iter()
            .map(|v| v.min(3.0))
            .collect();
        for (row, values) in x.chunks_mut(classes).enumerate() {
            // In both chunks of a span of two, and in all spans after it.
            let first = classes / 3 / 2048 * 2048 + row;
            values[first..].iter_mut().step_by(1024).for_each(|v| *v = 5.0);
        }
        let options = CrossEntropy {
            argmax: true,
            correct: true,
            entropy: true,
            reduction: Reduction::Sum,
            ..CrossEntropy::default()
        };
        let targets: Vec<u32> = (0..count)
            .map(|row| (classes / 3 / 2048 * 2048 + row.min(1)) as u32)
            .collect();
        let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
        let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        let argmax = out.argmax.iter().flatten().map(|&c| c as usize);
        tally.near(&subject, &Compared::indices("argmax", argmax, &exact.argmax));
        tally.case(subject.equal("correct", &out.correct, &Some(exact.correct)));
        let entropies = out.entropy.unwrap_or_default();
        tally.near(&subject, &Compared::new("entropy", &entropies, exact.entropies));
    }
    Ok(())
}

/// Zeros of either sign are equal: the first of them is the first maximum, in whatever span it is. And a class that is masked has no
/// gradient, even of a row whose upstream gradient is no number.
pub(super) async fn zeros(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [8, 2050] {
        let rows = Rows::new(3, classes);
        let mut x: Vec<f32> = tally
            .random
            .logits(3 * classes, 1.0)
            .iter()
            .map(|v| -v.abs() - 1.0)
            .collect();
        for row in x.chunks_mut(classes) {
            (row[2], row[classes - 1], row[4]) = (-0.0, 0.0, f32::NEG_INFINITY);
        }
        let options = CrossEntropy {
            argmax: true,
            reduction: Reduction::None,
            gradient: Gradient::Apart,
            upstream: Upstream::PerRow(vec![f32::INFINITY, f32::NAN, 1.0]),
            ..CrossEntropy::default()
        };
        let out = tally.gpu.cross_entropy_async(&x, &[2u32; 3], rows, &options).await?;
        let subject = Subject::new::<f32>("cross_entropy", rows, &options);
        tally.case(subject.each("argmax", out.argmax.as_deref().unwrap_or_default(), &[2; 3]));
        let gradient = out.gradient.unwrap_or_default();
        let masked: Vec<f32> = gradient.iter().skip(4).step_by(classes).copied().collect();
        tally.case(subject.bits("gradients of masked classes", &masked, &[0.0; 3]));
    }
    Ok(())
}

/// Soft targets with a NaN, and with some on a class that is −∞: in the first span of a row and in the last; and a row of which all
/// classes but one are so far below that the difference overflows.
pub(super) async fn soft_targets(tally: &mut Tally<'_>) -> Result<(), RunError> {
    const COUNT: usize = 7;
    for classes in [8, 5, 2052] {
        let rows = Rows::new(COUNT, classes);
        let mut x = tally.random.logits(COUNT * classes, 3.0);
        let mut soft = vec![0.0; x.len()];
        soft.iter_mut().step_by(3).for_each(|q| *q = 3.0 / classes as f32);
        for (row, class) in [(1, 0), (2, classes - 1)] {
            soft[row * classes + class] = f32::NAN;
        }
        for (row, class) in [(3, 0), (4, classes - 1), (5, 1)] {
            x[row * classes + class] = f32::NEG_INFINITY;
            // Nothing is on the last of them.
            soft[row * classes + class] = if row == 5 { 0.0 } else { 0.25 };
        }
        x[6 * classes..].fill(-3e38);
        soft[6 * classes..].fill(0.0);
        (x[6 * classes], soft[6 * classes]) = (3e38, 1.0);
        let options = CrossEntropy {
            reduction: Reduction::None,
            gradient: Gradient::Apart,
            ..CrossEntropy::default()
        };
        let out = tally.gpu.cross_entropy_soft_async(&x, &soft, rows, &options).await?;
        let exact = reference::cross_entropy_soft(&x, &soft, rows, &options)?;
        let subject = Subject::new::<f32>("cross_entropy_soft", rows, &options);
        let losses = out.row_losses.unwrap_or_default();
        tally.near(&subject, &Compared::new("row losses", &losses, exact.row_losses));
        let gradient = out.gradient.unwrap_or_default();
        tally.near(&subject, &Compared::new("gradient", &gradient, exact.gradient));
    }
    Ok(())
}

/// Numbers that are rounded: halfway between two of f16 and of bf16, to the even one above and below; just beside halfway; the
/// largest and the smallest, and what is beyond them.
const ROUNDED: [f32; 24] = [
    1.0,
    1.0 + 1.0 / 256.0,
    1.0 + 3.0 / 256.0,
    1.0 + 1.001 / 256.0,
    1.0 + 1.0 / 2048.0,
    1.0 + 3.0 / 2048.0,
    1.0 + 1.001 / 2048.0,
    1.0 + 0.999 / 2048.0,
    255.5,
    1.999_9,
    65503.0,
    65519.0,
    65520.0,
    1e30,
    f32::MAX,
    6.0e-5,
    6.1e-5,
    6.1035156e-5,
    2.9802322e-8,
    2.9802326e-8,
    8.940697e-8,
    1e-8,
    1e-37,
    -1e-20,
];

/// Gradients of log-probabilities are but the upstream gradient, so that they say how any number is rounded to 16 bits: to the
/// nearest, of two to the even one.
pub(super) async fn narrowed<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let all: Vec<f32> = ROUNDED.iter().flat_map(|&v| [v, -v]).collect();
    for classes in [4, 6, 5] {
        let rows = Rows::new(all.len(), classes);
        let x: Vec<T> = stored(&tally.random.logits(all.len() * classes, 1.0));
        let targets = tally.random.targets(all.len(), classes);
        let options = CrossEntropy {
            input: Input::LogProbs,
            reduction: Reduction::None,
            gradient: Gradient::Apart,
            upstream: Upstream::PerRow(all.clone()),
            ..CrossEntropy::default()
        };
        let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
        let mut expected = vec![T::nearest(0.0); x.len()];
        for (row, &target) in targets.iter().enumerate() {
            expected[row * classes + target as usize] = T::nearest(-all[row]);
        }
        let subject = Subject::new::<T>("nll_loss", rows, &options);
        tally.case(subject.bits("gradient", &out.gradient.unwrap_or_default(), &expected));
    }
    Ok(())
}

/// A batch that goes to the device in parts, with what depends on a row's number in the whole batch.
pub(super) async fn parts(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let in_parts = tally.gpu.with_part_bytes(300);
    let rows = Rows::new(50, 10);
    let x = tally.random.logits(500, 3.0);
    for mask in [
        Mask::Causal { group: 5, offset: 2 },
        Mask::Full(tally.random.logits(500, 1.0).into()),
    ] {
        let options = CrossEntropy {
            adjust: Adjust {
                scale: Scale::PerRow(tally.random.logits(50, 1.0).into()),
                mask,
                ..Adjust::default()
            },
            reduction: Reduction::None,
            gradient: Gradient::Apart,
            upstream: Upstream::PerRow(tally.random.logits(50, 1.0)),
            lse: true,
            ..CrossEntropy::default()
        };
        let targets = vec![0u32; 50];
        let out = in_parts.cross_entropy_async(&x, &targets, rows, &options).await?;
        let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
        let subject = Subject::new::<f32>("cross_entropy in parts of 300 bytes", rows, &options);
        for (name, got, exact) in [
            ("row losses", out.row_losses, exact.row_losses),
            ("lse", out.lse, exact.lse),
            ("gradient", out.gradient, exact.gradient),
        ] {
            tally.near(&subject, &Compared::new(name, &got.unwrap_or_default(), exact));
        }
    }
    let mut targets = vec![0i64; 50];
    (targets[33], targets[41]) = (10, 11);
    let expected = RunError::TargetOutOfRange {
        row: 33,
        target: 10,
        classes: 10,
        count: 2,
    };
    let options = CrossEntropy::default();
    let got = match in_parts.cross_entropy_async(&x, &targets, rows, &options).await {
        Err(error @ (RunError::DeviceLost { .. } | RunError::Device { .. })) => return Err(error),
        got => got.map(|_| ()),
    };
    let subject = Subject::new::<f32>("cross_entropy in parts of 300 bytes", rows, &options);
    tally.case(subject.equal("the outcome", &got, &Err(expected)));
    Ok(())
}

/// More work-groups than a dispatch may have in one dimension, each with a row.
pub(super) async fn groups(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let rows = Rows::new(70_001, 5);
    if !tally.fits(rows) {
        return Ok(());
    }
    let x = tally.random.logits(rows.count() * rows.classes(), 3.0);
    let options = Softmax {
        schedule: Some(Schedule::Split { lanes: 8, pieces: 1 }),
        ..Softmax::default()
    };
    let y = match tally.gpu.softmax_async(&x, rows, &options).await {
        Err(RunError::Encode(EncodeError::Schedule { .. })) => return Ok(()),
        got => got?,
    };
    let expected: Vec<f32> = x.chunks(rows.classes()).flat_map(twin::softmax).collect();
    tally.case(Subject::new::<f32>("softmax", rows, &options).bits("y", &y, &expected));
    Ok(())
}

/// Two shards, each in parts of 3,000 bytes, of which the statistics lie span by span, and not row by row.
pub(super) async fn shards_in_parts(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let (count, classes) = (6, 5000);
    let whole = Rows::new(count, classes);
    let x = tally.random.logits(count * classes, 3.0);
    let options = Softmax::default();
    let in_parts = tally.gpu.with_part_bytes(3000);
    let shards = [(0, 2048), (2048, classes - 2048)].map(|(first, held)| Rows::new(count, held).shard(first, classes));
    let mut found = Vec::new();
    for rows in &shards {
        let of_shard = part(&x, rows);
        found.push(in_parts.softmax_statistics_async(&of_shard, *rows, &options).await?);
    }
    let all = ShardStatistics::join(&found)?;
    let expected: Vec<f32> = x.chunks(classes).flat_map(twin::softmax).collect();
    for rows in &shards {
        let y = in_parts
            .softmax_shard_async(&part(&x, rows), *rows, &all, &options)
            .await?;
        let subject = Subject::new::<f32>("softmax of a shard in parts", *rows, &options);
        tally.case(subject.bits("y", &y, &part(&expected, rows)));
    }
    let whole_rows = Subject::new::<f32>("softmax of whole rows in parts", whole, &options);
    let y = in_parts.softmax_async(&x, whole, &options).await?;
    tally.case(whole_rows.bits("y", &y, &expected));
    Ok(())
}

/// The derivative of a softmax of scaled logits.
pub(super) async fn scaled_jacobian(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let options = Softmax {
        adjust: Adjust::scaled(-0.75),
        ..Softmax::default()
    };
    let rows = Rows::new(3, 7);
    let x = tally.random.logits(21, 2.0);
    let jacobian = tally.gpu.softmax_jacobian_async(&x, rows, &options).await?;
    let exact = reference::softmax_jacobian(&x, rows, &options)?;
    let subject = Subject::new::<f32>("softmax_jacobian", rows, &options);
    tally.near(&subject, &Compared::new("the derivative", &jacobian, exact));
    Ok(())
}

/// Rows of which sampling keeps what lies just at an edge: equal logits, of which top_p is an exact share; logits that are 0 once
/// they are divided by the temperature, and so equal; and rows of which few are kept, from a list of them, of equal classes too.
pub(super) async fn edges(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let classes = 8;
    let tiny: Vec<f32> = (0..classes).map(|c| c as f32 * 2e-39 + 1.2e-38).collect();
    let rounded: Vec<f32> = (0..classes).map(|c| (c % 3) as f32 * 0.5).collect();
    let with = |temperature, top_k, top_p| SampleParams {
        temperature,
        top_k,
        top_p,
        ..SampleParams::default()
    };
    let mut batch: Vec<(Vec<f32>, SampleParams)> = Vec::new();
    for top_p in [0.25, 0.5, 0.75, 0.875] {
        batch.push((vec![1.5; classes], with(1.0, 0, top_p)));
    }
    for top_k in 1..8 {
        batch.push((tiny.clone(), with(3.0, top_k, 1.0)));
        batch.push((rounded.clone(), with(0.7, top_k, 1.0)));
    }
    for min_p in [0.1f32, 0.2, 0.3, 0.6, 0.7, 0.9] {
        // The logarithm's nearest number, which is above it or below.
        let edge = f64::from(min_p).ln() as f32;
        let row = vec![0.0, edge, edge.next_up(), edge.next_down(), -0.5, -1.0, -2.0, -9.0];
        let params = SampleParams {
            min_p,
            ..SampleParams::default()
        };
        batch.push((row, params));
    }
    for seed in 0..4 {
        let x: Vec<f32> = batch.iter().flat_map(|(x, _)| x.clone()).collect();
        let params: Vec<SampleParams> = (0..).zip(&batch).map(|(row, (_, p))| p.at(seed, row)).collect();
        let of_row = |(x, p): (&[f32], &SampleParams)| twin::draw(&twin::values(x, p, Edits::default()), p, false);
        let drawn: Vec<Drawn> = x.chunks(classes).zip(&params).map(of_row).collect();
        sampled(
            tally,
            (&x, Rows::new(batch.len(), classes)),
            &Sample::per_row(params),
            &drawn,
        )
        .await?;
    }
    let (classes, count) = (2000, 16);
    let x = vec![0.5; classes * count];
    let params: Vec<SampleParams> = (0..count as u32)
        .map(|row| with(1.0, 100 + 20 * row, 1.0).at(row.into(), 0))
        .collect();
    let of_row = |(x, p): (&[f32], &SampleParams)| twin::draw(x, p, false);
    let drawn: Vec<Drawn> = x.chunks(classes).zip(&params).map(of_row).collect();
    sampled(tally, (&x, Rows::new(count, classes)), &Sample::per_row(params), &drawn).await?;
    for (classes, most) in [(300, 3), (4100, 100)] {
        let few = SampleBatch::new(&mut tally.random, 32, classes, true);
        let few = few.with_few(&mut tally.random, most);
        sampled(tally, (&few.logits, few.rows), &few.options(), &few.drawn()).await?;
    }
    Ok(())
}

pub(super) async fn sampled(
    tally: &mut Tally<'_>,
    (x, rows): (&[f32], Rows),
    options: &Sample,
    drawn: &[Drawn],
) -> Result<(), RunError> {
    let options = Sample {
        ranks: true,
        kept: true,
        ..options.clone()
    };
    let out = tally.gpu.sample_async(x, rows, &options).await?;
    let subject = Subject::new::<f32>("sample", rows, &options.rows);
    let of = |part: fn(&Drawn) -> u32| -> Vec<u32> { drawn.iter().map(part).collect() };
    for (name, got, expected) in [
        ("tokens", out.tokens, of(|d| d.token)),
        ("ranks", out.ranks.unwrap_or_default(), of(|d| d.rank)),
        ("kept", out.kept.unwrap_or_default(), of(|d| d.kept)),
    ] {
        tally.case(subject.each(name, &got, &expected));
    }
    Ok(())
}
