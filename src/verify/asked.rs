//! Checks what users of other libraries ask for: weights of rows, sinks, divergences and Hessians.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::ops::adjust::Adjust;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyOutput, Input};
use crate::ops::logsumexp::LogSumExp;
use crate::ops::loss::{Gradient, Reduction};
use crate::ops::sink::Sink;
use crate::ops::softmax::Softmax;
use crate::ops::softmax_grad::SoftmaxGrad;
use crate::reference::{self, CrossEntropyReference};
use crate::rows::Rows;
use crate::testing::{LossBounds, Subject, places};
use crate::twin;

const COUNT: usize = 7;

/// Loads of four elements, of one, and rows of several spans, whose statistics are merged.
const SHAPES: [Rows; 3] = [Rows::new(COUNT, 8), Rows::new(COUNT, 5), Rows::new(COUNT, 2052)];

/// Normal logits, one of them −∞, and the last row a NaN.
fn logits(tally: &mut Tally<'_>, rows: Rows) -> Vec<f32> {
    let mut x = tally.random.logits(rows.count() * rows.classes(), 3.0);
    x[2] = f32::NEG_INFINITY;
    x[(COUNT - 1) * rows.classes()] = f32::NAN;
    x
}

fn outputs<T: Element>(
    tally: &mut Tally<'_>,
    subject: &Subject<'_>,
    (out, exact): (CrossEntropyOutput<T>, CrossEntropyReference),
    bounds: Option<&LossBounds>,
) {
    let losses = Compared::new("row losses", &out.row_losses.unwrap_or_default(), exact.row_losses);
    let gradient = Compared::new("gradient", &out.gradient.unwrap_or_default(), exact.gradient);
    match bounds {
        Some(bounds) => {
            tally.bounded(subject, &losses, |i, _| bounds.row_losses[i]);
            tally.bounded(subject, &gradient, |i, _| bounds.gradient[i]);
        }
        None => {
            tally.near(subject, &losses);
            tally.near(subject, &gradient);
        }
    }
    if let Some(loss) = out.loss {
        tally.near(subject, &Compared::new("loss", &[loss], vec![exact.loss]));
    }
    tally.case(subject.equal("counted", &out.counted, &exact.counted));
}

/// Of the two rows of weight 0 one has −0.
const ROW_WEIGHTS: [f32; COUNT] = [1.5, 0.25, 3.0, -0.0, 2.0, 0.75, 0.0];

/// The row with the NaN has weight 0, so that a mean shows whether it takes part.
pub(super) async fn row_weights(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in SHAPES.into_iter().filter(|rows| rows.classes() != 2052) {
        let x = logits(tally, rows);
        let targets: Vec<i64> = vec![0, 1, -100, 3, 4, 0, 99];
        for (has_weights, z_loss, reduction) in [
            (false, 0.0, Reduction::Mean),
            (true, 0.5, Reduction::Mean),
            (true, 0.0, Reduction::Sum),
            (false, 0.5, Reduction::None),
        ] {
            let class_weights: Vec<f32> = (0..rows.classes()).map(|c| 0.5 + c as f32).collect();
            let options = CrossEntropy {
                row_weights: Some(ROW_WEIGHTS.into()),
                weights: has_weights.then(|| class_weights.into()),
                gradient: Gradient::Apart,
                row_losses: true,
                z_loss,
                reduction,
                ..CrossEntropy::default()
            };
            of_indices(tally, (&x, &targets), rows, &options).await?;

            let q = vec![1.0 / rows.classes() as f32; x.len()];
            let out = tally.gpu.cross_entropy_soft_async(&x, &q, rows, &options).await?;
            let exact = reference::cross_entropy_soft(&x, &q, rows, &options)?;
            let subject = Subject::new::<f32>("cross_entropy_soft", rows, &options);
            outputs(tally, &subject, (out, exact), None);
        }
        let of_log_probs = CrossEntropy {
            input: Input::LogProbs,
            row_weights: Some(ROW_WEIGHTS.into()),
            gradient: Gradient::Apart,
            row_losses: true,
            ..CrossEntropy::default()
        };
        of_indices(tally, (&x, &targets), rows, &of_log_probs).await?;
    }
    Ok(())
}

