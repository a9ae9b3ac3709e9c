//! The entropy of rows.

use super::adjusted::*;
use super::row::Row;
use crate::error::EncodeError;
use crate::ops::entropy::Entropy;
use crate::ragged::RowLayout;

/// The entropy of each row, and its gradient whatever the options ask for: the formulas and special values are those of [`Entropy`].
///
/// # Errors
/// An invalid shape, slices that do not fit it, and [`Values::Buffer`](crate::Values::Buffer).
pub fn entropy<T: Copy + Into<f64>>(
    logits: &[T],
    rows: impl Into<RowLayout>,
    options: &Entropy,
) -> Result<(Vec<f64>, Vec<f64>), EncodeError> {
    let layout = rows.into();
    let count = layout.rows.count();
    check_logits(logits, &layout.rows)?;
    let adjuster = Adjuster::new(&options.adjust, &layout.rows)?;
    let upstream = options.upstream.as_ref().map(|g| on_host(g, "upstream", count));
    let upstream = upstream.transpose()?;
    let (mut entropies, mut gradient) = (Vec::new(), vec![0.0; logits.len()]);
    for number in 0..count {
        let row = Row::new(&adjuster.row(logits, &layout, number), options.fully_masked);
        let g = upstream.map_or(1.0, |g| f64::from(g[number]));
        let entropy = row.entropy();
        for (c, i) in layout.places(number).enumerate().filter(|&(c, _)| !row.is_masked(c)) {
            let dh = -row.probability(c) * (row.log_probability(c) + entropy);
            gradient[i] = adjuster.grad(g * dh, number, c, logits[i].into());
        }
        entropies.push(entropy);
    }
    Ok((entropies, gradient))
}
