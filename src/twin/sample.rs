//! Twin of sampling (`shaders/sample`, `shaders/kernels/sample_*.wgsl`).

use super::rows::{
    CHUNK, Sums, chunk_stats, exp_diff, ln_sum, ln_two_float, max, merge, row_of_spans, span_chunks, spans,
    sub_rounded, two_diff,
};
use super::search::{fixed_point, from_fixed_point};
use crate::ops::sample::{NO_TOKEN, SampleParams};
use std::cmp::Ordering;

/// Random words: twin of shaders/sample/philox.wgsl.
pub struct Philox {
    seed: [u32; 2],
    position: [u32; 2],
    next: u32,
    words: [u32; 4],
}

impl Philox {
    /// The words of a counter.
    pub fn words(counter: [u32; 4], seed: [u32; 2]) -> [u32; 4] {
        let (mut c, mut key) = (counter, seed);
        for _ in 0..10 {
            let wide = |a: u32, b: u32| {
                let product = u64::from(a) * u64::from(b);
                ((product >> 32) as u32, product as u32)
            };
            let (x, z) = (wide(0xd251_1f53, c[0]), wide(0xcd9e_8d57, c[2]));
            c = [z.0 ^ c[1] ^ key[0], z.1, x.0 ^ c[3] ^ key[1], x.1];
            key = [key[0].wrapping_add(0x9e37_79b9), key[1].wrapping_add(0xbb67_ae85)];
        }
        c
    }

    /// Those of a row.
    pub(super) fn new(params: &SampleParams) -> Self {
        Self {
            seed: params.seed_words,
            position: params.position_words,
            next: 0,
            words: [0; 4],
        }
    }

    pub(super) fn uniform(&mut self) -> f32 {
        if self.next.is_multiple_of(4) {
            self.words = Self::words([self.next / 4, 0, self.position[0], self.position[1]], self.seed);
        }
        let word = self.words[self.next as usize % 4];
        self.next += 1;
        (word >> 8) as f32 * 2f32.powi(-24)
    }

    pub(super) fn goes_left(&mut self, left: f32, right: f32) -> bool {
        self.uniform() * (left + right) < left
    }
}

/// A finite number, and 0 below 2⁻¹²⁶.
fn settled(x: f32) -> f32 {
    match x.abs() {
        small if small < f32::MIN_POSITIVE => 0.0,
        _ => x.clamp(f32::MIN, f32::MAX),
    }
}

fn divide(a: f32, d: f32) -> f32 {
    if a.abs() < f32::MIN_POSITIVE {
        return 0.0;
    }
    settled(a / d)
}

/// What changes the logits of one row before its temperature.
#[derive(Debug, Clone, Copy, Default)]
pub struct Edits<'a> {
    /// Its tokens so far.
    pub history: &'a [u32],
    /// Classes and what is added to them.
    pub bias: &'a [(u32, f32)],
    /// A bit for each class.
    pub allowed: Option<&'a [u32]>,
}

/// b of each class, from a; infinities and NaN stay.
pub fn values(a: &[f32], params: &SampleParams, edits: Edits<'_>) -> Vec<f32> {
    let inv_temperature = match params.is_greedy() {
        true => 1.0,
        false => divide(1.0, params.temperature),
    };
    let value = |class: usize| {
        let mut x = edited(a[class], class as u32, params, edits);
        let is_allowed = |bits: &[u32]| bits[class / 32] >> (class % 32) & 1 == 1;
        if x < f32::INFINITY && !edits.allowed.is_none_or(is_allowed) {
            x = f32::NEG_INFINITY;
        }
        if !x.is_finite() || inv_temperature == 1.0 {
            return x;
        }
        let is_tiny = x.abs() < f32::MIN_POSITIVE;
        if is_tiny { 0.0 } else { settled(x * inv_temperature) }
    };
    (0..a.len()).map(value).collect()
}

fn edited(a: f32, class: u32, params: &SampleParams, edits: Edits<'_>) -> f32 {
    let mut x = a;
    if x.is_finite() && edits.history.contains(&class) {
        if params.repetition_penalty != 1.0 {
            x = match x > 0.0 {
                true => divide(x, params.repetition_penalty),
                false => settled(settled(x) * params.repetition_penalty),
            };
        }
        let generated = edits.history.iter().skip(params.prompt_length as usize);
        let n = generated.filter(|&&token| token == class).count();
        if n > 0 && (params.frequency_penalty != 0.0 || params.presence_penalty != 0.0) {
            x = settled(settled(x) - settled(params.frequency_penalty * n as f32));
            x = settled(x - settled(params.presence_penalty));
        }
    }
    match edits.bias.iter().find(|(biased, _)| *biased == class) {
        Some((_, f32::NEG_INFINITY)) if x < f32::INFINITY => f32::NEG_INFINITY,
        Some((_, bias)) if x.is_finite() && *bias != 0.0 => settled(settled(x) + settled(*bias)),
        _ => x,
    }
}

