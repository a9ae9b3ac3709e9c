//! Checks what the options of a loss make of it, on logits that are used as they are: numbers within the bounds of the results
//! themselves, which a factor that is off by 5e-6 leaves.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::ops::cross_entropy::{CrossEntropy, CrossEntropyOutput, Input};
use crate::ops::loss::{EmptyMean, Gradient, Normalizer, Reduction, Upstream};
use crate::ops::softmax::Softmax;
use crate::reference::{self, CrossEntropyReference};
use crate::rows::Rows;
use crate::testing::{LossBounds, Subject};

const COUNT: usize = 9;

/// Loads of four elements and of one, for f32; of two, and of one, for the others. One more is a row of several spans, whose
/// statistics are merged.
fn shapes<T: Element>() -> Vec<Rows> {
    match T::DTYPE {
        Dtype::F32 => vec![Rows::new(COUNT, 8), Rows::new(COUNT, 5), Rows::new(COUNT, 2052)],
        Dtype::F16 => vec![Rows::new(COUNT, 6)],
        Dtype::Bf16 => vec![Rows::new(COUNT, 5)],
    }
}

/// The terms of a loss, in words. The z-loss is large enough that its part of a gradient is one of the largest.
const TERMS: [&str; 6] = ["", "weights", "smoothing", "z", "weights_z", "weights_smoothing_z"];

fn with_terms(terms: &str, classes: usize) -> CrossEntropy {
    let mut options = CrossEntropy {
        gradient: Gradient::Apart,
        row_losses: true,
        row_z_losses: true,
        lse: true,
        entropy: true,
        argmax: true,
        ..CrossEntropy::default()
    };
    for term in terms.split('_') {
        match term {
            "weights" => {
                let weights: Vec<f32> = (0..classes).map(|c| 0.7 * (c % 4) as f32).collect();
                options.weights = Some(weights.into());
            }
            "smoothing" => options.label_smoothing = 0.125,
            "z" => options.z_loss = 0.5,
            _ => {}
        }
    }
    options
}

/// Each reduction, with a denominator and an upstream gradient that are not 1, apart and in place, and with an ignored index
/// that is none of the classes and one that is.
fn reductions(options: &CrossEntropy, numbers: Vec<f32>) -> [CrossEntropy; 4] {
    let with = |reduction, upstream| CrossEntropy {
        reduction,
        upstream,
        ..options.clone()
    };
    [
        with(Reduction::None, Upstream::PerRow(numbers)),
        CrossEntropy {
            gradient: Gradient::InPlace,
            ignore_index: 1,
            ..with(Reduction::Sum, Upstream::Number(-2.5))
        },
        CrossEntropy {
            ignore_index: 1,
            ..with(Reduction::Mean, Upstream::Number(1.5))
        },
        CrossEntropy {
            normalizer: Normalizer::Number(7.5),
            ..with(Reduction::Mean, Upstream::Number(3.0))
        },
    ]
}

pub(super) async fn losses<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in shapes::<T>() {
        if !tally.fits(rows) {
            continue;
        }
        let x: Vec<T> = stored(&tally.random.logits(COUNT * rows.classes(), 4.0));
        let mut targets: Vec<i32> = (tally.random.targets(COUNT, rows.classes()).iter())
            .map(|&target| target as i32)
            .collect();
        (targets[1], targets[4]) = (-100, 1);
        let logits = tally.random.logits(x.len(), 2.0);
        let soft: Vec<T> = (reference::softmax(&logits, rows, &Softmax::default())?.iter())
            .map(|&p| T::nearest(p as f32))
            .collect();
        for terms in TERMS {
            // Kernels of long rows take long to compile, and differ from the others in how sums are merged.
            if rows.classes() > 1024 && !matches!(terms, "" | "weights_smoothing_z") {
                continue;
            }
            let numbers = tally.random.logits(COUNT, 1.0);
            for options in reductions(&with_terms(terms, rows.classes()), numbers) {
                of_classes(tally, (&x, &targets), rows, &options).await?;
                // Soft targets have no ignored rows, and the same kernels whatever the reduction.
                if options.reduction == Reduction::Mean {
                    of_probabilities(tally, (&x, &soft), rows, &options).await?;
                }
            }
        }
    }
    Ok(())
}

