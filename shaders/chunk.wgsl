// The canonical order of a sum, and the part of a row that a group of lanes holds in registers.
//
// A row is cut into chunks of 1,024 classes, a chunk into 256 quads of four neighbours. Missing classes count as -inf,
// their exponentials as exact zeros. A quad's sum is (x0 + x2) + (x1 + x3); a chunk's is the halving tree over its
// quads (strides 128, 64, ... 1). Lane l of LANES holds quads l, l + LANES, ...: the upper strides stay within a lane,
// the lower ones go across lanes, and no power-of-two LANES changes a bit. Twin: reference.rs `f32_twin`.

const CHUNK_QUADS: u32 = 256u;

var<private> held: array<vec4<u32>, HELD>;

fn quad_of(slot: u32, chunk: u32, lane: Lane) -> u32 {
    return chunk * CHUNK_QUADS + slot * LANES + lane.index;
}

fn hold(start: u32, chunk: u32, lane: Lane) {
    for (var slot = 0u; slot < HELD; slot++) {
        held[slot] = load_quad(start, quad_of(slot, chunk, lane));
    }
}

// The largest of what is held, as a key.
fn held_max(lane: Lane) -> i32 {
    var e = no_extremes();
    for (var slot = 0u; slot < HELD; slot++) {
        e = with_quad(e, held[slot]);
    }
    return lanes_max(extremes_key(e), lane);
}

fn exp_quad(bits: vec4<u32>, largest: f32) -> vec4<f32> {
    let y = exp4(bitcast<vec4<f32>>(bits) - vec4<f32>(largest));
    return select(y, vec4<f32>(0.0), bits == vec4<u32>(NEG_INF));
}

fn fold_quad(q: vec4<f32>) -> f32 {
    let pair = q.xy + q.zw;
    return pair.x + pair.y;
}

// A quad of sums for each slot, and the halving tree over all quads of the lanes that share the row.
var<private> sums: array<f32, HELD>;

fn tree_sum(lane: Lane) -> f32 {
    // Written out, since a compiler unrolls only what it can count.
    if HELD > 16u {
        for (var i = 0u; i < 16u; i++) {
            sums[i] += sums[i + 16u];
        }
    }
    if HELD > 8u {
        for (var i = 0u; i < 8u; i++) {
            sums[i] += sums[i + 8u];
        }
    }
    if HELD > 4u {
        for (var i = 0u; i < 4u; i++) {
            sums[i] += sums[i + 4u];
        }
    }
    if HELD > 2u {
        for (var i = 0u; i < 2u; i++) {
            sums[i] += sums[i + 2u];
        }
    }
    if HELD > 1u {
        sums[0] += sums[1u % HELD];
    }
    return lanes_sum(sums[0], lane);
}

// Sum of exp(x - largest) over what is held.
fn held_sum(largest: f32, lane: Lane) -> f32 {
    for (var slot = 0u; slot < HELD; slot++) {
        sums[slot] = fold_quad(exp_quad(held[slot], largest));
    }
    return tree_sum(lane);
}

const NO_CLASS: i32 = 0x7fffffff;

// The smallest of the lanes' class numbers.
fn lanes_first(index: i32, lane: Lane) -> i32 {
    return -lanes_max(-index, lane);
}

// First class held whose logit is the largest, or a NaN where the largest is one.
fn held_argmax(key: i32, chunk: u32, lane: Lane) -> i32 {
    let largest = bits_of(key);
    var first = NO_CLASS;
    for (var i = 0u; i < HELD; i++) {
        // Backwards, so that the first stays.
        let slot = HELD - 1u - i;
        let quad = held[slot];
        for (var k = 4u; k > 0u; k--) {
            let word = quad[k - 1u];
            let magnitude = word & 0x7fffffffu;
            let equal = word == largest || (magnitude == 0u && largest == 0u);
            if equal || (magnitude > POS_INF && largest == NAN) {
                first = i32(quad_of(slot, chunk, lane) * 4u + k - 1u);
            }
        }
    }
    return lanes_first(first, lane);
}
