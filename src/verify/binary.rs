//! Checks every option of binary cross-entropy.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::{EncodeError, RunError};
use crate::ops::adjust::Mask;
use crate::ops::binary_cross_entropy::BinaryCrossEntropy;
use crate::ops::loss::{Gradient, Normalizer, Reduction, Upstream};
use crate::ops::values::Values;
use crate::reference;
use crate::rows::Rows;
use crate::testing::Subject;

const COUNT: usize = 6;

/// Loads of four elements, of one, and along an axis that is not the last; of two for f16.
fn layouts<T: Element>() -> Result<Vec<Rows>, EncodeError> {
    Ok(match T::DTYPE {
        Dtype::F32 => vec![Rows::new(COUNT, 8), Rows::of_shape(&[1, 5, COUNT], 1)?],
        Dtype::F16 => vec![Rows::new(COUNT, 6)],
        Dtype::Bf16 => vec![Rows::new(COUNT, 5)],
    })
}

/// Each kind of weight, with each reduction, denominator and upstream gradient that goes with it.
fn options_of(rows: Rows) -> Result<Vec<BinaryCrossEntropy>, RunError> {
    let numbers = |n: usize| -> Values { (0..n).map(|i| 0.3 + 0.7 * (i % 4) as f32).collect::<Vec<_>>().into() };
    let with = |weight: Mask, pos_weight, reduction, upstream| BinaryCrossEntropy {
        weight,
        pos_weight,
        reduction,
        upstream,
        gradient: Gradient::Apart,
        ..BinaryCrossEntropy::default()
    };
    let per_row = Upstream::PerRow((0..rows.count()).map(|row| row as f32 - 2.5).collect());
    let (classes, elements) = (rows.classes(), rows.elements()?);
    let positive = || Some(numbers(classes));
    Ok(vec![
        with(Mask::None, None, Reduction::Mean, Upstream::Number(1.5)),
        with(Mask::Classes(numbers(classes)), None, Reduction::None, per_row),
        with(Mask::None, positive(), Reduction::Sum, Upstream::Number(-2.0)),
        BinaryCrossEntropy {
            normalizer: Normalizer::Number(7.5),
            gradient: Gradient::InPlace,
            ..with(
                Mask::Full(numbers(elements)),
                positive(),
                Reduction::Mean,
                Upstream::Number(3.0),
            )
        },
    ])
}

/// Targets between 0 and 1; where each element keeps its loss, the logits are special numbers too.
pub(super) async fn options<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    const SPECIAL: [f32; 6] = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 60.0, -60.0];
    for rows in layouts::<T>()? {
        for options in options_of(rows)? {
            let mut x = tally.random.logits(rows.elements()?, 4.0);
            if options.reduction == Reduction::None {
                (x.iter_mut().step_by(2).zip(SPECIAL.iter().cycle())).for_each(|(x, &special)| *x = special);
            }
            let targets: Vec<f32> = (0..x.len()).map(|i| [0.0, 1.0, 0.25, 1.0, 0.0][i % 5]).collect();
            let (x, targets): (Vec<T>, Vec<T>) = (stored(&x), stored(&targets));
            let call = tally
                .gpu
                .binary_cross_entropy_with_logits_async(&x, &targets, rows, &options);
            let out = call.await?;
            let exact = reference::binary_cross_entropy_with_logits(&x, &targets, rows, &options)?;
            let subject = Subject::new::<T>("binary_cross_entropy_with_logits", rows, &options);
            let gradient = out.gradient.as_deref().unwrap_or_default();
            tally.near(&subject, &Compared::new("gradient", gradient, exact.gradient));
            match out.loss {
                Some(loss) => tally.near(&subject, &Compared::new("loss", &[loss], vec![exact.loss])),
                None => {
                    let losses = out.losses.as_deref().unwrap_or_default();
                    tally.near(&subject, &Compared::new("losses", losses, exact.losses));
                }
            }
        }
    }
    Ok(())
}
