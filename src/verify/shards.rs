//! Checks that shards have the bits of whole rows.

use super::tally::Tally;
use crate::error::RunError;
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::loss::Gradient;
use crate::ops::shard::ShardStatistics;
use crate::ops::softmax::Softmax;
use crate::rows::Rows;
use crate::testing::{Subject, part};

pub(super) async fn shards(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (classes, parts) in [(1025, 2), (5000, 3), (32_000, 7), (128_256, 4)] {
        let whole = Rows::new(3, classes);
        if !tally.fits(whole) {
            continue;
        }
        let x = tally.random.logits(3 * classes, 5.0);
        let targets = tally.random.targets(3, classes);
        let rows: Vec<Rows> = (Rows::even_shards(classes, parts).into_iter())
            .map(|(first, held)| Rows::new(3, held).shard(first, classes))
            .collect();
        softmax(tally, &x, whole, &rows).await?;
        loss(tally, (&x, &targets), whole, &rows).await?;
    }
    Ok(())
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