/// The smallest number whose difference to m is at least `ln min_p`.
fn min_p_bound(m: f32, min_p: f32) -> f32 {
    let (hi, lo) = ln_two_float(min_p);
    let bound = sub_rounded((m, 0.0), (-hi, -lo));
    match sub_rounded(two_diff(bound, m), (hi, lo)) < 0.0 {
        true => bound.next_up(),
        false => bound,
    }
}

/// The classes that the filters keep, in the order of falling b and then of rising class.
pub(super) fn kept(b: &[f32], params: &SampleParams, joint: bool) -> Vec<usize> {
    let mut order: Vec<usize> = (0..b.len()).filter(|&c| b[c] > f32::NEG_INFINITY).collect();
    order.sort_by(|&i, &j| b[j].partial_cmp(&b[i]).unwrap_or(Ordering::Equal).then(i.cmp(&j)));
    if params.is_greedy() {
        order.truncate(1);
        return order;
    }
    let m = max(b);
    let has_min_p = params.min_p >= f32::MIN_POSITIVE;
    let has_top_k = params.top_k > 0 && (params.top_k as usize) < b.len();
    if has_min_p {
        let bound = min_p_bound(m, params.min_p);
        order.retain(|&c| b[c] >= bound);
    }
    if has_top_k {
        order.truncate(params.top_k as usize);
    }
    if params.top_p >= 1.0 {
        return order;
    }
    let mass = |&c: &usize| fixed_point(exp_diff(b[c], m), b.len());
    let total = match (has_min_p || has_top_k) && !joint {
        true => from_fixed_point(order.iter().map(mass).sum(), b.len()),
        false => {
            let (_, Sums { max_count, sum }) = row_of_spans(&spans(b));
            max_count + sum
        }
    };
    let target = fixed_point(params.top_p * total, b.len());
    let mut reached = 0;
    let before = order.iter().take_while(|c| {
        let is_before = reached < target;
        reached += mass(c);
        is_before
    });
    let count = before.count().max(1);
    order.truncate(count);
    order
}

/// A token, and how many classes it was drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// The class, or [`NO_TOKEN`].
    pub token: u32,
    /// The number of classes before it, or [`NO_TOKEN`].
    pub rank: u32,
    /// The number of classes that the filters left.
    pub kept: u32,
}

fn only(b: &[f32], classes: &[usize]) -> Vec<f32> {
    let mut left = vec![f32::NEG_INFINITY; b.len()];
    classes.iter().for_each(|&c| left[c] = b[c]);
    left
}

/// What the filters leave of b, the values of a row that has a token: the others are −∞.
pub fn left(b: &[f32], params: &SampleParams, joint: bool) -> Vec<f32> {
    only(b, &kept(b, params, joint))
}

/// Draws a token of b, the values of a row: see [`SampleParams`].
pub fn draw(b: &[f32], params: &SampleParams, joint: bool) -> Drawn {
    let is_bad = b.iter().any(|x| x.is_nan() || *x == f32::INFINITY);
    if is_bad || b.iter().all(|x| *x == f32::NEG_INFINITY) {
        return Drawn {
            token: NO_TOKEN,
            rank: NO_TOKEN,
            kept: 0,
        };
    }
    let order = kept(b, params, joint);
    let left = only(b, &order);
    let greedy = params.is_greedy().then(|| order[0]);
    let token = greedy.unwrap_or_else(|| draw_of(&left, params));
    let rank = order.iter().position(|&c| c == token);
    Drawn {
        token: token as u32,
        rank: rank.map_or(NO_TOKEN, |rank| rank as u32),
        kept: order.len() as u32,
    }
}

/// One of the maxima, by its number, or one of the others.
#[derive(Clone, Copy)]
enum Place {
    Maximum(f32),
    Other,
}

fn entered(sums: Sums, random: &mut Philox) -> Place {
    if random.uniform() * (sums.max_count + sums.sum) < sums.max_count {
        let number = (random.uniform() * sums.max_count).floor();
        return Place::Maximum(number.min(sums.max_count - 1.0));
    }
    Place::Other
}

/// The place in a part of what has the maximum `m`.
fn place_in(part: (f32, Sums), m: f32, place: Place, random: &mut Philox) -> Place {
    match place {
        Place::Other if exp_diff(part.0, m) != 1.0 => entered(part.1, random),
        place => place,
    }
}

/// How many of the maxima of a whole, whose largest value is m, a part has.
fn maxima_of((m_part, sums): (f32, Sums), m: f32) -> f32 {
    if exp_diff(m_part, m) == 1.0 {
        sums.max_count
    } else {
        0.0
    }
}

