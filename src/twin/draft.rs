//! Twin of the verification of drafts (`shaders/kernels/sample_draft.wgsl`).

use super::rows::{CHUNK, flush, softmax, span_chunks, tree_sum};
use super::sample::{Philox, descend, draw, kept};
use crate::ops::sample::{NO_TOKEN, SampleParams};

/// The rows of one sequence: b, the values that each is sampled by, and what it is sampled with.
#[derive(Debug, Clone, Copy)]
pub struct Sequence<'a> {
    /// `[n + 1, classes]`
    pub values: &'a [Vec<f32>],
    /// One set for each row.
    pub params: &'a [SampleParams],
    /// Whether top_p is a share of all classes.
    pub joint: bool,
}

/// The tokens of a sequence whose draft is `tokens`, and how many of these are accepted; `probs` are the draft's `[n, classes]`.
pub fn verify_draft(sequence: &Sequence<'_>, tokens: &[u32], probs: Option<&[f32]>) -> (Vec<u32>, u32) {
    let mut all = vec![NO_TOKEN; tokens.len() + 1];
    for (row, b) in sequence.values.iter().enumerate() {
        let params = &sequence.params[row];
        let own = draw(b, params, sequence.joint).token;
        let proposed = tokens.get(row).filter(|token| (**token as usize) < b.len());
        let (true, Some(&token)) = (own != NO_TOKEN, proposed) else {
            all[row] = own;
            return (all, row as u32);
        };
        let mut left = vec![f32::NEG_INFINITY; b.len()];
        kept(b, params, sequence.joint).into_iter().for_each(|c| left[c] = b[c]);
        let p = softmax(&left);
        let q = |class: usize| match probs {
            Some(probs) => draft_prob(probs[row * b.len() + class]),
            None => f32::from(u8::from(class == token as usize)),
        };
        let mut random = Philox::new(params);
        if random.uniform() * q(token as usize) < p[token as usize] {
            all[row] = token;
            continue;
        }
        let rest: Vec<f32> = (p.iter().enumerate())
            .map(|(class, &p)| flush((p - q(class)).max(0.0)))
            .collect();
        all[row] = draw_rest(&rest, &mut random).unwrap_or(own);
        return (all, row as u32);
    }
    let accepted = tokens.len() as u32;
    (all, accepted)
}

fn draft_prob(q: f32) -> f32 {
    flush(q.clamp(0.0, f32::MAX).max(0.0))
}

/// A class with these weights, if one is more than 0.
fn draw_rest(rest: &[f32], random: &mut Philox) -> Option<u32> {
    let chunks: Vec<&[f32]> = rest.chunks(CHUNK).collect();
    let sums: Vec<f32> = chunks.iter().map(|chunk| tree_sum(chunk)).collect();
    let spans: Vec<&[f32]> = sums.chunks(span_chunks(rest.len())).collect();
    let span_sums: Vec<f32> = spans
        .iter()
        .map(|span| span.iter().fold(0.0, |sum, s| sum + s))
        .collect();
    if tree_sum(&span_sums) == 0.0 {
        return None;
    }
    let span = match span_sums.len() {
        1 => 0,
        _ => descend(&span_sums, random),
    };
    let mut within = spans[span].len() - 1;
    while within > 0 && {
        let before = spans[span][..within].iter().fold(0.0, |sum, s| sum + s);
        random.goes_left(before, spans[span][within])
    } {
        within -= 1;
    }
    let chunk = span * span_chunks(rest.len()) + within;
    Some((CHUNK * chunk + descend(chunks[chunk], random)) as u32)
}
