//! Checks divergences from a teacher closely: those that are small, of rows that both are all but certain of, and of rows that have
//! no distribution.

use super::recorded::Guarded;
use super::tally::{Compared, Tally};
use crate::error::{EncodeError, RunError};
use crate::ops::adjust::Adjust;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyBuffers, Targets};
use crate::ops::loss::Gradient;
use crate::reference;
use crate::rows::Rows;
use crate::schedule::Schedule;
use crate::testing::{Bound, LossBounds, Subject};

const COUNT: usize = 8;
/// What rounding does to the logarithms of both denominators: it counts with its square, and where they are those of one of several
/// chunks with how far apart the two distributions are, about the root of twice the divergence.
const LOGARITHM: f64 = 1.0 / 16_777_216.0;

/// A student near its teacher, and rows of each kind: of all but certain ones, a teacher with +∞, one of −∞ alone, a class that
/// only the teacher has, and one that only the student has; and a teacher so far above its student that the difference overflows.
fn logits(tally: &mut Tally<'_>, classes: usize) -> (Vec<f32>, Vec<f32>) {
    let mut teacher = tally.random.logits(COUNT * classes, 4.0);
    let noise = tally.random.logits(COUNT * classes, 1e-2);
    let mut student: Vec<f32> = teacher.iter().zip(noise).map(|(t, n)| t + n + 3.0).collect();
    let at = |row: usize, class: usize| row * classes + class;
    (student[at(2, 3)], teacher[at(2, 3)]) = (25.0, 23.0);
    teacher[at(3, 1)] = f32::INFINITY;
    teacher[at(4, 0)..at(5, 0)].fill(f32::NEG_INFINITY);
    student[at(5, 1)] = f32::NEG_INFINITY;
    teacher[at(6, 2)] = f32::NEG_INFINITY;
    student[at(7, 0)..].fill(-3e38);
    teacher[at(7, 0)..].fill(3e38);
    (student, teacher)
}

/// Rows of one chunk, and of three that are loaded again.
pub(super) async fn teachers(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for (classes, schedule) in [(8, None), (2052, Some(Schedule::Split { lanes: 32, pieces: 3 }))] {
        let rows = Rows::new(COUNT, classes);
        let (x, teacher) = logits(tally, classes);
        let options = CrossEntropy {
            gradient: Gradient::Apart,
            row_losses: true,
            schedule,
            ..CrossEntropy::default()
        };
        let out = match tally.gpu.distillation_async(&x, &teacher, rows, &options).await {
            Err(RunError::Encode(EncodeError::Schedule { .. })) => continue,
            out => out?,
        };
        let exact = reference::distillation(&x, &teacher, rows, &options)?;
        let subject = Subject::new::<f32>("distillation", rows, &options);
        let bounds = LossBounds::new(&options, &exact);
        let losses = out.row_losses.unwrap_or_default();
        tally.within(
            &subject,
            &Compared::new("row losses", &losses, exact.row_losses),
            |_, exact| {
                let apart = if classes > 1024 {
                    (2.0 * exact).sqrt()
                } else {
                    LOGARITHM
                };
                let Bound { allowed, unit } = Bound::of_itself(exact, 12.0);
                (allowed + LOGARITHM * apart, unit)
            },
        );
        let gradient = out.gradient.unwrap_or_default();
        let certain = 2 * classes + 3;
        let compared = Compared::new(
            "gradient of a class that both are certain of",
            &gradient[certain..=certain],
            vec![exact.gradient[certain]],
        );
        tally.within(&subject, &compared, |_, exact| (1e-4 * exact.abs(), exact.abs()));
        let gradient = Compared::new("gradient", &gradient, exact.gradient);
        tally.bounded(&subject, &gradient, |i, _| bounds.gradient[i]);
    }
    Ok(())
}

/// The product of a divergence's Hessian and a direction, which only recorded calls have: that of soft targets, times T².
pub(super) async fn hessian(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let rows = Rows::new(COUNT, 8);
    let [x, teacher, v] = [4.0, 4.0, 3.0].map(|scale| tally.random.logits(COUNT * 8, scale));
    let options = CrossEntropy {
        targets: Targets::TeacherLogits,
        temperature: 2.0,
        times_squared_temperature: true,
        hessian_vector: true,
        gradient: Gradient::Apart,
        ..CrossEntropy::default()
    };
    let gpu = tally.gpu;
    let (logits, targets) = (Guarded::of(gpu, &x)?, Guarded::of(gpu, &teacher)?);
    let (direction, product) = (Guarded::of(gpu, &v)?, Guarded::empty(gpu, x.len())?);
    let summary = Guarded::summary(gpu, 16)?;
    let buffers = CrossEntropyBuffers {
        direction: Some(direction.inside()),
        gradient: Some(product.inside()),
        ..CrossEntropyBuffers::new(logits.inside(), targets.inside(), summary.inside())
    };
    let mut encoder = gpu.encoder();
    options.prepare(gpu, rows)?.encode(&mut encoder, &buffers)?;
    gpu.submit(encoder)?;
    let subject = Subject::new::<f32>("distillation's Hessian, recorded", rows, &options);
    let words = product.read(tally, &subject, "the product").await?;
    let of_targets = CrossEntropy {
        adjust: Adjust::scaled(0.5),
        ..CrossEntropy::default()
    };
    let q = vec![0.125f32; x.len()];
    let exact = reference::cross_entropy_soft_hvp(&x, &q, &v, rows, &of_targets)?;
    let exact = exact.gradient.iter().map(|product| 4.0 * product).collect();
    let got: &[f32] = bytemuck::cast_slice(&words);
    tally.near(&subject, &Compared::new("the product", got, exact));
    Ok(())
}
