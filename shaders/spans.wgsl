// Rows of more than one chunk: a span's chunks are merged from left to right, and the spans by the tree of a chunk.
// A schedule keeps the spans where it likes: `put_word`, `get_word`, `span_place`.

// Words of a span: its key, sum and argmax; with other sums 7.
override SPAN_WORDS: u32 = 3u;

fn put_span(span: u32, lane: Lane, s: Stats) {
    let place = span_place(span, lane) * SPAN_WORDS;
    put_word(place, bitcast<u32>(s.key));
    put_word(place + 1u, bitcast<u32>(s.sum));
    put_word(place + 2u, u32(s.argmax));
    if SPAN_WORDS > 3u {
        put_word(place + 3u, bitcast<u32>(s.heat));
        put_word(place + 4u, bitcast<u32>(s.dense));
        put_word(place + 5u, bitcast<u32>(s.dense_x));
        put_word(place + 6u, u32(s.flaw));
    }
}

fn span_at(span: u32, lane: Lane) -> Stats {
    let place = span_place(span, lane) * SPAN_WORDS;
    var s = no_stats();
    s.key = bitcast<i32>(get_word(place));
    s.sum = bitcast<f32>(get_word(place + 1u));
    s.argmax = i32(get_word(place + 2u));
    if SPAN_WORDS > 3u {
        s.heat = bitcast<f32>(get_word(place + 3u));
        s.dense = bitcast<f32>(get_word(place + 4u));
        s.dense_x = bitcast<f32>(get_word(place + 5u));
        s.flaw = i32(get_word(place + 6u));
    }
    return s;
}

// e^(a - b) of two keys, a <= b.
fn exp_fall(a: i32, b: i32) -> f32 {
    return exp_quad(vec4<u32>(bits_of(a)), bitcast<f32>(bits_of(b))).x;
}

// The chunk's values, or the terms seen from its span's largest, with what they are to be multiplied by.
fn hold_again(start: u32, chunk: u32, lane: Lane, row_key: i32) {
    hold(start, chunk, lane);
    if KEEPS_TERMS {
        let key = span_at(chunk / span_chunks(), lane).key;
        keep_terms(bitcast<f32>(bits_of(key)));
        term_scale = exp_fall(key, row_key);
    }
}

// A sum of each of four parts, seen from the largest value of the whole.
fn seen_from(kind: u32, a: Stats, b: Stats, c: Stats, d: Stats, largest: f32) -> vec4<f32> {
    let sum = vec4<f32>(a.sum, b.sum, c.sum, d.sum);
    let dense = vec4<f32>(a.dense, b.dense, c.dense, d.dense);
    if kind == SUM && IS_PLAIN {
        return sum;
    }
    if kind == DENSE {
        return dense;
    }
    let bits = vec4<u32>(bits_of(a.key), bits_of(b.key), bits_of(c.key), bits_of(d.key));
    let fall = bitcast<vec4<f32>>(bits) - vec4<f32>(largest);
    let is_empty = bits == vec4<u32>(NEG_INF);
    if kind == DENSE_X {
        let shifted = mul4(dense, fall) + vec4<f32>(a.dense_x, b.dense_x, c.dense_x, d.dense_x);
        return select(shifted, vec4<f32>(0.0), is_empty);
    }
    let e = exp_quad(bits, largest);
    if kind == HEAT {
        let shifted = mul4(sum, fall) + vec4<f32>(a.heat, b.heat, c.heat, d.heat);
        return select(mul4(shifted, e), vec4<f32>(0.0), is_empty);
    }
    return mul4(sum, e);
}

fn merged_sum(kind: u32, a: Stats, b: Stats, largest: f32) -> f32 {
    let both = seen_from(kind, a, b, no_stats(), no_stats(), largest);
    return both.x + both.y;
}

fn merged(a: Stats, b: Stats) -> Stats {
    var s = no_stats();
    s.key = max(a.key, b.key);
    let largest = largest_of(s);
    s.sum = merged_sum(SUM, a, b, largest);
    s.argmax = select(a.argmax, b.argmax, b.key > a.key || a.argmax == NO_CLASS);
    if HAS_HEAT {
        s.heat = merged_sum(HEAT, a, b, largest);
    }
    if HAS_DENSE {
        s.dense = merged_sum(DENSE, a, b, largest);
        s.dense_x = merged_sum(DENSE_X, a, b, largest);
        s.flaw = max(a.flaw, b.flaw);
    }
    return s;
}

// Chunks past the last hold nothing but -inf, and merging with nothing changes no bits: so every lane takes as many
// steps, and the body, which is long, is compiled once.
fn span_stats(start: u32, span: u32, lane: Lane) -> Stats {
    let first = span * span_chunks();
    var stats = no_stats();
    for (var i = 0u; i < span_chunks(); i++) {
        hold(start, first + i, lane);
        stats = merged(stats, held_stats(start, first + i, lane));
    }
    return stats;
}

fn span_or_none(span: u32, lane: Lane) -> Stats {
    if span < params.spans {
        return span_at(span, lane);
    }
    return no_stats();
}

// A sum for each slot, found in a loop: what it takes to find one is long, and compiled once so.
var<private> span_sums: array<f32, HELD>;

fn span_slot(slot: u32) {
    if slot < HELD {
        sums[slot] = span_sums[slot];
    }
}

fn span_8(base: u32) {
    span_slot(base);
    span_slot(base + 1u);
    span_slot(base + 2u);
    span_slot(base + 3u);
    span_slot(base + 4u);
    span_slot(base + 5u);
    span_slot(base + 6u);
    span_slot(base + 7u);
}

// The tree over the spans, four to a quad, seen from the largest of all.
fn combined_sum(kind: u32, largest: f32, lane: Lane) -> f32 {
    // The rest stay 0.
    let slots = min(HELD, (params.spans + 4u * LANES - 1u) / (4u * LANES));
    for (var slot = 0u; slot < slots; slot++) {
        let first = 4u * (slot * LANES + lane.index);
        let a = span_or_none(first, lane);
        let b = span_or_none(first + 1u, lane);
        let c = span_or_none(first + 2u, lane);
        let d = span_or_none(first + 3u, lane);
        span_sums[slot] = fold_quad(seen_from(kind, a, b, c, d, largest));
    }
    span_8(0u);
    if HELD > 8u {
        span_8(8u);
    }
    if HELD > 16u {
        span_8(16u);
        span_8(24u);
    }
    return tree_sum(lane);
}

// The whole row, from its spans.
fn combined(lane: Lane) -> Stats {
    var key = KEY_NEG_INF;
    var flaw = 0;
    for (var span = lane.index; span < params.spans; span += LANES) {
        let part = span_at(span, lane);
        key = max(key, part.key);
        flaw = max(flaw, part.flaw);
    }
    var s = no_stats();
    s.key = lanes_max(key, lane);
    let largest = largest_of(s);
    s.sum = combined_sum(SUM, largest, lane);
    if HAS_ARGMAX {
        var argmax = NO_CLASS;
        for (var span = lane.index; span < params.spans; span += LANES) {
            let part = span_at(span, lane);
            argmax = select(argmax, min(argmax, part.argmax), part.key == s.key);
        }
        s.argmax = lanes_first(argmax, lane);
    }
    if HAS_HEAT {
        s.heat = combined_sum(HEAT, largest, lane);
    }
    if HAS_DENSE {
        s.dense = combined_sum(DENSE, largest, lane);
        s.dense_x = combined_sum(DENSE_X, largest, lane);
        s.flaw = lanes_max(flaw, lane);
    }
    return s;
}
