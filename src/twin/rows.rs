//! Rows: their functions, sums, probabilities and losses.

#![allow(clippy::excessive_precision)]

use std::array::from_fn;

pub(super) const CHUNK: usize = 1024;

/// `a − b` as it is rounded, and what the rounding lost: twin of `two_diff4` in shaders/math.wgsl.
pub(super) fn two_diff(a: f32, b: f32) -> (f32, f32) {
    let hi = a - b;
    let back = hi - a;
    (hi, (a - (hi - back)) - (b + back))
}

/// ln 2 in two numbers of 16 bits.
const LN2: (f32, f32) = (0.693_145_75, 1.428_619_7e-6);

/// e to the power of an exact difference: twin of `exp4` in shaders/math.wgsl.
fn exp((hi, lo): (f32, f32)) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    if hi < -87.336_54 {
        return 0.0;
    }
    let shifted = hi * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (hi - n * LN2.0) - (n * LN2.1 - lo);
    let coefficients = [8.368_745_4e-3, 4.166_838_9e-2, 1.666_652_1e-1, 0.499_999_94];
    let q = coefficients.iter().fold(1.381_454_1e-3f32, |q, c| q * r + c);
    let p = (r * r * q + r) + 1.0;
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// The difference of two exact differences, rounded once: twin of `sub_rounded4` in shaders/math.wgsl.
pub(super) fn sub_rounded(a: (f32, f32), b: (f32, f32)) -> f32 {
    let (hi, lo) = two_diff(a.0, b.0);
    hi + (lo + (a.1 - b.1))
}

/// The logarithm as it is rounded, and what the rounding lost: twin of `ln_two_float` in shaders/math.wgsl.
pub(super) fn ln_two_float(d: f32) -> (f32, f32) {
    let bits = d.to_bits().wrapping_add(0x3f80_0000 - 0x3f35_04f3);
    let k = ((bits >> 23) as i32 - 127) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff) + 0x3f35_04f3) - 1.0;
    let coefficients = [
        -0.116_756_71,
        0.118_881_67,
        -0.124_055_86,
        0.142_195_51,
        -0.166_679_96,
        0.200_021_19,
        -0.250_000_09,
        0.333_333_13,
    ];
    let p = coefficients.iter().fold(6.746_652_7e-2f32, |p, c| p * f + c);
    let square = f * f;
    let tail = square * f * p + k * LN2.1 - square * 0.5;
    let whole = k * LN2.0;
    let sum = whole + f;
    let rest = (f - (sum - whole)) + tail;
    let hi = sum + rest;
    (hi, rest - (hi - sum))
}

/// `ln(k + s)` in the same form: twin of `ln_sum_two_float` in shaders/math.wgsl.
pub(super) fn ln_sum(Sums { max_count: k, sum: s }: Sums) -> (f32, f32) {
    let d = k + s;
    let back = d - k;
    let lost = (k - (d - back)) + (s - back);
    let rounded = ln_two_float(d);
    let correction = lost * reciprocal(d);
    let hi = rounded.0 + correction;
    (hi, ((rounded.0 - hi) + correction) + rounded.1)
}

/// `1 / d`: twin of `reciprocal` in shaders/math.wgsl.
fn reciprocal(d: f32) -> f32 {
    let guess = f32::from_bits(0x7ef3_11c7 - d.to_bits());
    (0..4).fold(guess, |r, _| r + r * (1.0 - d * r))
}

/// The sum of up to 1,024 values by the halving tree that shaders/row/registers.wgsl describes; a sum that is zero is +0.
pub(super) fn tree_sum(values: &[f32]) -> f32 {
    let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
    let mut sums: [f32; CHUNK / 4] = from_fn(|v| (at(4 * v) + at(4 * v + 2)) + (at(4 * v + 1) + at(4 * v + 3)));
    let mut stride = sums.len() / 2;
    while stride > 0 {
        for i in 0..stride {
            sums[i] += sums[i + stride];
        }
        stride /= 2;
    }
    if sums[0] == 0.0 { 0.0 } else { sums[0] }
}

pub(super) fn max(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `exp(x − m)`, and exactly 0 for a masked class.
pub(super) fn exp_diff(x: f32, m: f32) -> f32 {
    if x == f32::NEG_INFINITY {
        0.0
    } else {
        exp(two_diff(x, m))
    }
}

/// How many chunks a span has: rows of more than 1,024 chunks have longer spans, so that a single tree adds all spans.
pub(super) fn span_chunks(classes: usize) -> usize {
    classes.div_ceil(CHUNK).div_ceil(CHUNK)
}

/// The denominator `d = k + s` of a row, or of a part of it: k, the number of classes whose `exp(x − m)` is 1, and s, the
/// sum of the others'.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub(super) max_count: f32,
    pub(super) sum: f32,
}

impl Sums {
    /// Twin of `chunk_sums` in shaders/row/registers.wgsl.
    fn of_chunk(x: &[f32], m: f32) -> Self {
        let terms: Vec<f32> = x.iter().map(|&v| exp_diff(v, m)).collect();
        let others: Vec<f32> = terms.iter().map(|&e| if e == 1.0 { 0.0 } else { e }).collect();
        Self {
            max_count: terms.iter().filter(|&&e| e == 1.0).count() as f32,
            sum: tree_sum(&others),
        }
    }

