// What every kernel of a row asks of a schedule, and the rows that are not ordinary.

override HAS_ARGMAX: bool = false;

// A row, or a part of it: its largest logit as a key, d = sum of exp(x - largest), its first largest class.
struct Stats {
    key: i32,
    sum: f32,
    argmax: i32,
}

fn row_start(row: u32) -> u32 {
    // Divisions are dear.
    if params.inner == 1u {
        return row * params.outer_stride;
    }
    return (row / params.inner) * params.outer_stride + row % params.inner;
}

fn row_chunks() -> u32 {
    return (params.classes + CHUNK - 1u) / CHUNK;
}

fn largest_of(s: Stats) -> f32 {
    return bitcast<f32>(bits_of(s.key));
}

// 1 / d by Newton's method, from an integer's guess, for d from 1 up to 2^32: drivers' own division differs.
fn inverse(d: f32) -> f32 {
    var r = bitcast<f32>(0x7ef311c7u - bitcast<u32>(d));
    for (var i = 0u; i < 4u; i++) {
        r += mul(r, 1.0 - mul(d, r));
    }
    return r;
}

// All -inf: what the caller's `FullyMasked` says, as bits.
fn masked_word(zeros: u32, uniform_value: f32) -> u32 {
    return select(select(bitcast<u32>(uniform_value), zeros, params.policy == 1u), NAN, params.policy == 0u);
}

fn held_stats(chunk: u32, lane: Lane) -> Stats {
    let key = held_max(lane);
    let sum = held_sum(bitcast<f32>(bits_of(key)), lane);
    var argmax = NO_CLASS;
    if HAS_ARGMAX {
        argmax = held_argmax(key, chunk, lane);
    }
    return Stats(key, sum, argmax);
}
