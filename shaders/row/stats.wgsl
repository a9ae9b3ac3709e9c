// The statistics of a row, or of a part of it: their definition, those of no classes, those of a chunk that is held,
// and how those of two parts are merged. A row's maximum comes from `chunk_max` (row/registers.wgsl), which compares ordered
// keys (`Extremes` in math.wgsl) and then asks the other lanes (`lanes_max` in row/lane.wgsl). At the end is what a row gives
// whose maximum is not an ordinary number. Rust twins: `Row` in src/reference/row.rs (f64), `stats` in src/twin.rs (f32).

//#import "row/registers"
//#if HAS_UPSTREAM_TERMS
//#import "row/upstream_terms"
//#end
//#if HAS_TARGET_SUMS
//#import "row/target_terms"
//#end

struct Stats {
    // The largest value, as an ordered key: above that of +inf where there is a NaN.
    max_key: i32,
    // d = sum of exp(x - max), or whatever the kernel sums instead.
    sum: f32,
    // The first largest class.
    argmax: i32,
    // sum of exp(x - max) (x - max), which the entropy needs.
    entropy_sum: f32,
    // With a target s_c for each class: sum of s_c, sum of s_c (x_c - max), and what is wrong with them.
    target_sum: f32,
    target_dot: f32,
    target_error: i32,
}

// What may be wrong with the targets of all classes: nothing, a target other than 0 on a class that is -inf, or a NaN.
const TARGET_OK: i32 = 0;
const TARGET_ON_NEG_INF: i32 = 1;
const TARGET_IS_NAN: i32 = 2;

fn no_stats() -> Stats {
    return Stats(KEY_NEG_INF, 0.0, NO_CLASS, 0.0, 0.0, 0.0, TARGET_OK);
}

fn max_of(s: Stats) -> f32 {
    return bitcast<f32>(bits_of_key(s.max_key));
}

//#if !HAS_UPSTREAM_TERMS
// e (x - m), or 0 where e is 0.
fn entropy_term_vec4(e: vec4<f32>, bits: vec4<u32>, max_value: f32) -> vec4<f32> {
    let product = mul4(e, bitcast<vec4<f32>>(bits) - vec4<f32>(max_value));
    return select(product, vec4<f32>(0.0), e == vec4<f32>(0.0));
}

fn term_vec4(kind: u32, bits: vec4<u32>, start: u32, index: u32, max_value: f32) -> vec4<f32> {
    //#if HAS_TARGET_SUMS
    if kind == TARGET_SUM || kind == TARGET_DOT {
        return target_term_vec4(kind, bits, start, index, max_value);
    }
    //#end
    let e = exp_vec4(bits, max_value);
    if kind == ENTROPY_SUM {
        return entropy_term_vec4(e, bits, max_value);
    }
    return e;
}
//#end

// The statistics of the chunk that is held.
fn chunk_stats(start: u32, chunk: u32, lane: Lane) -> Stats {
    var s = no_stats();
    s.max_key = chunk_max(lane);
    let view = ChunkView(start, chunk, max_of(s));
    if HAS_ARGMAX {
        s.argmax = chunk_argmax(s.max_key, chunk, lane);
    }
    if HAS_ENTROPY_SUM {
        s.entropy_sum = chunk_sum(ENTROPY_SUM, view, lane);
    }
    //#if HAS_TARGET_SUMS
    s.target_sum = chunk_sum(TARGET_SUM, view, lane);
    s.target_dot = chunk_sum(TARGET_DOT, view, lane);
    s.target_error = chunk_target_error(view, lane);
    //#end
    // This comes last, because the exponentials may take the values' place.
    s.sum = chunk_sum(SUM, view, lane);
    return s;
}

//#if HAS_SPANS
// A sum of each of four parts, made relative to the maximum of the whole.
fn rescale_to_max(kind: u32, a: Stats, b: Stats, c: Stats, d: Stats, max_value: f32) -> vec4<f32> {
    let sum = vec4<f32>(a.sum, b.sum, c.sum, d.sum);
    let target_sum = vec4<f32>(a.target_sum, b.target_sum, c.target_sum, d.target_sum);
    // Sums without exponentials need no rescaling.
    if kind == SUM && HAS_UPSTREAM_TERMS {
        return sum;
    }
    if kind == TARGET_SUM {
        return target_sum;
    }
    let bits = vec4<u32>(bits_of_key(a.max_key), bits_of_key(b.max_key), bits_of_key(c.max_key), bits_of_key(d.max_key));
    let shift = bitcast<vec4<f32>>(bits) - vec4<f32>(max_value);
    let is_empty = bits == vec4<u32>(NEG_INF);
    if kind == TARGET_DOT {
        let shifted = mul4(target_sum, shift) + vec4<f32>(a.target_dot, b.target_dot, c.target_dot, d.target_dot);
        return select(shifted, vec4<f32>(0.0), is_empty);
    }
    let e = exp_vec4(bits, max_value);
    if kind == ENTROPY_SUM {
        let shifted = mul4(sum, shift) + vec4<f32>(a.entropy_sum, b.entropy_sum, c.entropy_sum, d.entropy_sum);
        return select(mul4(shifted, e), vec4<f32>(0.0), is_empty);
    }
    return mul4(sum, e);
}

fn merge_sum(kind: u32, a: Stats, b: Stats, max_value: f32) -> f32 {
    let both = rescale_to_max(kind, a, b, no_stats(), no_stats(), max_value);
    return both.x + both.y;
}

fn merge(a: Stats, b: Stats) -> Stats {
    var s = no_stats();
    s.max_key = max(a.max_key, b.max_key);
    let max_value = max_of(s);
    s.sum = merge_sum(SUM, a, b, max_value);
    s.argmax = select(a.argmax, b.argmax, b.max_key > a.max_key || a.argmax == NO_CLASS);
    if HAS_ENTROPY_SUM {
        s.entropy_sum = merge_sum(ENTROPY_SUM, a, b, max_value);
    }
    if HAS_TARGET_SUMS {
        s.target_sum = merge_sum(TARGET_SUM, a, b, max_value);
        s.target_dot = merge_sum(TARGET_DOT, a, b, max_value);
        s.target_error = max(a.target_error, b.target_error);
    }
    return s;
}
//#end

// As bits, what a row of -inf alone gives by the caller's `FullyMasked`.
fn fully_masked_bits(zeros: u32, uniform_value: f32) -> u32 {
    let other = select(bitcast<u32>(uniform_value), zeros, params.fully_masked == FULLY_MASKED_ZEROS);
    return select(other, NAN, params.fully_masked == FULLY_MASKED_NAN);
}

// As bits, m + ln d.
fn lse_bits(row: Stats) -> u32 {
    if has_nan_or_inf(row.max_key) {
        return NAN;
    }
    if row.max_key == KEY_NEG_INF {
        return fully_masked_bits(NEG_INF, -ln(f32(class_count())));
    }
    return bitcast<u32>(max_of(row) + ln(row.sum));
}
