//! Checks every option of `Adjust`, on rows of every kind and with every policy for rows of −∞ alone.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::{EncodeError, RunError};
use crate::ops::adjust::{Adjust, Mask, Scale};
use crate::ops::cross_entropy::CrossEntropy;
use crate::ops::logsumexp::LogSumExp;
use crate::ops::loss::{Gradient, Reduction, Upstream};
use crate::ops::row_op::FullyMasked;
use crate::ops::softmax::Softmax;
use crate::ops::softmax_grad::SoftmaxGrad;
use crate::reference;
use crate::rows::Rows;
use crate::testing::{Subject, places};

const COUNT: usize = 7;

const POLICIES: [FullyMasked; 3] = [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform];

/// What is adjusted, in words. The operations share the code that adjusts, so that all of them have the last two alone.
fn sets<T: Element>() -> &'static [&'static str] {
    match T::DTYPE {
        Dtype::F32 => &[
            "scale",
            "scales",
            "bias",
            "softcap",
            "mask",
            "masks",
            "causal",
            "scales_bias_softcap_masks",
        ],
        _ => &["causal", "scales_bias_softcap_masks"],
    }
}

/// Loads of four elements, of one, and along an axis that is not the last; of two for f16.
fn layouts<T: Element>() -> Result<Vec<Rows>, EncodeError> {
    Ok(match T::DTYPE {
        Dtype::F32 => vec![Rows::new(COUNT, 8), Rows::of_shape(&[1, 5, COUNT], 1)?],
        Dtype::F16 => vec![Rows::new(COUNT, 6)],
        Dtype::Bf16 => vec![Rows::new(COUNT, 5)],
    })
}

fn adjust_of(tally: &mut Tally<'_>, words: &str, rows: Rows) -> Result<Adjust, RunError> {
    let (count, classes, elements) = (rows.count(), rows.classes(), rows.elements()?);
    let mut adjust = Adjust::default();
    for word in words.split('_') {
        match word {
            "scale" => adjust.scale = Scale::Number(-0.75),
            "scales" => {
                let mut scales = tally.random.logits(count, 1.0);
                // Of a row with some −∞, which times 0 is no number.
                scales[3] = 0.0;
                adjust.scale = Scale::PerRow(scales.into());
            }
            "bias" => adjust.bias = Some(tally.random.logits(classes, 1.0).into()),
            "softcap" => adjust.softcap = Some(3.0),
            "mask" => {
                let mut mask = tally.random.logits(classes, 1.0);
                mask[1] = f32::NEG_INFINITY;
                adjust.mask = Mask::Classes(mask.into());
            }
            "masks" => {
                let mut masks = tally.random.logits(elements, 1.0);
                masks.iter_mut().skip(3).step_by(7).for_each(|v| *v = f32::NEG_INFINITY);
                adjust.mask = Mask::Full(masks.into());
            }
            _ => adjust.mask = Mask::Causal { group: 4, offset: 1 },
        }
    }
    Ok(adjust)
}

/// Rows of finite numbers, and one each with some −∞, only −∞, a NaN, and +∞.
fn logits<T: Element>(tally: &mut Tally<'_>, rows: Rows) -> Result<Vec<T>, RunError> {
    let mut x = tally.random.logits(rows.elements()?, 3.0);
    for (row, value, every) in [
        (3, f32::NEG_INFINITY, 2),
        (4, f32::NEG_INFINITY, 1),
        (5, f32::NAN, 3),
        (6, f32::INFINITY, 4),
    ] {
        places(&rows, row).step_by(every).for_each(|i| x[i] = value);
    }
    Ok(stored(&x))
}

pub(super) async fn all<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    for rows in layouts::<T>()? {
        for words in sets::<T>() {
            let adjust = adjust_of(tally, words, rows)?;
            let x: Vec<T> = logits(tally, rows)?;
            let has_all_operations = *words == "causal" || words.contains('_');
            for fully_masked in POLICIES {
                softmax(tally, &x, rows, (&adjust, fully_masked)).await?;
                loss(tally, &x, rows, (&adjust, fully_masked)).await?;
                if has_all_operations {
                    logsumexp(tally, &x, rows, (&adjust, fully_masked)).await?;
                    from_lse(tally, &x, rows, (&adjust, fully_masked)).await?;
                }
            }
            if !matches!(adjust.mask, Mask::Causal { .. }) && has_all_operations {
                softmax_grad(tally, &x, rows, &adjust).await?;
            }
        }
    }
    Ok(())
}

async fn softmax<T: Element>(
    tally: &mut Tally<'_>,
    x: &[T],
    rows: Rows,
    (adjust, fully_masked): (&Adjust, FullyMasked),
) -> Result<(), RunError> {
    for log in [false, true] {
        let options = Softmax {
            log,
            adjust: adjust.clone(),
            fully_masked,
            in_place: log,
            ..Softmax::default()
        };
        let y = tally.gpu.softmax_async(x, rows, &options).await?;
        let subject = Subject::new::<T>("softmax", rows, &options);
        let exact = reference::softmax(x, rows, &options)?;
        tally.near(&subject, &Compared::new("y", &y, exact));
    }
    Ok(())
}

