// Special numbers, recognised by their bits; arithmetic that no compiler may rearrange; and exp, ln, tanh and 1/d whose
// accuracy we know, because those of drivers are off by up to 60 ULP, and differ from one another. Rust twins:
// src/twin.rs, function by function, except for `tanh4` and `ln_1p`. With FAST, arithmetic and functions are the
// driver's own instead (fast_math.wgsl).

//#import "params"

// WGSL lets a compiler assume that there is neither NaN nor infinity, so no float comparison may decide about them.
const NEG_INF: u32 = 0xff800000u;
const POS_INF: u32 = 0x7f800000u;
const NAN: u32 = 0x7fc00000u;
// The ordered keys of -inf and +inf.
const KEY_NEG_INF: i32 = -2139095041;
const KEY_POS_INF: i32 = 0x7f800000;

// Maps the bits of a float to an integer, so that integers are in the order of the floats; the canonical NaN is above
// +inf. The map is its own inverse.
fn ordered_key(bits: u32) -> i32 {
    let signed = bitcast<i32>(bits);
    return signed ^ ((signed >> 31u) & 0x7fffffff);
}

fn bits_of_key(key: i32) -> u32 {
    return bitcast<u32>(key ^ ((key >> 31u) & 0x7fffffff));
}

// Whether a row with this largest key has a NaN or +inf in it.
fn has_nan_or_inf(max_key: i32) -> bool {
    return max_key >= KEY_POS_INF;
}

fn is_nan_or_inf(bits: u32) -> bool {
    return (bits & 0x7fffffffu) >= POS_INF;
}

// The largest of many loaded words, by integer operations alone. As integers, floats of positive sign are in order
// (`high`), those of negative sign are in reverse order (`low`), and a NaN of negative sign is above -inf (`top`).
struct Extremes {
    high: vec4<i32>,
    low: vec4<u32>,
    top: vec4<u32>,
}

fn no_extremes() -> Extremes {
    return Extremes(vec4<i32>(bitcast<i32>(NEG_INF)), vec4<u32>(NEG_INF), vec4<u32>(NEG_INF));
}

fn extremes_with(e: Extremes, bits: vec4<u32>) -> Extremes {
    return Extremes(max(e.high, bitcast<vec4<i32>>(bits)), min(e.low, bits), max(e.top, bits));
}

fn extremes_key(e: Extremes) -> i32 {
    let high = max(max(e.high.x, e.high.y), max(e.high.z, e.high.w));
    let low = min(min(e.low.x, e.low.y), min(e.low.z, e.low.w));
    let top = max(max(e.top.x, e.top.y), max(e.top.z, e.top.w));
    // -0 counts as +0, so that the first of several zeros is the first maximum.
    let negative = select(low, 0u, low == 0x80000000u);
    let max_bits = select(negative, bitcast<u32>(high), high >= 0);
    let has_nan = (max_bits > POS_INF && max_bits < 0x80000000u) || top > NEG_INF;
    return ordered_key(select(max_bits, NAN, has_nan));
}

// An unevaluated sum hi + lo, of which hi is the rounded value and lo what the rounding lost.
struct TwoFloat4 {
    hi: vec4<f32>,
    lo: vec4<f32>,
}

fn two_float4(x: vec4<f32>) -> TwoFloat4 {
    return TwoFloat4(x, vec4<f32>(0.0));
}

fn splat_two_float4(x: vec2<f32>) -> TwoFloat4 {
    return TwoFloat4(vec4<f32>(x.x), vec4<f32>(x.y));
}

struct Tanh4 {
    tanh: vec4<f32>,
    // 1 - tanh^2
    derivative: vec4<f32>,
}

//#if FAST
//#import "fast_math"
//#else
// No product may be contracted with a sum or folded with another product, and no sum may be re-associated, so that the
// same words come out whatever the compiler, the schedule or the adapter. A value that must be rounded as it is written
// passes through `opaque`. Where a product meets a sum, `mul_add` is cheaper, and where a single sum meets another, `add`:
// no compiler knows that `one()` is 1, so it must round what is multiplied by it first, and whether it then fuses the
// product with `one()` into the sum makes no difference, because that product is exact. In a tree of sums, where all are
// multiplied by it, llvmpipe factors it out: those are opaque.
fn opaque4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(params.zero));
}

fn opaque2(x: vec2<f32>) -> vec2<f32> {
    return bitcast<vec2<f32>>(bitcast<vec2<u32>>(x) ^ vec2<u32>(params.zero));
}

fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

