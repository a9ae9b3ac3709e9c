// What every kernel of a row asks of a schedule, and the rows that are not ordinary.

override HAS_ARGMAX: bool = false;

// A row, or a part of it: its largest logit as a key, d = sum of exp(x - largest), its first largest class.
struct Stats {
    key: i32,
    sum: f32,
    argmax: i32,
}

fn row_start(row: u32) -> u32 {
    return (row / params.inner) * params.outer_stride + row % params.inner;
}

fn row_chunks() -> u32 {
    return (params.classes + CHUNK_QUADS * 4u - 1u) / (CHUNK_QUADS * 4u);
}

fn largest_of(s: Stats) -> f32 {
    return bitcast<f32>(bits_of(s.key));
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