/// A loss for each row, so that those of rows that have none are seen too; one row is ignored.
async fn loss<T: Element>(
    tally: &mut Tally<'_>,
    x: &[T],
    rows: Rows,
    (adjust, fully_masked): (&Adjust, FullyMasked),
) -> Result<(), RunError> {
    let options = CrossEntropy {
        adjust: adjust.clone(),
        fully_masked,
        reduction: Reduction::None,
        gradient: Gradient::Apart,
        upstream: Upstream::PerRow(vec![1.0, -2.0, 0.5, 3.0, 1.5, 1.0, -1.0]),
        z_loss: 0.25,
        row_z_losses: true,
        lse: true,
        log_prob: true,
        entropy: true,
        argmax: true,
        correct: true,
        ..CrossEntropy::default()
    };
    let targets = [0i64, 2, 4, 3, 1, -100, 0];
    let out = tally.gpu.cross_entropy_async(x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(x, &targets, rows, &options)?;
    let subject = Subject::new::<T>("cross_entropy", rows, &options);
    let gradient = out.gradient.as_deref().unwrap_or_default();
    tally.near(&subject, &Compared::new("gradient", gradient, exact.gradient));
    for (name, got, exact) in [
        ("row losses", out.row_losses, exact.row_losses),
        ("row z-losses", out.row_z_losses, exact.row_z_losses),
        ("lse", out.lse, exact.lse),
        ("log_prob", out.log_prob, exact.log_probs),
        ("entropy", out.entropy, exact.entropies),
    ] {
        tally.near(&subject, &Compared::new(name, &got.unwrap_or_default(), exact));
    }
    let argmax = out.argmax.iter().flatten().map(|&c| c as usize);
    tally.near(&subject, &Compared::indices("argmax", argmax, &exact.argmax));
    tally.case(subject.equal("correct", &out.correct, &Some(exact.correct)));
    Ok(())
}

async fn logsumexp<T: Element>(
    tally: &mut Tally<'_>,
    x: &[T],
    rows: Rows,
    (adjust, fully_masked): (&Adjust, FullyMasked),
) -> Result<(), RunError> {
    let options = LogSumExp {
        adjust: adjust.clone(),
        fully_masked,
        ..LogSumExp::default()
    };
    let g = tally.random.logits(COUNT, 1.0);
    let wide: Vec<f64> = g.iter().map(|&v| v.into()).collect();
    let lse = tally.gpu.logsumexp_async(x, rows, &options).await?;
    let dx = tally.gpu.logsumexp_grad_async(x, &lse, &g, rows, &options).await?;
    let subject = Subject::new::<T>("logsumexp", rows, &options);
    let exact = reference::logsumexp(x, rows, &options)?;
    tally.near(&subject, &Compared::new("lse", &lse, exact));
    let exact = reference::logsumexp_grad(x, &wide, rows, &options)?;
    tally.near(&subject, &Compared::new("dx", &dx, exact));
    Ok(())
}

async fn from_lse<T: Element>(
    tally: &mut Tally<'_>,
    x: &[T],
    rows: Rows,
    (adjust, fully_masked): (&Adjust, FullyMasked),
) -> Result<(), RunError> {
    let options = LogSumExp {
        adjust: adjust.clone(),
        fully_masked,
        ..LogSumExp::default()
    };
    let lse = tally.gpu.logsumexp_async(x, rows, &options).await?;
    let options = CrossEntropy {
        adjust: adjust.clone(),
        fully_masked,
        reduction: Reduction::Sum,
        gradient: Gradient::Apart,
        from_lse: Some(lse.into()),
        ..CrossEntropy::default()
    };
    let targets = [1i64, -100, 2, 3, 0, 1, 2];
    let out = tally.gpu.cross_entropy_async(x, &targets, rows, &options).await?;
    let exact = reference::cross_entropy(x, &targets, rows, &options)?;
    let subject = Subject::new::<T>("cross_entropy from its lse", rows, &options);
    let gradient = out.gradient.as_deref().unwrap_or_default();
    tally.near(&subject, &Compared::new("gradient", gradient, exact.gradient));
    Ok(())
}

/// A mask has no part in a backward pass, which has the result instead.
async fn softmax_grad<T: Element>(tally: &mut Tally<'_>, x: &[T], rows: Rows, adjust: &Adjust) -> Result<(), RunError> {
    let adjust = Adjust {
        mask: Mask::None,
        ..adjust.clone()
    };
    let g: Vec<T> = stored(&tally.random.logits(x.len(), 1.0));
    let wide: Vec<f64> = x.iter().map(|&v| v.into()).collect();
    for log in [false, true] {
        let forward = Softmax {
            log,
            adjust: adjust.clone(),
            ..Softmax::default()
        };
        let y: Vec<T> = (reference::softmax(x, rows, &forward)?.iter())
            .map(|&y| T::nearest(y as f32))
            .collect();
        let options = SoftmaxGrad {
            log,
            adjust: adjust.clone(),
            ..SoftmaxGrad::default()
        };
        let logits = adjust.softcap.is_some().then_some(x);
        let dx = tally.gpu.softmax_grad_async(&y, &g, logits, rows, &options).await?;
        let exact = reference::softmax_grad(&y, &g, rows, log, Some((&wide, &adjust)))?;
        let subject = Subject::new::<T>("softmax_grad", rows, &options);
        tally.near(&subject, &Compared::new("dx", &dx, exact));
    }
    Ok(())
}
