// The canonical order of a sum, and the part of a row that the lanes of the row hold in registers.
//
// A row is cut into chunks of 1,024 classes, a chunk into 256 quads of four neighbours. Missing classes count as -inf,
// their exponentials as exact zeros. A quad's sum is (x0 + x2) + (x1 + x3); a chunk's is the halving tree over its
// quads (strides 128, 64, ... 1). Lane l of LANES holds quads l, l + LANES, ... in slots 0, 1, ...: the upper strides
// stay within a lane, the lower ones go across lanes, and no power-of-two LANES changes a bit. Twin: src/twin.rs.
//
// Slots are gone through in written-out lists rather than loops: an array stays in registers only where every index is
// a constant, and compilers do not unroll loops of this size (measured on lavapipe: twice to three times as fast).
// slots/*.wgsl go through 8, 16 or 32: drivers take long to do away with slots that are there for nothing.

const CHUNK_QUADS: u32 = 256u;
const CHUNK: u32 = 1024u;

// What is summed over a row (terms/*.wgsl): the exponentials, or whatever the kernel needs instead; on request the
// exponentials times x - m, which the entropy needs; dense targets, and those times x - m.
const SUM: u32 = 0u;
const HEAT: u32 = 1u;
const DENSE: u32 = 2u;
const DENSE_X: u32 = 3u;

var<private> held: array<vec4<u32>, HELD>;
// Slots that have classes in them; the sums of the others stay 0.
override USED: u32 = HELD;
// A sum for each slot.
var<private> sums: array<f32, HELD>;
// Once summed, the terms take the place of the values they were made of, and are not made again.
override KEEPS_TERMS: bool = false;
// What a kept term is multiplied by where it was seen from the largest value of a part rather than of the row.
var<private> term_scale: f32 = 1.0;

fn quad_of(slot: u32, chunk: u32, lane: Lane) -> u32 {
    return chunk * CHUNK_QUADS + slot * LANES + lane.index;
}

fn hold_slot(slot: u32, start: u32, chunk: u32, lane: Lane) {
    if slot < USED {
        let quad = quad_of(slot, chunk, lane);
        held[slot] = value_quad(load_quad(start, quad), start, quad, lane);
    }
}

fn hold_8(base: u32, start: u32, chunk: u32, lane: Lane) {
    hold_slot(base, start, chunk, lane);
    hold_slot(base + 1u, start, chunk, lane);
    hold_slot(base + 2u, start, chunk, lane);
    hold_slot(base + 3u, start, chunk, lane);
    hold_slot(base + 4u, start, chunk, lane);
    hold_slot(base + 5u, start, chunk, lane);
    hold_slot(base + 6u, start, chunk, lane);
    hold_slot(base + 7u, start, chunk, lane);
}

fn with_slot(e: Extremes, slot: u32) -> Extremes {
    if slot < USED {
        return with_quad(e, held[slot]);
    }
    return e;
}

fn with_8(before: Extremes, base: u32) -> Extremes {
    var e = before;
    e = with_slot(e, base);
    e = with_slot(e, base + 1u);
    e = with_slot(e, base + 2u);
    e = with_slot(e, base + 3u);
    e = with_slot(e, base + 4u);
    e = with_slot(e, base + 5u);
    e = with_slot(e, base + 6u);
    e = with_slot(e, base + 7u);
    return e;
}

// The largest of what is held, as a key.
fn held_max(lane: Lane) -> i32 {
    return lanes_max(extremes_key(extremes_of_all()), lane);
}

fn exp_quad(bits: vec4<u32>, largest: f32) -> vec4<f32> {
    let y = exp4(difference4(bitcast<vec4<f32>>(bits), vec4<f32>(largest)));
    return select(y, vec4<f32>(0.0), bits == vec4<u32>(NEG_INF));
}

// e (x - m), 0 where e is.
fn heat_quad(e: vec4<f32>, bits: vec4<u32>, largest: f32) -> vec4<f32> {
    let product = mul4(e, bitcast<vec4<f32>>(bits) - vec4<f32>(largest));
    return select(product, vec4<f32>(0.0), e == vec4<f32>(0.0));
}

fn fold_quad(q: vec4<f32>) -> f32 {
    let pair = q.xy + q.zw;
    return pair.x + pair.y;
}

// Where what is held stands, and the largest value that it is seen from.
struct Place {
    start: u32,
    chunk: u32,
    largest: f32,
}

fn sum_slot(kind: u32, slot: u32, at: Place, lane: Lane) {
    if slot < USED {
        let terms = term_quad(kind, held[slot], at.start, quad_of(slot, at.chunk, lane), at.largest);
        sums[slot] = fold_quad(terms);
        if KEEPS_TERMS && kind == SUM {
            held[slot] = bitcast<vec4<u32>>(terms);
        }
    }
}

fn sum_8(kind: u32, base: u32, at: Place, lane: Lane) {
    sum_slot(kind, base, at, lane);
    sum_slot(kind, base + 1u, at, lane);
    sum_slot(kind, base + 2u, at, lane);
    sum_slot(kind, base + 3u, at, lane);
    sum_slot(kind, base + 4u, at, lane);
    sum_slot(kind, base + 5u, at, lane);
    sum_slot(kind, base + 6u, at, lane);
    sum_slot(kind, base + 7u, at, lane);
}

