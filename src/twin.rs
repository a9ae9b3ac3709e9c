//! The kernels in plain f32 Rust, step by step and in the canonical order of summation. Where an adapter rounds each
//! product, sum and difference as IEEE 754 says, the kernels' results have exactly these bits. Rows with NaN or +∞, and
//! rows of only −∞, are left to `reference`: every row here has a finite largest value.

#![allow(clippy::excessive_precision)]

use std::array::from_fn;

const CHUNK: usize = 1024;

/// `a − b` as it is rounded, and what the rounding lost: twin of `two_diff4` in shaders/math.wgsl.
fn two_diff(a: f32, b: f32) -> (f32, f32) {
    let hi = a - b;
    let back = hi - a;
    (hi, (a - (hi - back)) - (b + back))
}

/// e to the power of an exact difference: twin of `exp4` in shaders/math.wgsl.
fn exp((hi, lo): (f32, f32)) -> f32 {
    const ROUNDER: f32 = 12_582_912.0;
    let shifted = hi * std::f32::consts::LOG2_E + ROUNDER;
    let n = shifted - ROUNDER;
    let r = (hi - n * 0.693_359_375) - (n * -2.121_944_4e-4 - lo);
    let coefficients = [8.368_745_4e-3, 4.166_838_9e-2, 1.666_652_1e-1, 0.499_999_94];
    let q = coefficients.iter().fold(1.381_454_1e-3f32, |q, c| q * r + c);
    let p = (r * r * q + r) + 1.0;
    let scaled = (p.to_bits() as i32).wrapping_add((shifted.to_bits() << 23) as i32);
    if hi < -128.0 || scaled < 0x0080_0000 {
        0.0
    } else {
        f32::from_bits(scaled as u32)
    }
}

/// The difference of two exact differences, rounded once: twin of `sub_rounded4` in shaders/math.wgsl.
fn sub_rounded(a: (f32, f32), b: (f32, f32)) -> f32 {
    let (hi, lo) = two_diff(a.0, b.0);
    hi + (lo + (a.1 - b.1))
}

/// The logarithm as it is rounded, and what the rounding lost: twin of `ln_two_float` in shaders/math.wgsl.
fn ln_two_float(d: f32) -> (f32, f32) {
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
    let tail = square * f * p + k * -2.121_944_4e-4 - square * 0.5;
    let whole = k * 0.693_359_375;
    let sum = whole + f;
    let rest = (f - (sum - whole)) + tail;
    let hi = sum + rest;
    (hi, rest - (hi - sum))
}

/// `1 / d`: twin of `reciprocal` in shaders/math.wgsl.
fn reciprocal(d: f32) -> f32 {
    let guess = f32::from_bits(0x7ef3_11c7 - d.to_bits());
    (0..4).fold(guess, |r, _| r + r * (1.0 - d * r))
}

/// The sum of up to 1,024 values by the halving tree that shaders/row/registers.wgsl describes.
fn tree_sum(values: &[f32]) -> f32 {
    let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
    let mut sums: [f32; CHUNK / 4] = from_fn(|v| (at(4 * v) + at(4 * v + 2)) + (at(4 * v + 1) + at(4 * v + 3)));
    let mut stride = sums.len() / 2;
    while stride > 0 {
        for i in 0..stride {
            sums[i] += sums[i + stride];
        }
        stride /= 2;
    }
    sums[0]
}

fn max(x: &[f32]) -> f32 {
    x.iter().copied().fold(f32::NEG_INFINITY, f32::max)
}

/// `exp(x − m)`, and exactly 0 for a masked class.
fn exp_diff(x: f32, m: f32) -> f32 {
    if x == f32::NEG_INFINITY {
        0.0
    } else {
        exp(two_diff(x, m))
    }
}

/// How many chunks a span has: rows of more than 1,024 chunks have longer spans, so that a single tree adds all spans.
fn span_chunks(classes: usize) -> usize {
    classes.div_ceil(CHUNK).div_ceil(CHUNK)
}

/// `m` and `d` of a row.
fn stats(x: &[f32]) -> (f32, f32) {
    let pairs: Vec<(f32, f32)> = (x.chunks(CHUNK))
        .map(|chunk| {
            let m = max(chunk);
            let terms: Vec<f32> = chunk.iter().map(|&v| exp_diff(v, m)).collect();
            (m, tree_sum(&terms))
        })
        .collect();
    if let [pair] = pairs[..] {
        return pair;
    }
    let merge = |a: (f32, f32), b: (f32, f32)| {
        let m = a.0.max(b.0);
        (m, a.1 * exp_diff(a.0, m) + b.1 * exp_diff(b.0, m))
    };
    let spans: Vec<(f32, f32)> = (pairs.chunks(span_chunks(x.len())))
        .map(|span| span[1..].iter().fold(span[0], |all, &pair| merge(all, pair)))
        .collect();
    let m = spans.iter().map(|s| s.0).fold(f32::NEG_INFINITY, f32::max);
    let terms: Vec<f32> = spans.iter().map(|s| s.1 * exp_diff(s.0, m)).collect();
    (m, tree_sum(&terms))
}

/// 0 for a subnormal number: twin of `flush4` in shaders/math.wgsl.
fn flush(y: f32) -> f32 {
    if y.is_subnormal() { 0.0 } else { y }
}

/// Softmax of one row. Each span's exponentials are taken relative to the span's own largest value and then multiplied
/// by `exp(m_span − m) / d`.
pub fn softmax(x: &[f32]) -> Vec<f32> {
    let (m, d) = stats(x);
    let inv_sum = reciprocal(d);
    let span = |span: &[f32]| {
        let m_span = max(span);
        let factor = exp_diff(m_span, m) * inv_sum;
        span.iter()
            .map(|&v| flush(exp_diff(v, m_span) * factor))
            .collect::<Vec<_>>()
    };
    x.chunks(span_chunks(x.len()) * CHUNK).flat_map(span).collect()
}

/// The loss of one row for a class index as its target, and the row's gradient times `scale`.
pub fn cross_entropy(x: &[f32], target: usize, scale: f32) -> (f32, Vec<f32>) {
    let (m, d) = stats(x);
    let probs = softmax(x);
    let gradient = probs
        .iter()
        .enumerate()
        .map(|(c, y)| flush((y - if c == target { 1.0 } else { 0.0 }) * scale));
    (sub_rounded(ln_two_float(d), two_diff(x[target], m)), gradient.collect())
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
