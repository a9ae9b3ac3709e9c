//! Every operation and type against the f64 reference.

use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::gpu::Gpu;
use crate::ops::binary_cross_entropy::BinaryCrossEntropy;
use crate::ops::cross_entropy::{CrossEntropy, Input};
use crate::ops::logsumexp::LogSumExp;
use crate::ops::loss::{Gradient, Reduction};
use crate::ops::softmax::Softmax;
use crate::ops::softmax_grad::SoftmaxGrad;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{CLASSES, Random, ulp_of};

/// One class, pairs, an odd number, more than a chunk: every kind of load, and one, few and many lanes.
const SHAPES: [(usize, usize); 4] = [(3, 1), (3, 6), (3, 37), (2, 1030)];

fn stored<T: Element>(values: &[f32]) -> Vec<T> {
    values.iter().map(|&v| T::nearest(v)).collect()
}

type Parts = Vec<(&'static str, Compared)>;

/// What `run` finds of normal logits in each of the shapes.
fn each_shape<T: Element>(
    tally: &mut Tally<'_>,
    run: impl Fn(&Gpu, &[T], Rows, &mut Random) -> Result<Parts, RunError>,
) -> Result<(), RunError> {
    for (count, classes) in SHAPES {
        if !tally.fits(count * classes) {
            continue;
        }
        let rows = Rows::new(count, classes);
        let x: Vec<T> = stored(&tally.random.logits(count * classes, 4.0));
        for (what, compared) in run(tally.gpu, &x, rows, &mut tally.random)? {
            tally.near(format_args!("{what} of {count} x {classes}"), &compared);
        }
    }
    Ok(())
}

/// Within 4 ULP plus the rounding of x - m: half an ULP of that difference, relative, is as many ULP of the result.
pub(super) fn softmax<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let sizes: Vec<usize> = match T::DTYPE {
        // An even and an odd vocabulary of today's.
        Dtype::F32 => CLASSES.iter().copied().chain([50_257, 128_256]).collect(),
        _ => SHAPES.map(|(_, classes)| classes).to_vec(),
    };
    for classes in sizes {
        let rows = Rows::new(3, classes);
        if !tally.fits(3 * classes) {
            continue;
        }
        // Narrow, usual, and so wide that most classes underflow.
        for spread in [0.1, 3.0, 60.0] {
            let x: Vec<T> = stored(&tally.random.logits(3 * classes, spread));
            let y = tally.gpu.softmax(&x, rows, &Softmax::default())?;
            let exact = reference::softmax(&x, rows, &Softmax::default())?;
            let value = |i: usize| -> f64 { x[i].into() };
            let largest: Vec<f64> = (0..3)
                .map(|row| {
                    (row * classes..(row + 1) * classes)
                        .map(value)
                        .fold(f64::NEG_INFINITY, f64::max)
                })
                .collect();
            tally.within(
                format_args!("3 x {classes}, spread {spread}"),
                &Compared::new(&y, exact),
                |i, exact| {
                    let allowed = (4.0 + largest[i / classes] - value(i)) * ulp_of(exact, Dtype::F32);
                    // What is under 2^-126 may be flushed to 0.
                    (allowed.max(f64::from(f32::MIN_POSITIVE)), ulp_of(exact, T::DTYPE))
                },
            );
        }
    }
    Ok(())
}

pub(super) fn log_softmax<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, _| {
        let y = gpu.softmax(x, rows, &Softmax::log())?;
        Ok(vec![(
            "y",
            Compared::new(&y, reference::softmax(x, rows, &Softmax::log())?),
        )])
    })
}

pub(super) fn softmax_grad<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, random| {
        let g: Vec<T> = stored(&random.logits(x.len(), 1.0));
        let mut parts = Vec::new();
        for log in [false, true] {
            let forward = Softmax {
                log,
                ..Softmax::default()
            };
            let y = gpu.softmax(x, rows, &forward)?;
            let options = SoftmaxGrad {
                log,
                ..SoftmaxGrad::default()
            };
            let dx = gpu.softmax_grad(&y, &g, None, rows, &options)?;
            let what = if log { "after a log" } else { "gradient" };
            parts.push((
                what,
                Compared::new(&dx, reference::softmax_grad(&y, &g, rows, log, None)?),
            ));
        }
        Ok(parts)
    })
}

pub(super) fn softmax_jacobian<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for classes in [1, 6, 37] {
        let rows = Rows::new(3, classes);
        let x: Vec<T> = stored(&tally.random.logits(3 * classes, 2.0));
        let jacobian = tally.gpu.softmax_jacobian(&x, rows, &Softmax::default())?;
        let exact = reference::softmax_jacobian(&x, rows, &Softmax::default())?;
        tally.near(format_args!("3 x {classes}"), &Compared::new(&jacobian, exact));
    }
    Ok(())
}

