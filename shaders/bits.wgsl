// NaN and the infinities, known by their bits: WGSL lets a compiler assume that there are none, so no float
// comparison may decide about them. Twin: src/reference/tests.rs state the same table.

const NEG_INF: u32 = 0xff800000u;
const POS_INF: u32 = 0x7f800000u;
const NAN: u32 = 0x7fc00000u;
// Maps the bits of a float to an integer of the same order; NaN, canonical, is above +inf.
const KEY_NEG_INF: i32 = -2139095041;
const KEY_POS_INF: i32 = 0x7f800000;

// Its own inverse.
fn key_of(bits: u32) -> i32 {
    let signed = bitcast<i32>(bits);
    return signed ^ ((signed >> 31u) & 0x7fffffff);
}

fn bits_of(key: i32) -> u32 {
    return bitcast<u32>(key ^ ((key >> 31u) & 0x7fffffff));
}

// A row with a NaN or +inf in it.
fn is_odd(key: i32) -> bool {
    return key >= KEY_POS_INF;
}

// The largest of many loaded words, by integer operations alone. As integers, floats of positive sign are in
// order (`high`), of negative sign in reverse order (`low`), and a NaN of negative sign is above -inf (`top`).
struct Extremes {
    high: vec4<i32>,
    low: vec4<u32>,
    top: vec4<u32>,
}

fn no_extremes() -> Extremes {
    return Extremes(vec4<i32>(bitcast<i32>(NEG_INF)), vec4<u32>(NEG_INF), vec4<u32>(NEG_INF));
}

fn with_quad(e: Extremes, bits: vec4<u32>) -> Extremes {
    return Extremes(max(e.high, bitcast<vec4<i32>>(bits)), min(e.low, bits), max(e.top, bits));
}

fn extremes_key(e: Extremes) -> i32 {
    let high = max(max(e.high.x, e.high.y), max(e.high.z, e.high.w));
    let low = min(min(e.low.x, e.low.y), min(e.low.z, e.low.w));
    let top = max(max(e.top.x, e.top.y), max(e.top.z, e.top.w));
    // -0 counts as +0, so that the first of several zeros is the first maximum.
    let negative = select(low, 0u, low == 0x80000000u);
    let largest = select(negative, bitcast<u32>(high), high >= 0);
    let has_nan = (largest > POS_INF && largest < 0x80000000u) || top > NEG_INF;
    return key_of(select(largest, NAN, has_nan));
}