/// That the target of a row which takes no part is out of range is no error, so that one is a failed case.
async fn of_indices(
    tally: &mut Tally<'_>,
    (x, targets): (&[f32], &[i64]),
    rows: Rows,
    options: &CrossEntropy,
) -> Result<(), RunError> {
    let subject = Subject::new::<f32>("cross_entropy", rows, options);
    let out = match tally.gpu.cross_entropy_async(x, targets, rows, options).await {
        Err(error @ RunError::TargetOutOfRange { .. }) => {
            tally.case(subject.equal("the outcome", &Err(error), &Ok(())));
            return Ok(());
        }
        out => out?,
    };
    let exact = reference::cross_entropy(x, targets, rows, options)?;
    let bounds = LossBounds::new(options, &exact);
    outputs(tally, &subject, (out, exact), Some(&bounds));
    Ok(())
}

/// So many rows that sums of their weights are summed once more.
pub(super) async fn many_row_weights(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let rows = Rows::new(66_000, 3);
    if !tally.fits(rows) {
        return Ok(());
    }
    let x = tally.random.logits(rows.count() * rows.classes(), 3.0);
    let targets = tally.random.targets(rows.count(), rows.classes());
    let of_row = |row: usize| (row % 5) as f32 * 0.5;
    let options = CrossEntropy {
        row_weights: Some((0..rows.count()).map(of_row).collect::<Vec<_>>().into()),
        weights: Some([0.5, 1.5, 3.0].into()),
        z_loss: 0.5,
        ..CrossEntropy::default()
    };
    let out = tally.gpu.cross_entropy_async(&x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(&x, &targets, rows, &options)?;
    let subject = Subject::new::<f32>("cross_entropy", rows, &options);
    let loss = out.loss.unwrap_or(f32::NAN);
    tally.near(&subject, &Compared::new("loss", &[loss], vec![exact.loss]));
    tally.case(subject.equal("counted", &out.counted, &exact.counted));
    Ok(())
}

/// Sinks below, among and above the logits, for all rows and for each, with the gradients of both.
pub(super) async fn sinks<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in SHAPES {
        let x: Vec<T> = stored(&logits(tally, rows));
        let each = [-30.0, -2.0, 0.0, 1.5, 4.0, 40.0, 0.5];
        for (sink, log) in [
            (Sink::Number(0.5), false),
            (Sink::PerRow(each.into()), false),
            (Sink::PerRow(each.into()), true),
        ] {
            let sink = Some(sink);
            let options = Softmax {
                sink: sink.clone(),
                log,
                ..Softmax::default()
            };
            let y = tally.gpu.softmax_async(&x, rows, &options).await?;
            let subject = Subject::new::<T>("softmax", rows, &options);
            tally.near(
                &subject,
                &Compared::new("y", &y, reference::softmax(&x, rows, &options)?),
            );

            let of_lse = LogSumExp {
                sink: sink.clone(),
                ..LogSumExp::default()
            };
            let lse = tally.gpu.logsumexp_async(&x, rows, &of_lse).await?;
            let exact = reference::logsumexp(&x, rows, &of_lse)?;
            tally.near(&subject, &Compared::new("lse", &lse, exact));
            if T::DTYPE == Dtype::F32 && rows.classes() == 8 && !log {
                sink_of_lse(tally, (&x, &lse), rows, &of_lse).await?;
            }

            let g: Vec<T> = stored(&tally.random.logits(x.len(), 1.0));
            let backward = SoftmaxGrad {
                sink,
                log,
                ..SoftmaxGrad::default()
            };
            let (dx, of_sink) = (tally.gpu)
                .softmax_grad_with_sink_async(&y, &g, None, &lse, rows, &backward)
                .await?;
            let subject = Subject::new::<T>("softmax_grad", rows, &backward);
            let exact = reference::softmax_grad(&y, &g, rows, log, None)?;
            tally.near(&subject, &Compared::new("dx", &dx, exact));
            let exact = sink_gradients((&y, &g), rows, log, reference::sink_probabilities(&x, rows, &options)?);
            tally.near(&subject, &Compared::new("the sinks' gradient", &of_sink, exact));
        }
    }
    Ok(())
}

