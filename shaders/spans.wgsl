// Rows of more than one chunk. Chunks are gathered into at most 1,024 spans, as even as can be from the left; a span's
// chunks are merged from left to right, and the spans by the tree of a chunk. A schedule keeps the spans where it
// likes: `put_span`, `span_at`.

fn span_chunks() -> u32 {
    return (row_chunks() + CHUNK - 1u) / CHUNK;
}

// d of a part, seen from the largest logit of the whole.
fn rescaled(sums_of_parts: vec4<f32>, keys: vec4<i32>, largest: f32) -> vec4<f32> {
    let bits = vec4<u32>(bits_of(keys.x), bits_of(keys.y), bits_of(keys.z), bits_of(keys.w));
    return mul4(sums_of_parts, exp_quad(bits, largest));
}

fn merged(a: Stats, b: Stats) -> Stats {
    let key = max(a.key, b.key);
    let both = rescaled(
        vec4<f32>(a.sum, b.sum, 0.0, 0.0),
        vec4<i32>(a.key, b.key, KEY_NEG_INF, KEY_NEG_INF),
        bitcast<f32>(bits_of(key)),
    );
    return Stats(key, both.x + both.y, select(a.argmax, b.argmax, b.key > a.key || a.argmax == NO_CLASS));
}

// Chunks past the last hold nothing but -inf, and merging with nothing changes no bits: so every lane takes as many
// steps, and the body, which is long, is compiled once.
fn span_stats(start: u32, span: u32, lane: Lane) -> Stats {
    let first = span * span_chunks();
    var stats = Stats(KEY_NEG_INF, 0.0, NO_CLASS);
    for (var i = 0u; i < span_chunks(); i++) {
        hold(start, first + i, lane);
        stats = merged(stats, held_stats(first + i, lane));
    }
    return stats;
}

// The sum of the four spans of a slot, seen from the largest of all.
fn span_slot(slot: u32, largest: f32, lane: Lane) {
    if slot >= HELD {
        return;
    }
    let first = 4u * (slot * LANES + lane.index);
    var part_sums = vec4<f32>(0.0);
    var part_keys = vec4<i32>(KEY_NEG_INF);
    if first < params.spans {
        for (var k = 0u; k < min(4u, params.spans - first); k++) {
            let part = span_at(first + k, lane);
            part_sums[k] = part.sum;
            part_keys[k] = part.key;
        }
        sums[slot] = fold_quad(rescaled(part_sums, part_keys, largest));
    } else {
        sums[slot] = 0.0;
    }
}

fn span_8(base: u32, largest: f32, lane: Lane) {
    span_slot(base, largest, lane);
    span_slot(base + 1u, largest, lane);
    span_slot(base + 2u, largest, lane);
    span_slot(base + 3u, largest, lane);
    span_slot(base + 4u, largest, lane);
    span_slot(base + 5u, largest, lane);
    span_slot(base + 6u, largest, lane);
    span_slot(base + 7u, largest, lane);
}

// The whole row, from its spans.
fn combined(lane: Lane) -> Stats {
    var key = KEY_NEG_INF;
    for (var span = lane.index; span < params.spans; span += LANES) {
        key = max(key, span_at(span, lane).key);
    }
    key = lanes_max(key, lane);
    var argmax = NO_CLASS;
    if HAS_ARGMAX {
        for (var span = lane.index; span < params.spans; span += LANES) {
            let part = span_at(span, lane);
            argmax = select(argmax, min(argmax, part.argmax), part.key == key);
        }
        argmax = lanes_first(argmax, lane);
    }
    let largest = bitcast<f32>(bits_of(key));
    span_8(0u, largest, lane);
    if HELD > 8u {
        span_8(8u, largest, lane);
    }
    if HELD > 16u {
        span_8(16u, largest, lane);
        span_8(24u, largest, lane);
    }
    return Stats(key, tree_sum(lane), argmax);
}
