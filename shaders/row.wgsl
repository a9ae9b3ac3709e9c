// What every kernel of a row asks of a schedule, and the rows that are not ordinary.

override HAS_HEAT: bool = false;
override HAS_DENSE: bool = false;
// No exponentials: sums of parts need not be rescaled.
override IS_PLAIN: bool = false;

// A row, or a part of it: its largest value as a key, d = sum of exp(x - largest), its first largest class, the other
// sums, and what is wrong with the dense targets: 0 nothing, 1 a weight on -inf, 2 a NaN.
struct Stats {
    key: i32,
    sum: f32,
    argmax: i32,
    heat: f32,
    dense: f32,
    dense_x: f32,
    flaw: i32,
}

fn no_stats() -> Stats {
    return Stats(KEY_NEG_INF, 0.0, NO_CLASS, 0.0, 0.0, 0.0, 0);
}

fn row_start(row: u32) -> u32 {
    // Divisions are dear.
    if params.inner == 1u {
        return row * params.outer_stride;
    }
    return (row / params.inner) * params.outer_stride + row % params.inner;
}

fn row_chunks() -> u32 {
    return (class_count() + CHUNK - 1u) / CHUNK;
}

// Chunks are gathered into at most 1,024 spans, as even as can be from the left.
fn span_chunks() -> u32 {
    return (row_chunks() + CHUNK - 1u) / CHUNK;
}

fn largest_of(s: Stats) -> f32 {
    return bitcast<f32>(bits_of(s.key));
}

// All -inf: what the caller's `FullyMasked` says, as bits.
fn masked_word(zeros: u32, uniform_value: f32) -> u32 {
    return select(select(bitcast<u32>(uniform_value), zeros, params.policy == 1u), NAN, params.policy == 0u);
}

fn lse_bits(row: Stats) -> u32 {
    if is_odd(row.key) {
        return NAN;
    }
    if row.key == KEY_NEG_INF {
        return masked_word(NEG_INF, -ln(f32(class_count())));
    }
    return bitcast<u32>(largest_of(row) + ln(row.sum));
}

fn held_stats(start: u32, chunk: u32, lane: Lane) -> Stats {
    var s = no_stats();
    s.key = held_max(lane);
    let at = Place(start, chunk, bitcast<f32>(bits_of(s.key)));
    if HAS_ARGMAX {
        s.argmax = held_argmax(s.key, chunk, lane);
    }
    if HAS_HEAT {
        s.heat = held_sum(HEAT, at, lane);
    }
    if HAS_DENSE {
        s.dense = held_sum(DENSE, at, lane);
        s.dense_x = held_sum(DENSE_X, at, lane);
        s.flaw = held_flaw(at, lane);
    }
    // The last, as the terms may take the values' place.
    s.sum = held_sum(SUM, at, lane);
    return s;
}