/// The gradients of an lse.
async fn sink_of_lse<T: Element>(
    tally: &mut Tally<'_>,
    (x, lse): (&[T], &[f32]),
    rows: Rows,
    options: &LogSumExp,
) -> Result<(), RunError> {
    let g = tally.random.logits(rows.count(), 1.0);
    let (dx, of_sink) = (tally.gpu)
        .logsumexp_grad_with_sink_async(x, lse, &g, rows, options)
        .await?;
    let g: Vec<f64> = g.into_iter().map(f64::from).collect();
    let subject = Subject::new::<T>("logsumexp_grad", rows, options);
    let exact = reference::logsumexp_grad(x, &g, rows, options)?;
    tally.near(&subject, &Compared::new("dx", &dx, exact));
    let forward = Softmax {
        sink: options.sink.clone(),
        ..Softmax::default()
    };
    let p = reference::sink_probabilities(x, rows, &forward)?;
    let exact = p.into_iter().zip(g).map(|(p, g)| p * g).collect();
    tally.near(&subject, &Compared::new("the sinks' gradient", &of_sink, exact));
    Ok(())
}

/// `−p Σ g y`, and of log-softmax `−p Σ g` over the classes that are not −∞.
fn sink_gradients<T: Element>((y, g): (&[T], &[T]), rows: Rows, log: bool, p: Vec<f64>) -> Vec<f64> {
    let term = |i: usize| -> f64 {
        let (y, g): (f64, f64) = (y[i].into(), g[i].into());
        match log {
            true if y == f64::NEG_INFINITY => 0.0,
            true => g + 0.0 * y,
            false => g * y,
        }
    };
    let of_row = |(row, p): (usize, f64)| -p * places(&rows, row).map(term).sum::<f64>();
    p.into_iter().enumerate().map(of_row).collect()
}

pub(super) async fn sink_twin(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [3, 64, 1000, 2050] {
        let rows = Rows::new(COUNT, classes);
        if !tally.fits(rows) {
            continue;
        }
        let x = tally.random.logits(COUNT * classes, 4.0);
        let sinks: Vec<f32> = (0..COUNT).map(|row| 5.0 * row as f32 - 12.0).collect();
        let expected = x.chunks(classes).zip(&sinks);
        let expected: Vec<f32> = expected
            .flat_map(|(x, &sink)| twin::softmax_with_sink(x, sink))
            .collect();
        let options = Softmax {
            sink: Some(Sink::PerRow(sinks.into())),
            ..Softmax::default()
        };
        let y = tally.gpu.softmax_async(&x, rows, &options).await?;
        tally.case(Subject::new::<f32>("softmax", rows, &options).bits("y", &y, &expected));
        tally.hash(bytemuck::cast_slice(&y));
    }
    Ok(())
}