    /// These sums relative to the maximum of the whole row, whose `exp(m_part − m)` is `e`: twin of `rescale_to_max` in
    /// shaders/row/stats.wgsl.
    pub(super) fn rescaled(self, e: f32) -> Self {
        if e == 1.0 {
            return self;
        }
        Self {
            max_count: 0.0,
            sum: (self.max_count + self.sum) * e,
        }
    }

    fn inv_sum(self) -> f32 {
        reciprocal(self.max_count + self.sum)
    }
}

/// The statistics of two parts together: twin of `merge` in shaders/row/stats.wgsl.
pub(super) fn merge(a: (f32, Sums), b: (f32, Sums)) -> (f32, Sums) {
    let m = a.0.max(b.0);
    let [a, b] = [a, b].map(|(m_part, sums)| sums.rescaled(exp_diff(m_part, m)));
    let sums = Sums {
        max_count: a.max_count + b.max_count,
        sum: a.sum + b.sum,
    };
    (m, sums)
}

pub(super) fn chunk_stats(chunk: &[f32]) -> (f32, Sums) {
    let m = max(chunk);
    (m, Sums::of_chunk(chunk, m))
}

/// The maximum and the sums of each span of a row: twin of `span_stats` in shaders/row/spans.wgsl.
pub(super) fn spans(x: &[f32]) -> Vec<(f32, Sums)> {
    let parts: Vec<(f32, Sums)> = x.chunks(CHUNK).map(chunk_stats).collect();
    (parts.chunks(span_chunks(x.len())))
        .map(|span| span[1..].iter().fold(span[0], |all, &part| merge(all, part)))
        .collect()
}

/// The maximum and the sums of a row: twin of `combine_spans` there.
pub(super) fn row_of_spans(spans: &[(f32, Sums)]) -> (f32, Sums) {
    if let [span] = spans[..] {
        return span;
    }
    let m = spans.iter().map(|s| s.0).fold(f32::NEG_INFINITY, f32::max);
    let rescaled = spans.iter().map(|&(m_part, sums)| sums.rescaled(exp_diff(m_part, m)));
    let (counts, sums): (Vec<f32>, Vec<f32>) = rescaled.map(|s| (s.max_count, s.sum)).unzip();
    let sums = Sums {
        max_count: counts.iter().sum(),
        sum: tree_sum(&sums),
    };
    (m, sums)
}

fn stats(x: &[f32]) -> (f32, Sums) {
    row_of_spans(&spans(x))
}

/// 0 for a subnormal number, and +0 for −0: twin of `flush4` in shaders/math.wgsl.
pub(super) fn flush(y: f32) -> f32 {
    if y.abs() < f32::MIN_POSITIVE { 0.0 } else { y }
}

/// The exponential of each class relative to the largest value of its span, and what makes it relative to the row's.
fn exps(x: &[f32], m: f32) -> impl Iterator<Item = (f32, f32)> {
    let of_span = move |span: &[f32]| {
        let m_span = max(span);
        let rescale = exp_diff(m_span, m);
        (span.iter())
            .map(|&v| (exp_diff(v, m_span), rescale))
            .collect::<Vec<_>>()
    };
    x.chunks(span_chunks(x.len()) * CHUNK).flat_map(of_span)
}

/// Softmax of one row: each exponential times `exp(m_span − m) · 1/d`.
pub fn softmax(x: &[f32]) -> Vec<f32> {
    probabilities(x, stats(x))
}

/// Softmax of one row with a sink.
pub fn softmax_with_sink(x: &[f32], sink: f32) -> Vec<f32> {
    probabilities(x, with_sink(stats(x), sink))
}

/// The statistics of a row and its sink: twin of `with_sink` in shaders/row/sink.wgsl.
fn with_sink(row: (f32, Sums), sink: f32) -> (f32, Sums) {
    let alone = Sums {
        max_count: 1.0,
        sum: 0.0,
    };
    merge(row, (sink, alone))
}

fn probabilities(x: &[f32], (m, sums): (f32, Sums)) -> Vec<f32> {
    exps(x, m)
        .map(|(e, rescale)| flush(e * (rescale * sums.inv_sum())))
        .collect()
}

/// The loss of one row for a class index as its target, and the row's gradient times `scale`.
pub fn cross_entropy(x: &[f32], target: usize, scale: f32) -> (f32, Vec<f32>) {
    let (m, sums) = stats(x);
    let rest = match sums.max_count > 1.0 {
        true => 1.0 - sums.inv_sum(),
        false => sums.sum * sums.inv_sum(),
    };
    let factor = scale * sums.inv_sum();
    let mut gradient: Vec<f32> = exps(x, m).map(|(e, rescale)| flush(e * (rescale * factor))).collect();
    gradient[target] = flush(match exp_diff(x[target], m) {
        // Of a target that is a maximum, y − 1 is computed without cancelling.
        1.0 => -rest * scale,
        e => (e * sums.inv_sum() - 1.0) * scale,
    });
    (sub_rounded(ln_sum(sums), two_diff(x[target], m)), gradient)
}

/// The sum of the rows' losses: 1,024 at a time, then their sums in the same way, until one is left.
pub fn total(losses: &[f32]) -> f32 {
    let mut values = losses.to_vec();
    loop {
        values = values.chunks(CHUNK).map(tree_sum).collect();
        if values.len() <= 1 {
            return values.first().copied().unwrap_or(0.0);
        }
    }
}