fn one() -> f32 {
    return bitcast<f32>(params.zero ^ 0x3f800000u);
}

fn mul4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return opaque4(a * b);
}

fn mul(a: f32, b: f32) -> f32 {
    return opaque(a * b);
}

// a b, rounded, plus c, rounded.
fn mul_add4(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    return fma(a * b, vec4<f32>(one()), c);
}

fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    return fma(a * b, one(), c);
}

// a + b, of which neither is a product.
fn add4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return fma(a, vec4<f32>(one()), b);
}

fn add(a: f32, b: f32) -> f32 {
    return fma(a, one(), b);
}

// Numbers of a magnitude below 2^-126 become 0, as they are on adapters that have no subnormal numbers.
fn flush4(bits: vec4<u32>) -> vec4<u32> {
    return select(bits, vec4<u32>(0u), (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x00800000u));
}

// The same for numbers that are not negative.
fn flush_positive4(bits: vec4<u32>) -> vec4<u32> {
    return select(bits, vec4<u32>(0u), bits < vec4<u32>(0x00800000u));
}

// hi + lo = a - b exactly (Knuth's TwoSum, of a and -b).
fn two_diff4(a: vec4<f32>, b: vec4<f32>) -> TwoFloat4 {
    let hi = opaque4(a - b);
    let back = add4(-a, hi);
    let a_virtual = opaque4(hi - back);
    return TwoFloat4(hi, add4(-add4(back, b), a - a_virtual));
}

// The same for a and b of 16 bits in storage, whose difference is exact as it is rounded to an f32, unless one of them
// is thousands of times larger than the other.
fn rounded_diff4(a: vec4<f32>, b: vec4<f32>) -> TwoFloat4 {
    return two_float4(add4(-b, a));
}

// a - b, rounded once. It may overflow.
fn sub_rounded4(a: TwoFloat4, b: TwoFloat4) -> vec4<f32> {
    let d = two_diff4(a.hi, b.hi);
    let lo = opaque4(d.lo + opaque4(a.lo - b.lo));
    let is_infinite = (bitcast<vec4<u32>>(d.hi) & vec4<u32>(0x7fffffffu)) == vec4<u32>(POS_INF);
    return d.hi + select(lo, vec4<f32>(0.0), is_infinite);
}

// Cody and Waite: n = round(x / ln 2); r = x - n ln 2 in two steps; e^r by a polynomial, minimax for
// (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 (3.1e-9 relative); then times 2^n by adding to the exponent bits.
const LOG2_E: f32 = 1.4426950408889634;
// ln 2 in two numbers of 16 bits: their products with n are exact, and so is the first step.
const LN2_HIGH: f32 = 0.693145751953125;
const LN2_LOW: f32 = 1.4286197256296873e-6;
// Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits of the sum.
const ROUNDER: f32 = 12582912.0;
// The bits of -87.33654, the smallest x for which e^x is not below 2^-126; smaller numbers are 0 here.
const LOWEST_EXPONENT: u32 = 0xc2aeac4fu;

// e^x = 2^n (1 + p).
struct ReducedExp4 {
    // n, in the low bits.
    n: vec4<u32>,
    p: vec4<f32>,
}

fn reduced_exp4(x: TwoFloat4) -> ReducedExp4 {
    let shifted = mul_add4(x.hi, vec4<f32>(LOG2_E), vec4<f32>(ROUNDER));
    let n = add4(vec4<f32>(-ROUNDER), shifted);
    // The products are exact, so these need no guard but the one between them.
    let low = fma(n, vec4<f32>(LN2_LOW), -x.lo);
    let r = add4(-low, fma(n, vec4<f32>(-LN2_HIGH), x.hi));
    var q = vec4<f32>(1.3814541e-3);
    q = mul_add4(q, r, vec4<f32>(8.3687454e-3));
    q = mul_add4(q, r, vec4<f32>(4.1668389e-2));
    q = mul_add4(q, r, vec4<f32>(1.6666521e-1));
    q = mul_add4(q, r, vec4<f32>(0.49999994));
    return ReducedExp4(bitcast<vec4<u32>>(shifted), mul_add4(r * r, q, r));
}

// e^(x.hi + x.lo) for x.hi <= 0, -inf included; exactly 1 for x = 0, and exactly 0 below 2^-126.
fn exp4(x: TwoFloat4) -> vec4<f32> {
    let e = reduced_exp4(x);
    let scaled = bitcast<vec4<u32>>(add4(e.p, vec4<f32>(1.0))) + (e.n << vec4<u32>(23u));
    let is_zero = bitcast<vec4<u32>>(x.hi) > vec4<u32>(LOWEST_EXPONENT);
    return select(bitcast<vec4<f32>>(scaled), vec4<f32>(0.0), is_zero);
}