pub(super) fn logsumexp<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, random| {
        let options = LogSumExp::default();
        let lse = gpu.logsumexp(x, rows, &options)?;
        let exact = reference::logsumexp(x, rows, &options.adjust, options.fully_masked)?;
        let g = random.logits(rows.count(), 1.0);
        let wide: Vec<f64> = g.iter().map(|&v| v.into()).collect();
        let dx = gpu.logsumexp_grad(x, &lse, &g, rows, &options)?;
        let exact_dx = reference::logsumexp_grad(x, &wide, rows, &options.adjust, options.fully_masked)?;
        Ok(vec![
            ("lse", Compared::new(&lse, exact)),
            ("gradient", Compared::new(&dx, exact_dx)),
        ])
    })
}

/// Everything that can be asked for of every row.
pub(super) fn all_outputs() -> CrossEntropy {
    CrossEntropy {
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        row_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    }
}

fn compared_all<T: Element>(
    out: crate::ops::cross_entropy::CrossEntropyOutput<T>,
    exact: reference::CrossEntropyReference,
) -> Parts {
    let wide = |values: Vec<usize>| values.into_iter().map(|v| v as f64).collect();
    let argmax: Vec<f32> = out.argmax.unwrap_or_default().into_iter().map(|v| v as f32).collect();
    let counts = [out.correct.unwrap_or_default() as f32, out.counted as f32];
    vec![
        (
            "losses",
            Compared::new(&out.row_losses.unwrap_or_default(), exact.row_losses),
        ),
        ("loss", Compared::new(&[out.loss.unwrap_or(f32::NAN)], vec![exact.loss])),
        (
            "gradient",
            Compared::new(&out.gradient.unwrap_or_default(), exact.gradient),
        ),
        ("lse", Compared::new(&out.lse.unwrap_or_default(), exact.lse)),
        (
            "log_prob",
            Compared::new(&out.log_prob.unwrap_or_default(), exact.log_probs),
        ),
        (
            "entropy",
            Compared::new(&out.entropy.unwrap_or_default(), exact.entropies),
        ),
        ("argmax", Compared::new(&argmax, wide(exact.argmax))),
        (
            "correct and counted",
            Compared::new(&counts, wide(vec![exact.correct, exact.counted])),
        ),
    ]
}

pub(super) fn cross_entropy<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, random| {
        let targets = random.targets(rows.count(), rows.classes());
        let options = all_outputs();
        let out = gpu.cross_entropy(x, &targets, rows, &options)?;
        Ok(compared_all(
            out,
            reference::cross_entropy(x, &targets, rows, &options)?,
        ))
    })
}

pub(super) fn cross_entropy_soft<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, random| {
        let logits = random.logits(x.len(), 2.0);
        let probabilities: Vec<T> = reference::softmax(&logits, rows, &Softmax::default())?
            .into_iter()
            .map(|p| T::nearest(p as f32))
            .collect();
        let options = CrossEntropy {
            label_smoothing: 0.1,
            log_prob: false,
            correct: false,
            ..all_outputs()
        };
        let out = gpu.cross_entropy_soft(x, &probabilities, rows, &options)?;
        let exact = reference::cross_entropy_soft(x, &probabilities, rows, &options)?;
        let mut parts = compared_all(out, exact);
        parts.retain(|(what, _)| !matches!(*what, "log_prob" | "correct and counted"));
        Ok(parts)
    })
}

pub(super) fn nll_loss<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, random| {
        let log_probs = gpu.softmax(x, rows, &Softmax::log())?;
        let targets = random.targets(rows.count(), rows.classes());
        let options = CrossEntropy {
            input: Input::LogProbs,
            reduction: Reduction::Sum,
            gradient: Gradient::Apart,
            row_losses: true,
            ..CrossEntropy::default()
        };
        let out = gpu.cross_entropy(&log_probs, &targets, rows, &options)?;
        let exact = reference::cross_entropy(&log_probs, &targets, rows, &options)?;
        Ok(vec![
            (
                "losses",
                Compared::new(&out.row_losses.unwrap_or_default(), exact.row_losses),
            ),
            (
                "gradient",
                Compared::new(&out.gradient.unwrap_or_default(), exact.gradient),
            ),
        ])
    })
}

pub(super) fn binary_cross_entropy<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    each_shape::<T>(tally, |gpu, x, rows, random| {
        let targets: Vec<T> = (0..x.len()).map(|_| T::nearest(random.below(2) as f32)).collect();
        let options = BinaryCrossEntropy {
            reduction: Reduction::None,
            gradient: Gradient::Apart,
            ..BinaryCrossEntropy::default()
        };
        let out = gpu.binary_cross_entropy_with_logits(x, &targets, rows, &options)?;
        let exact = reference::binary_cross_entropy_with_logits(x, &targets, rows, &options)?;
        Ok(vec![
            ("losses", Compared::new(&out.losses.unwrap_or_default(), exact.losses)),
            (
                "gradient",
                Compared::new(&out.gradient.unwrap_or_default(), exact.gradient),
            ),
        ])
    })
}
