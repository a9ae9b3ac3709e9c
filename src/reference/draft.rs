//! Speculative decoding: how likely tokens of a draft are accepted, and what they are replaced by.

use super::adjusted::{no_buffer, on_host};
use crate::error::{EncodeError, check_length};
use crate::ops::sample::{Draft, Words};
use crate::rows::Rows;

/// What [`verify_draft`] returns.
#[derive(Debug, Clone, PartialEq)]
pub struct DraftReference {
    /// `[sequences, n]`: the probability `min(1, p(x) / q(x))` that a row whose turn it is accepts its token x; NaN for a row
    /// without a token of the draft, or without candidates.
    pub acceptance: Vec<f64>,
    /// `[sequences, n, classes]`: the probabilities `max(0, p − q)`, normalised, of the token in its place; those of p where
    /// no p is more than q.
    pub replacement: Vec<f64>,
}

/// The verification of a draft, from the probabilities p of all rows, `[rows, classes]`, that [`sample`](super::sample)
/// gives: see [`Draft`] for the formulas.
///
/// # Errors
/// An invalid shape, slices that do not fit it, and a draft in buffers.
///
/// ```
/// use wgpu_softmax::{reference, Draft, Rows, Values};
/// let draft = Draft { probs: Some(Values::from([0.8f32, 0.2])), ..Draft::new(1, [0]) };
/// let row = reference::verify_draft(&[0.4, 0.6, 0.5, 0.5], Rows::new(2, 2), &draft)?;
/// assert!((row.acceptance[0] - 0.5).abs() < 1e-7);
/// assert_eq!(row.replacement, [0.0, 1.0]);
/// # Ok::<(), wgpu_softmax::EncodeError>(())
/// ```
pub fn verify_draft(probs: &[f64], rows: Rows, draft: &Draft) -> Result<DraftReference, EncodeError> {
    rows.elements()?;
    rows.check_whole("the reference")?;
    draft.validate(&rows)?;
    let (n, classes) = (draft.length, rows.classes());
    check_length("probs", rows.count() * classes, probs.len())?;
    let sequences = rows.count() / (n + 1);
    let Words::Host(tokens) = &draft.tokens else {
        return Err(no_buffer("Words::Buffer", "there is no buffer; use Words::Host"));
    };
    check_length("draft.tokens", sequences * n, tokens.len())?;
    let of_draft = match &draft.probs {
        Some(values) => Some(on_host(values, "draft.probs", sequences * n * classes)?),
        None => None,
    };
    let mut result = DraftReference {
        acceptance: Vec::with_capacity(sequences * n),
        replacement: Vec::with_capacity(sequences * n * classes),
    };
    for (number, &token) in tokens.iter().enumerate() {
        let row = number / n * (n + 1) + number % n;
        let p = &probs[row * classes..(row + 1) * classes];
        let q = |class: usize| match of_draft {
            Some(q) => f64::from(q[number * classes + class]),
            None => f64::from(u8::from(class == token as usize)),
        };
        let accepted = p.get(token as usize).map_or(f64::NAN, |&p| match q(token as usize) {
            _ if p.is_nan() || p == 0.0 => p,
            q if q <= p => 1.0,
            q => p / q,
        });
        let rest: Vec<f64> = (0..classes).map(|class| (p[class] - q(class)).max(0.0)).collect();
        let sum: f64 = rest.iter().sum();
        result.acceptance.push(accepted);
        if sum > 0.0 {
            result.replacement.extend(rest.iter().map(|rest| rest / sum));
        } else {
            result.replacement.extend(p);
        }
    }
    Ok(result)
}