// Sum over what is held, of the terms of `kind` (terms/*.wgsl).
fn held_sum(kind: u32, at: Place, lane: Lane) -> f32 {
    sum_all(kind, at, lane);
    return tree_sum(lane);
}

fn keep_slot(slot: u32, largest: f32) {
    if slot < USED {
        held[slot] = bitcast<vec4<u32>>(exp_quad(held[slot], largest));
    }
}

// Probabilities out of kept terms, with 1 / d.
fn kept_probs(terms: vec4<u32>, inverse_sum: f32) -> vec4<u32> {
    let over = mul(term_scale, inverse_sum);
    return flushed4(bitcast<vec4<u32>>(mul4(bitcast<vec4<f32>>(terms), vec4<f32>(over))));
}

fn keep_8(base: u32, largest: f32) {
    keep_slot(base, largest);
    keep_slot(base + 1u, largest);
    keep_slot(base + 2u, largest);
    keep_slot(base + 3u, largest);
    keep_slot(base + 4u, largest);
    keep_slot(base + 5u, largest);
    keep_slot(base + 6u, largest);
    keep_slot(base + 7u, largest);
}

fn flaw_slot(flaw: i32, slot: u32, at: Place, lane: Lane) -> i32 {
    if slot >= USED {
        return flaw;
    }
    return max(flaw, flaw_quad(held[slot], at.start, quad_of(slot, at.chunk, lane)));
}

fn flaw_8(before: i32, base: u32, at: Place, lane: Lane) -> i32 {
    var flaw = before;
    flaw = flaw_slot(flaw, base, at, lane);
    flaw = flaw_slot(flaw, base + 1u, at, lane);
    flaw = flaw_slot(flaw, base + 2u, at, lane);
    flaw = flaw_slot(flaw, base + 3u, at, lane);
    flaw = flaw_slot(flaw, base + 4u, at, lane);
    flaw = flaw_slot(flaw, base + 5u, at, lane);
    flaw = flaw_slot(flaw, base + 6u, at, lane);
    flaw = flaw_slot(flaw, base + 7u, at, lane);
    return flaw;
}

// The worst that is wrong with the dense targets of what is held.
fn held_flaw(at: Place, lane: Lane) -> i32 {
    return lanes_max(flaw_of_all(at, lane), lane);
}

fn fold_slot(slot: u32, stride: u32) {
    if slot < stride && stride < HELD {
        sums[slot] += sums[slot + stride];
    }
}

fn fold_8(base: u32, stride: u32) {
    fold_slot(base, stride);
    fold_slot(base + 1u, stride);
    fold_slot(base + 2u, stride);
    fold_slot(base + 3u, stride);
    fold_slot(base + 4u, stride);
    fold_slot(base + 5u, stride);
    fold_slot(base + 6u, stride);
    fold_slot(base + 7u, stride);
}

// The halving tree over all quads of the lanes that share the row.
fn tree_sum(lane: Lane) -> f32 {
    fold_all();
    return lanes_sum(sums[0], lane);
}

const NO_CLASS: i32 = 0x7fffffff;

// The smallest of the lanes' class numbers.
fn lanes_first(index: i32, lane: Lane) -> i32 {
    return -lanes_max(-index, lane);
}

fn first_in_slot(first: i32, slot: u32, largest: u32, chunk: u32, lane: Lane) -> i32 {
    if slot >= USED {
        return first;
    }
    let magnitude = held[slot] & vec4<u32>(0x7fffffffu);
    let both_zero = (magnitude == vec4<u32>(0u)) & vec4<bool>(largest == 0u);
    let both_nan = (magnitude > vec4<u32>(POS_INF)) & vec4<bool>(largest == NAN);
    let equal = (held[slot] == vec4<u32>(largest)) | both_zero | both_nan;
    let here = vec4<i32>(i32(quad_of(slot, chunk, lane) * 4u)) + vec4<i32>(0, 1, 2, 3);
    let classes = select(vec4<i32>(NO_CLASS), here, equal);
    return min(first, min(min(classes.x, classes.y), min(classes.z, classes.w)));
}

fn first_8(before: i32, base: u32, largest: u32, chunk: u32, lane: Lane) -> i32 {
    var first = before;
    first = first_in_slot(first, base, largest, chunk, lane);
    first = first_in_slot(first, base + 1u, largest, chunk, lane);
    first = first_in_slot(first, base + 2u, largest, chunk, lane);
    first = first_in_slot(first, base + 3u, largest, chunk, lane);
    first = first_in_slot(first, base + 4u, largest, chunk, lane);
    first = first_in_slot(first, base + 5u, largest, chunk, lane);
    first = first_in_slot(first, base + 6u, largest, chunk, lane);
    first = first_in_slot(first, base + 7u, largest, chunk, lane);
    return first;
}

// First class held whose logit is the largest, or a NaN where the largest is one.
fn held_argmax(key: i32, chunk: u32, lane: Lane) -> i32 {
    return lanes_first(first_of_all(bits_of(key), chunk, lane), lane);
}