async fn of_classes<T: Element>(
    tally: &mut Tally<'_>,
    (x, targets): (&[T], &[i32]),
    rows: Rows,
    options: &CrossEntropy,
) -> Result<(), RunError> {
    let options = CrossEntropy {
        log_prob: true,
        correct: true,
        ..options.clone()
    };
    let mut targets = targets.to_vec();
    if options.ignore_index != -100 {
        targets[1] = options.ignore_index as i32;
    }
    let out = tally.gpu.cross_entropy_async(x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(x, &targets, rows, &options)?;
    let subject = Subject::new::<T>("cross_entropy", rows, &options);
    let bounds = LossBounds::of_stored(x, rows, &options, &exact);
    compare(tally, &subject, &options, (&out, &exact, &bounds));
    let counts = [out.correct.unwrap_or(usize::MAX), out.counted];
    let expected = [exact.correct, exact.counted];
    tally.near(&subject, &Compared::indices("correct and counted", counts, &expected));
    Ok(())
}

async fn of_probabilities<T: Element>(
    tally: &mut Tally<'_>,
    (x, soft): (&[T], &[T]),
    rows: Rows,
    options: &CrossEntropy,
) -> Result<(), RunError> {
    let out = tally.gpu.cross_entropy_soft_async(x, soft, rows, options).await?;
    let exact = reference::cross_entropy_soft(x, soft, rows, options)?;
    let subject = Subject::new::<T>("cross_entropy_soft", rows, options);
    let bounds = LossBounds::of_stored(x, rows, options, &exact);
    compare(tally, &subject, options, (&out, &exact, &bounds));
    Ok(())
}

/// Compares all outputs that class indices and soft targets have in common.
fn compare<T: Element>(
    tally: &mut Tally<'_>,
    subject: &Subject<'_>,
    options: &CrossEntropy,
    (out, exact, bounds): (&CrossEntropyOutput<T>, &CrossEntropyReference, &LossBounds),
) {
    let present = |values: &Option<Vec<f32>>| values.clone().unwrap_or_default();
    let of_rows = |name, got: &Option<Vec<f32>>, exact: &[f64]| Compared::new(name, &present(got), exact.to_vec());
    for (compared, bounds) in [
        (
            of_rows("row losses", &out.row_losses, &exact.row_losses),
            &bounds.row_losses,
        ),
        (
            of_rows("row z-losses", &out.row_z_losses, &exact.row_z_losses),
            &bounds.row_z_losses,
        ),
        (of_rows("lse", &out.lse, &exact.lse), &bounds.lse),
        (of_rows("entropy", &out.entropy, &exact.entropies), &bounds.entropies),
    ] {
        tally.bounded(subject, &compared, |i, _| bounds[i]);
    }
    if out.log_prob.is_some() {
        let log_probs = of_rows("log_prob", &out.log_prob, &exact.log_probs);
        tally.bounded(subject, &log_probs, |i, _| bounds.log_probs[i]);
    }
    let gradient = Compared::new(
        "gradient",
        out.gradient.as_deref().unwrap_or_default(),
        exact.gradient.clone(),
    );
    tally.bounded(subject, &gradient, |i, _| bounds.gradient[i]);
    let argmax = out.argmax.iter().flatten().map(|&c| c as usize);
    tally.near(subject, &Compared::indices("argmax", argmax, &exact.argmax));
    if options.reduction != Reduction::None {
        let loss = Compared::new("loss", &[out.loss.unwrap_or(f32::NAN)], vec![exact.loss]);
        tally.bounded(subject, &loss, |_, _| bounds.loss);
    }
    if options.reduction != Reduction::None && options.z_loss != 0.0 {
        let z_loss = Compared::new("z-loss", &[out.z_loss.unwrap_or(f32::NAN)], vec![exact.z_loss]);
        tally.bounded(subject, &z_loss, |_, _| bounds.z_loss);
    }
}

/// Losses of log-probabilities with weights and ignored rows, means over nothing, and gradients from a saved lse, which was
/// rounded, so that no more is known of them than that they are near.
pub(super) async fn few_and_saved(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in [Rows::new(COUNT, 8), Rows::new(COUNT, 5)] {
        let x = tally.random.logits(COUNT * rows.classes(), 4.0);
        let mut targets: Vec<i64> = (tally.random.targets(COUNT, rows.classes()).iter())
            .map(|&target| target.into())
            .collect();
        targets[2] = -100;
        for terms in ["", "z", "smoothing", "weights_smoothing_z"] {
            from_lse(tally, (&x, &targets), rows, terms).await?;
            for empty_mean in [EmptyMean::Nan, EmptyMean::Zero] {
                let options = CrossEntropy {
                    empty_mean,
                    ..with_terms(terms, rows.classes())
                };
                near(tally, (&x, &[-100; COUNT]), rows, &options).await?;
                // A mean that is no number is not one over nothing.
                let mut with_nan = x.clone();
                with_nan[0] = f32::NAN;
                near(tally, (&with_nan, &[0; COUNT]), rows, &options).await?;
            }
        }
        let mut log_probs = tally.gpu.softmax_async(&x, rows, &Softmax::log()).await?;
        // Of the first of them the weight is 0, and so is the loss; and one is ignored.
        for (row, target) in [(3, 0), (5, 1), (2, 1)] {
            log_probs[row * rows.classes() + target] = f32::NEG_INFINITY;
        }
        (targets[3], targets[5]) = (0, 1);
        let masked = CrossEntropy {
            reduction: Reduction::None,
            ..with_terms("weights", rows.classes())
        };
        near(tally, (&log_probs, &targets), rows, &masked).await?;
        for terms in ["", "weights"] {
            let options = CrossEntropy {
                input: Input::LogProbs,
                reduction: Reduction::None,
                row_z_losses: false,
                lse: false,
                entropy: false,
                log_prob: true,
                correct: true,
                ..with_terms(terms, rows.classes())
            };
            near(tally, (&log_probs, &targets), rows, &options).await?;
        }
    }
    Ok(())
}

async fn from_lse(
    tally: &mut Tally<'_>,
    (x, targets): (&[f32], &[i64]),
    rows: Rows,
    terms: &str,
) -> Result<(), RunError> {
    let forward = CrossEntropy {
        lse: true,
        ..CrossEntropy::default()
    };
    let lse = tally.gpu.cross_entropy_async(x, targets, rows, &forward).await?.lse;
    let backward = CrossEntropy {
        from_lse: lse.map(Into::into),
        row_losses: false,
        row_z_losses: false,
        lse: false,
        entropy: false,
        argmax: false,
        reduction: Reduction::Sum,
        ..with_terms(terms, rows.classes())
    };
    near(tally, (x, targets), rows, &backward).await
}

/// Compares what there is: the loss, that of the rows, the gradient and the counts.
async fn near(
    tally: &mut Tally<'_>,
    (x, targets): (&[f32], &[i64]),
    rows: Rows,
    options: &CrossEntropy,
) -> Result<(), RunError> {
    let out = tally.gpu.cross_entropy_async(x, targets, rows, options).await?;
    let exact = reference::cross_entropy(x, targets, rows, options)?;
    let subject = Subject::new::<f32>("cross_entropy", rows, options);
    let gradient = out.gradient.as_deref().unwrap_or_default();
    tally.near(&subject, &Compared::new("gradient", gradient, exact.gradient));
    if let Some(loss) = out.loss {
        tally.near(&subject, &Compared::new("loss", &[loss], vec![exact.loss]));
    }
    if let Some(losses) = out.row_losses {
        tally.near(&subject, &Compared::new("row losses", &losses, exact.row_losses));
    }
    if let Some(log_probs) = out.log_prob {
        tally.near(&subject, &Compared::new("log_prob", &log_probs, exact.log_probs));
    }
    if let Some(correct) = out.correct {
        tally.case(subject.equal(
            "correct and counted",
            &(correct, out.counted),
            &(exact.correct, exact.counted),
        ));
    }
    Ok(())
}
