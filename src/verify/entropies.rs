//! Checks entropies and their gradients.

use super::accuracy::stored;
use super::tally::{Compared, Tally};
use crate::dtype::{Dtype, Element};
use crate::error::RunError;
use crate::ops::entropy::Entropy;
use crate::ops::loss::Gradient;
use crate::ops::row_op::FullyMasked;
use crate::reference;
use crate::rows::Rows;
use crate::testing::Subject;

const COUNT: usize = 5;

/// A row that is all but certain, one with −∞, one of nothing else, one with a NaN, and one whose other classes, or other chunks, are
/// so far below that nothing finite says how far, under every policy.
pub(super) async fn entropies<T: Element>(tally: &mut Tally<'_>) -> Result<(), RunError> {
    let long: &[usize] = if T::DTYPE == Dtype::F32 { &[2052] } else { &[] };
    for &classes in [8, 5].iter().chain(long) {
        let rows = Rows::new(COUNT, classes);
        let mut x = tally.random.logits(COUNT * classes, 3.0);
        x[0] = 30.0;
        x[classes] = f32::NEG_INFINITY;
        x[2 * classes..3 * classes].fill(f32::NEG_INFINITY);
        x[3 * classes] = f32::NAN;
        let (far, below) = if classes > 1024 { (1024, -1e37) } else { (1, -3e38) };
        x[4 * classes] = if far > 1 { 1.0 } else { 3e38 };
        x[4 * classes + far..].fill(below);
        let x: Vec<T> = stored(&x);
        for fully_masked in [FullyMasked::Nan, FullyMasked::Zeros, FullyMasked::Uniform] {
            let options = Entropy {
                gradient: Gradient::Apart,
                upstream: Some([1.5, -2.0, 3.0, 1.0, 0.25].into()),
                fully_masked,
                ..Entropy::default()
            };
            let out = tally.gpu.entropy_async(&x, rows, &options).await?;
            let (exact, gradient) = reference::entropy(&x, rows, &options)?;
            let subject = Subject::new::<T>("entropy", rows, &options);
            tally.near(&subject, &Compared::new("entropy", &out.entropies, exact));
            let got = out.gradient.unwrap_or_default();
            tally.near(&subject, &Compared::new("gradient", &got, gradient));
        }
    }
    Ok(())
}