/// From a teacher near the logits and one that is not, at two temperatures, and from probabilities of which one is 0.
pub(super) async fn divergences<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in SHAPES {
        let x: Vec<T> = stored(&logits(tally, rows));
        for (distance, temperature, squared) in [(0.01, 1.0, false), (3.0, 2.5, true)] {
            let noise = tally.random.logits(x.len(), distance);
            let near = x
                .iter()
                .zip(noise)
                .map(|(&x, noise)| Into::<f64>::into(x) as f32 + noise);
            let mut teacher: Vec<f32> = near.collect();
            teacher[rows.classes() + 1] = f32::NEG_INFINITY;
            let teacher: Vec<T> = stored(&teacher);
            let options = CrossEntropy {
                temperature,
                times_squared_temperature: squared,
                z_loss: if squared { 0.25 } else { 0.0 },
                gradient: Gradient::Apart,
                row_losses: true,
                ..CrossEntropy::default()
            };
            let out = tally.gpu.distillation_async(&x, &teacher, rows, &options).await?;
            let exact = reference::distillation(&x, &teacher, rows, &options)?;
            let subject = Subject::new::<T>(format!("distillation at {distance}"), rows, &options);
            outputs(tally, &subject, (out, exact), None);
        }
        let q = reference::softmax(&tally.random.logits(x.len(), 2.0), rows, &Softmax::default())?;
        let mut q: Vec<f32> = q.into_iter().map(|q| q as f32).collect();
        (q[2], q[rows.classes()], q[3 * rows.classes()]) = (0.0, 0.0, -0.25);
        let q: Vec<T> = stored(&q);
        let options = CrossEntropy {
            divergence: true,
            gradient: Gradient::Apart,
            row_losses: true,
            ..CrossEntropy::default()
        };
        let out = tally.gpu.cross_entropy_soft_async(&x, &q, rows, &options).await?;
        let exact = reference::cross_entropy_soft(&x, &q, rows, &options)?;
        let subject = Subject::new::<T>("cross_entropy_soft", rows, &options);
        outputs(tally, &subject, (out, exact), None);
    }
    Ok(())
}

/// Products that are many times what they may be off by.
pub(super) async fn hessians(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in SHAPES {
        let x = logits(tally, rows);
        let v = tally.random.logits(x.len(), 3.0);
        let targets: Vec<i64> = vec![0, 1, -100, 3, 4, 0, 2];
        for (z_loss, label_smoothing, scale) in [(0.0, 0.0, 1.0), (0.5, 0.25, -0.75)] {
            let options = CrossEntropy {
                z_loss,
                label_smoothing,
                adjust: Adjust::scaled(scale),
                weights: Some(
                    (0..rows.classes())
                        .map(|c| 0.5 + (c % 3) as f32)
                        .collect::<Vec<_>>()
                        .into(),
                ),
                ..CrossEntropy::default()
            };
            let out = (tally.gpu)
                .cross_entropy_hvp_async(&x, &targets, &v, rows, &options)
                .await?;
            let exact = reference::cross_entropy_hvp(&x, &targets, &v, rows, &options)?;
            let subject = Subject::new::<f32>("cross_entropy_hvp", rows, &options);
            let product = out.gradient.unwrap_or_default();
            tally.near(&subject, &Compared::new("the product", &product, exact.gradient));
        }
        softmax_hessians(tally, (&x, &v), rows).await?;
    }
    Ok(())
}

async fn softmax_hessians(tally: &mut Tally<'_>, (x, v): (&[f32], &[f32]), rows: Rows) -> Result<(), RunError> {
    let g = tally.random.logits(x.len(), 1.0);
    for (log, scale) in [(false, -1.5), (true, 1.0)] {
        let forward = Softmax {
            log,
            ..Softmax::default()
        };
        let y = tally.gpu.softmax_async(x, rows, &forward).await?;
        let options = SoftmaxGrad {
            log,
            adjust: Adjust::scaled(scale),
            ..SoftmaxGrad::default()
        };
        let product = tally.gpu.softmax_hvp_async(&y, &g, v, rows, &options).await?;
        let mut exact = reference::softmax_hvp(&y, &g, v, rows, log)?;
        exact
            .iter_mut()
            .for_each(|product| *product *= f64::from(scale * scale));
        let subject = Subject::new::<f32>("softmax_hvp", rows, &options);
        let most = |row: usize, of: &[f32]| places(&rows, row).map(|i| f64::from(of[i]).abs()).fold(0.0, f64::max);
        let size: Vec<f64> = (0..COUNT).map(|row| most(row, &g) * most(row, v)).collect();
        let total = |row: usize| {
            if log {
                places(&rows, row).map(|i| f64::from(g[i]).abs()).sum()
            } else {
                1.0
            }
        };
        let bound = |i: usize, _: f64| {
            let row = i / rows.classes();
            let allowed = 2e-6 * (size[row] * total(row)).max(1.0);
            (allowed, allowed)
        };
        tally.within(&subject, &Compared::new("the product", &product, exact), bound);
    }
    Ok(())
}