/// Goes down the tree over up to 1,024 terms.
pub(super) fn descend(terms: &[f32], random: &mut Philox) -> usize {
    let at = |i: usize| terms.get(i).copied().unwrap_or(0.0);
    let mut tree = vec![0.0; 512];
    for v in 0..256 {
        tree[256 + v] = (at(4 * v) + at(4 * v + 2)) + (at(4 * v + 1) + at(4 * v + 3));
    }
    for nodes in [128, 64, 32, 16, 8, 4, 2, 1] {
        for i in 0..nodes {
            tree[nodes + i] = tree[2 * nodes + i] + tree[3 * nodes + i];
        }
    }
    let (mut node, mut nodes) = (0, 1);
    while nodes < 256 {
        if !random.goes_left(tree[2 * nodes + node], tree[3 * nodes + node]) {
            node += nodes;
        }
        nodes *= 2;
    }
    let [x, y, z, w] = [0, 1, 2, 3].map(|i| at(4 * node + i));
    let within = match random.goes_left(x + z, y + w) {
        true if random.goes_left(x, z) => 0,
        true => 2,
        false if random.goes_left(y, w) => 1,
        false => 3,
    };
    4 * node + within
}

/// Draws with the probabilities of softmax.
fn draw_of(b: &[f32], params: &SampleParams) -> usize {
    let mut random = Philox::new(params);
    let spans = spans(b);
    let (m, sums) = row_of_spans(&spans);
    let mut place = entered(sums, &mut random);
    let span = match &mut place {
        Place::Maximum(number) => (spans.iter())
            .position(|&span| is_of(span, m, number))
            .unwrap_or_default(),
        Place::Other if spans.len() == 1 => 0,
        Place::Other => {
            let rescaled: Vec<f32> = (spans.iter())
                .map(|&(m_span, sums)| sums.rescaled(exp_diff(m_span, m)).sum)
                .collect();
            descend(&rescaled, &mut random)
        }
    };
    place = place_in(spans[span], m, place, &mut random);
    let first = span * span_chunks(b.len());
    let chunks: Vec<&[f32]> = b.chunks(CHUNK).skip(first).take(span_chunks(b.len())).collect();
    let (chunk, place) = chunk_of_span(&chunks, place, &mut random);
    CHUNK * (first + chunk) + class_of_chunk(chunks[chunk], place, &mut random)
}

/// Whether the maximum of this number is in a part; its number there, or in what follows.
fn is_of(part: (f32, Sums), m: f32, number: &mut f32) -> bool {
    let count = maxima_of(part, m);
    if *number < count {
        return true;
    }
    *number -= count;
    false
}

fn chunk_of_span(chunks: &[&[f32]], mut place: Place, random: &mut Philox) -> (usize, Place) {
    let parts: Vec<(f32, Sums)> = chunks.iter().map(|chunk| chunk_stats(chunk)).collect();
    let mut wholes = vec![parts[0]];
    for &part in &parts[1..] {
        wholes.push(merge(wholes[wholes.len() - 1], part));
    }
    for i in (1..parts.len()).rev() {
        let (m, left, right) = (wholes[i].0, wholes[i - 1], parts[i]);
        let is_left = match &mut place {
            Place::Maximum(number) => is_of(left, m, number),
            Place::Other => {
                let [l, r] = [left, right].map(|(m_part, sums)| sums.rescaled(exp_diff(m_part, m)).sum);
                random.goes_left(l, r)
            }
        };
        if !is_left {
            return (i, place_in(right, m, place, random));
        }
        place = place_in(left, m, place, random);
    }
    (0, place)
}

fn class_of_chunk(chunk: &[f32], place: Place, random: &mut Philox) -> usize {
    let m = max(chunk);
    let terms: Vec<f32> = chunk.iter().map(|&x| exp_diff(x, m)).collect();
    match place {
        Place::Maximum(number) => {
            let maxima = terms.iter().enumerate().filter(|(_, e)| **e == 1.0);
            maxima.map(|(class, _)| class).nth(number as usize).unwrap_or_default()
        }
        Place::Other => {
            let others: Vec<f32> = terms.iter().map(|&e| if e == 1.0 { 0.0 } else { e }).collect();
            descend(&others, random)
        }
    }
}

/// The log-probability of a class: twin of `log_prob_bits` in shaders/kernels/sample_report.wgsl.
pub fn log_prob(x: &[f32], class: usize) -> f32 {
    let (m, sums) = row_of_spans(&spans(x));
    sub_rounded(two_diff(x[class], m), ln_sum(sums))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn philox_gives_its_published_words() {
        // kat_vectors of Random123.
        let pi = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        for (counter, seed, expected) in [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            (
                [u32::MAX; 4],
                [u32::MAX; 2],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                pi,
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ] {
            assert_eq!(Philox::words(counter, seed), expected);
        }
    }
}
