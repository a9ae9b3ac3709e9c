// Special numbers, recognised by their bits; arithmetic that no compiler may rearrange; and exp, ln, tanh and 1/d whose
// accuracy we know, because those of drivers are off by up to 60 ULP, and differ from one another. Rust twins:
// src/twin.rs, function by function, except for `tanh4` and `ln_1p`.

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

// No product may be contracted with a sum or folded with another product, and no sum may be re-associated: a value that
// must be rounded as it is written passes through `opaque`, so that the same words come out whatever the compiler, the
// schedule or the adapter.
fn opaque4(x: vec4<f32>) -> vec4<f32> {
    return bitcast<vec4<f32>>(bitcast<vec4<u32>>(x) ^ vec4<u32>(params.zero));
}

fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ params.zero);
}

fn mul4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return opaque4(a * b);
}

fn mul(a: f32, b: f32) -> f32 {
    return opaque(a * b);
}

// Numbers of a magnitude below 2^-126 become 0, as they are on adapters that have no subnormal numbers.
fn flush4(bits: vec4<u32>) -> vec4<u32> {
    return select(bits, vec4<u32>(0u), (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(0x00800000u));
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

// hi + lo = a - b exactly (Knuth's TwoSum, of a and -b).
fn two_diff4(a: vec4<f32>, b: vec4<f32>) -> TwoFloat4 {
    let hi = opaque4(a - b);
    let back = opaque4(hi - a);
    return TwoFloat4(hi, opaque4(opaque4(a - opaque4(hi - back)) - opaque4(b + back)));
}

// a - b, rounded once. It may overflow.
fn sub_rounded4(a: TwoFloat4, b: TwoFloat4) -> vec4<f32> {
    let d = two_diff4(a.hi, b.hi);
    let lo = opaque4(d.lo + opaque4(a.lo - b.lo));
    let is_infinite = (bitcast<vec4<u32>>(d.hi) & vec4<u32>(0x7fffffffu)) == vec4<u32>(POS_INF);
    return d.hi + select(lo, vec4<f32>(0.0), is_infinite);
}

// Cody and Waite: n = round(x / ln 2); r = x - n ln 2 in two steps, the first of them exact; e^r by a
// polynomial, minimax for (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 (3.1e-9 relative); then times 2^n by adding to the
// exponent bits.
const LOG2_E: f32 = 1.4426950408889634;
const LN2_HIGH: f32 = 0.693359375;
const LN2_LOW: f32 = -2.12194440054690583e-4;
// Adding 1.5 * 2^23 rounds to an integer, which is then in the low bits of the sum.
const ROUNDER: f32 = 12582912.0;
// The bits of 2^-126: numbers below it are 0 here.
const SMALLEST_NORMAL: i32 = 0x00800000;
// The bits of -128, which is below the logarithm of every f32.
const BELOW_ALL_EXPONENTS: u32 = 0xc3000000u;

// e^x = 2^n (1 + p).
struct ReducedExp4 {
    // n, in the low bits.
    n: vec4<u32>,
    p: vec4<f32>,
}

fn reduced_exp4(x: TwoFloat4) -> ReducedExp4 {
    let shifted = opaque4(mul4(x.hi, vec4<f32>(LOG2_E)) + vec4<f32>(ROUNDER));
    let n = shifted - vec4<f32>(ROUNDER);
    let low = opaque4(mul4(n, vec4<f32>(LN2_LOW)) - x.lo);
    let r = opaque4(x.hi - mul4(n, vec4<f32>(LN2_HIGH))) - low;
    var q = vec4<f32>(1.3814541e-3);
    q = mul4(q, r) + vec4<f32>(8.3687454e-3);
    q = mul4(q, r) + vec4<f32>(4.1668389e-2);
    q = mul4(q, r) + vec4<f32>(1.6666521e-1);
    q = mul4(q, r) + vec4<f32>(0.49999994);
    return ReducedExp4(bitcast<vec4<u32>>(shifted), opaque4(mul4(mul4(r, r), q) + r));
}

// e^(x.hi + x.lo) for x.hi <= 0.
fn exp4(x: TwoFloat4) -> vec4<f32> {
    let e = reduced_exp4(x);
    let scaled = bitcast<vec4<i32>>(e.p + vec4<f32>(1.0)) + bitcast<vec4<i32>>(e.n << vec4<u32>(23u));
    // Where x is below -128, n and p may be anything; where it is above that, the exponent bits may have underflowed.
    let is_zero = (bitcast<vec4<u32>>(x.hi) > vec4<u32>(BELOW_ALL_EXPONENTS)) | (scaled < vec4<i32>(SMALLEST_NORMAL));
    return select(bitcast<vec4<f32>>(scaled), vec4<f32>(0.0), is_zero);
}

// ln d for a normal d >= 1: d = 2^k (1 + f) with 1 + f in [sqrt 1/2, sqrt 2], and a polynomial that is minimax for
// (ln(1 + f) - f + f^2 / 2) / f^3 (7.5e-10 relative).
fn ln(d: f32) -> f32 {
    return ln_two_float(d).x;
}

// The same logarithm as hi and lo: ln d as it is rounded, and what the rounding lost.
fn ln_two_float(d: f32) -> vec2<f32> {
    let bits = bitcast<u32>(d) + (0x3f800000u - 0x3f3504f3u);
    let k = f32(i32(bits >> 23u) - 127);
    let f = bitcast<f32>((bits & 0x007fffffu) + 0x3f3504f3u) - 1.0;
    var p = 6.7466527e-2;
    p = mul(p, f) - 0.11675671;
    p = mul(p, f) + 0.11888167;
    p = mul(p, f) - 0.12405586;
    p = mul(p, f) + 0.14219551;
    p = mul(p, f) - 0.16667996;
    p = mul(p, f) + 0.20002119;
    p = mul(p, f) - 0.25000009;
    p = mul(p, f) + 0.33333313;
    let square = mul(f, f);
    let tail = mul(mul(square, f), p) + mul(k, LN2_LOW) - mul(square, 0.5);
    let whole = mul(k, LN2_HIGH);
    let sum = opaque(whole + f);
    let rest = opaque(opaque(f - opaque(sum - whole)) + tail);
    let hi = opaque(sum + rest);
    return vec2<f32>(hi, opaque(rest - opaque(hi - sum)));
}

// ln(1 + e) for e from 0 to 1: from 1 + e as it is rounded, and what the rounding lost.
fn ln_1p(e: f32) -> f32 {
    let d = opaque(1.0 + e);
    let lost = opaque(e - opaque(d - 1.0));
    return ln(d) + mul(lost, reciprocal(d));
}

struct Tanh4 {
    tanh: vec4<f32>,
    // 1 - tanh^2
    derivative: vec4<f32>,
}

// Computed from w = e^(-2|v|) - 1: tanh |v| = -w / (2 + w), 1 - tanh^2 = 4 (1 + w) / (2 + w)^2.
fn tanh4(v: vec4<f32>) -> Tanh4 {
    let e = reduced_exp4(two_float4(max(abs(v) * vec4<f32>(-2.0), vec4<f32>(-87.0))));
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
    let numerator = mul4(power, e.p + vec4<f32>(1.0)) * vec4<f32>(4.0);
    return Tanh4(
        bitcast<vec4<f32>>((magnitude & vec4<u32>(0x7fffffffu)) | (bitcast<vec4<u32>>(v) & vec4<u32>(0x80000000u))),
        mul4(mul4(numerator, inv), inv),
    );
}

// 1 / d for d from 1 up to 2^32, by Newton's method from a guess that an integer subtraction makes, because the
// division of drivers differs.
fn reciprocal(d: f32) -> f32 {
    var r = bitcast<f32>(0x7ef311c7u - bitcast<u32>(d));
    for (var i = 0u; i < 4u; i++) {
        r += mul(r, 1.0 - mul(d, r));
    }
    return r;
}