// ln d for a normal d >= 1 as hi and lo: as it is rounded, and what the rounding lost. d = 2^k (1 + f) with 1 + f in
// [sqrt 1/2, sqrt 2], and a polynomial that is minimax for (ln(1 + f) - f + f^2 / 2) / f^3 (7.5e-10 relative).
fn ln_two_float(d: f32) -> vec2<f32> {
    let bits = bitcast<u32>(d) + (0x3f800000u - 0x3f3504f3u);
    let k = f32(i32(bits >> 23u) - 127);
    let f = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    var p = 6.7466527e-2;
    p = mul_add(p, f, -0.11675671);
    p = mul_add(p, f, 0.11888167);
    p = mul_add(p, f, -0.12405586);
    p = mul_add(p, f, 0.14219551);
    p = mul_add(p, f, -0.16667996);
    p = mul_add(p, f, 0.20002119);
    p = mul_add(p, f, -0.25000009);
    p = mul_add(p, f, 0.33333313);
    let square = mul(f, f);
    // The products with k and with 1/2 are exact; but clang would add `rest` within the chain, before its first product.
    let tail = mul_add(square, -0.5, mul_add(mul(square, f), p, mul(k, LN2_LOW)));
    let whole = k * LN2_HIGH;
    let sum = opaque(whole + f);
    let rest = opaque(opaque(f - opaque(sum - whole)) + tail);
    let hi = opaque(sum + rest);
    return vec2<f32>(hi, opaque(rest - opaque(hi - sum)));
}

// ln(k + s) for k >= 1, s >= 0, in the same form. Where k = 1 it is log1p(s), with all its digits however small s is:
// the logarithm of the sum as it is rounded, and what the rounding lost, over the sum.
fn ln_sum_two_float(k: f32, s: f32) -> vec2<f32> {
    let d = opaque(k + s);
    let back = opaque(d - k);
    let lost = add(opaque(k - opaque(d - back)), opaque(s - back));
    let rounded = ln_two_float(d);
    let correction = mul(lost, reciprocal(d));
    let hi = opaque(rounded.x + correction);
    return vec2<f32>(hi, add(opaque(opaque(rounded.x - hi) + correction), rounded.y));
}

// ln(1 + e) for e from 0 to 1.
fn ln_1p(e: f32) -> f32 {
    return ln_sum_two_float(1.0, e).x;
}

// Computed from w = e^(-2|v|) - 1: tanh |v| = -w / (2 + w), 1 - tanh^2 = 4 (1 + w) / (2 + w)^2.
fn tanh4(v: vec4<f32>) -> Tanh4 {
    let exponent = abs(v) * vec4<f32>(-2.0);
    let e = reduced_exp4(two_float4(max(exponent, vec4<f32>(-87.0))));
    let power = bitcast<vec4<f32>>((e.n << vec4<u32>(23u)) + vec4<u32>(0x3f800000u));
    let w = opaque4(mul4(power, e.p) + opaque4(power - vec4<f32>(1.0)));
    let two_plus_w = w + vec4<f32>(2.0);
    let inv = vec4<f32>(
        reciprocal(two_plus_w.x),
        reciprocal(two_plus_w.y),
        reciprocal(two_plus_w.z),
        reciprocal(two_plus_w.w),
    );
    let magnitude = bitcast<vec4<u32>>(mul4(-w, inv));
    let numerator = mul4(power, add4(e.p, vec4<f32>(1.0))) * vec4<f32>(4.0);
    return Tanh4(
        bitcast<vec4<f32>>((magnitude & vec4<u32>(0x7fffffffu)) | (bitcast<vec4<u32>>(v) & vec4<u32>(0x80000000u))),
        // Of what is smaller f32 has hardly any normal numbers, and a large scale would make it large.
        select(mul4(mul4(numerator, inv), inv), vec4<f32>(0.0), exponent < vec4<f32>(-87.0)),
    );
}

// 1 / d for d from 1 up to 2^32, by Newton's method from a guess that an integer subtraction makes, because the
// division of drivers differs.
fn reciprocal(d: f32) -> f32 {
    var r = bitcast<f32>(0x7ef311c7u - bitcast<u32>(d));
    for (var i = 0u; i < 4u; i++) {
        r = mul_add(r, mul_add(-d, r, 1.0), r);
    }
    return r;
}
//#end
