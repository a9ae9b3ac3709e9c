//! Checks that shards have the bits of whole rows.

use super::tally::Tally;
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::Gradient;
use crate::ops::sample::{Sample, SampleOutput, ShardSampling};
use crate::ops::shard::ShardStatistics;
use crate::ops::softmax::Softmax;
use crate::rows::Rows;
use crate::testing::{SampleBatch, Subject, part, reported};

pub(super) async fn shards(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (classes, parts) in [(1025, 2), (5000, 3), (32_000, 7), (128_256, 4)] {
        let whole = Rows::new(3, classes);
        if !tally.fits(whole) {
            continue;
        }
        let x = tally.random.logits(3 * classes, 5.0);
        let targets = tally.random.targets(3, classes);
        let rows = shards_of(whole, parts);
        softmax(tally, &x, whole, &rows).await?;
        loss(tally, (&x, &targets), whole, &rows).await?;
    }
    Ok(())
}

/// The rows of shards of nearly equal size.
fn shards_of(whole: Rows, parts: usize) -> Vec<Rows> {
    let (count, classes) = (whole.count(), whole.classes());
    let rows = |(first, held)| Rows::new(count, held).shard(first, classes);
    Rows::even_shards(classes, parts).into_iter().map(rows).collect()
}

async fn softmax(tally: &mut Tally<'_>, x: &[f32], whole: Rows, shards: &[Rows]) -> Result<(), RunError> {
    let (gpu, options) = (tally.gpu, Softmax::default());
    let mut found = Vec::new();
    for rows in shards {
        found.push(gpu.softmax_statistics_async(&part(x, rows), *rows, &options).await?);
    }
    let all = ShardStatistics::join(&found)?;
    let expected = gpu.softmax_async(x, whole, &options).await?;
    for rows in shards {
        let y = gpu.softmax_shard_async(&part(x, rows), *rows, &all, &options).await?;
        let subject = Subject::new::<f32>("softmax of a shard", *rows, &options);
        tally.case(subject.bits("y", &y, &part(&expected, rows)));
    }
    Ok(())
}

async fn loss(
    tally: &mut Tally<'_>,
    (x, targets): (&[f32], &[u32]),
    whole: Rows,
    shards: &[Rows],
) -> Result<(), RunError> {
    let options = CrossEntropy {
        gradient: Gradient::Apart,
        label_smoothing: 0.1,
        ..CrossEntropy::default()
    };
    let gpu = tally.gpu;
    let mut found = Vec::new();
    for rows in shards {
        found.push(
            gpu.cross_entropy_statistics_async(&part(x, rows), targets, *rows, &options)
                .await?,
        );
    }
    let all = ShardStatistics::join(&found)?;
    let expected = gpu.cross_entropy_async(x, targets, whole, &options).await?;
    for rows in shards {
        let out = gpu
            .cross_entropy_shard_async(&part(x, rows), targets, *rows, &all, &options)
            .await?;
        let subject = Subject::new::<f32>("cross_entropy of a shard", *rows, &options);
        let [got, expected_loss] = [out.loss, expected.loss].map(|loss| [loss.unwrap_or(f32::NAN)]);
        tally.case(subject.bits("loss", &got, &expected_loss));
        let of_shard = part(expected.gradient.as_deref().unwrap_or_default(), rows);
        tally.case(subject.bits("gradient", &out.gradient.unwrap_or_default(), &of_shard));
    }
    Ok(())
}

/// Rows of every kind, with the filters, penalties, biases and allowed classes of a batch, and all that can be reported.
pub(super) async fn sampled(tally: &mut Tally<'_>) -> Result<(), RunError> {
    const COUNT: usize = 32;
    for (classes, parts) in [(1025, 2), (5000, 3), (32_000, 4)] {
        if !tally.fits(Rows::new(COUNT, classes)) {
            continue;
        }
        let batch = SampleBatch::new(&mut tally.random, COUNT, classes, true);
        let options = Sample {
            probs: true,
            ..batch.options()
        };
        let shards = shards_of(batch.rows, parts);
        let mut under_way = Vec::new();
        for rows in &shards {
            let x = part(&batch.logits, rows);
            under_way.push(tally.gpu.sample_shard_async(&x, *rows, &options).await?);
        }
        let expected = tally.gpu.sample_async(&batch.logits, batch.rows, &options).await?;
        for (rows, out) in shards.iter().zip(advanced(under_way).await?) {
            let subject = Subject::new::<f32>("sample, a shard,", *rows, &options.joint);
            for ((name, got), (_, expected)) in reported(&out).into_iter().zip(reported(&expected)) {
                tally.case(subject.each(name, &got.unwrap_or_default(), &expected.unwrap_or_default()));
            }
            let probs = expected.probs.as_deref().unwrap_or_default();
            tally.case(subject.bits("probs", &out.probs.unwrap_or_default(), &part(probs, rows)));
        }
    }
    Ok(())
}

/// Goes on with all shards until their tokens are there.
async fn advanced(mut shards: Vec<ShardSampling>) -> Result<Vec<SampleOutput>, RunError> {
    loop {
        let words: Vec<_> = shards.iter().map(|shard| shard.words().to_vec()).collect();
        let (mut under_way, mut outputs) = (Vec::new(), Vec::new());
        for shard in shards {
            match shard {
                ShardSampling::Done(out) => outputs.push(out),
                ShardSampling::Exchange(_) => under_way.push(shard.advance_async(&words).await?),
            }
        }
        if under_way.is_empty() {
            return Ok(outputs);
        }
        shards = under_way;
    }
}
