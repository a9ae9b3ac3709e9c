//! What the reductions of both losses share.

use super::adjusted::no_buffer;
use crate::error::{EncodeError, check_length};
use crate::ops::loss::{EmptyMean, Normalizer, Reduction, Upstream};
use crate::rows::Rows;

/// The upstream gradient of each row.
pub(super) fn upstream_of(upstream: &Upstream, reduction: Reduction, rows: &Rows) -> Result<Vec<f64>, EncodeError> {
    match upstream {
        Upstream::Number(number) => Ok(vec![f64::from(*number); rows.count()]),
        Upstream::PerRow(_) if reduction != Reduction::None => Err(EncodeError::Conflict {
            a: "upstream: PerRow",
            b: "a reduced loss",
            why: "a reduced loss has one upstream gradient",
        }),
        Upstream::PerRow(values) => {
            check_length("upstream: PerRow", rows.count(), values.len())?;
            Ok(values.iter().map(|&v| v.into()).collect())
        }
        Upstream::Buffer => Err(no_buffer("upstream: Buffer", "there is no buffer; use PerRow")),
    }
}

/// The denominators of a mean's two parts, the loss proper and the z-loss, and 1 for other reductions. `own` are the
/// denominators that the rows themselves give. Where the first is 0, both are such that [`divide`] gives NaN or 0, as
/// `empty_mean` says.
pub(super) fn denominators(
    reduction: Reduction,
    normalizer: Normalizer,
    empty_mean: EmptyMean,
    own: (f64, f64),
) -> Result<(f64, f64), EncodeError> {
    let (first, second) = match (reduction, normalizer) {
        (_, Normalizer::Buffer) => {
            return Err(no_buffer(
                "Normalizer::Buffer",
                "there is no buffer; use Normalizer::Number",
            ));
        }
        (Reduction::None | Reduction::Sum, _) => (1.0, 1.0),
        (Reduction::Mean, Normalizer::Number(number)) => (number.into(), number.into()),
        (Reduction::Mean, Normalizer::Rows) => own,
    };
    Ok(match empty_mean {
        _ if first != 0.0 => (first, second),
        EmptyMean::Nan => (f64::NAN, f64::NAN),
        EmptyMean::Zero => (f64::INFINITY, f64::INFINITY),
    })
}

/// `x / denominator`, and 0 for an infinite denominator even where x is infinite.
pub(super) fn divide(x: f64, denominator: f64) -> f64 {
    if denominator.is_infinite() && !x.is_nan() {
        0.0
    } else {
        x / denominator
    }
}
