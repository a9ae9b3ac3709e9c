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
//#if HAS_DIVERGENCE
//#import "row/divergence"
//#end

struct Stats {
    // m, the largest value, as an ordered key: above that of +inf where there is a NaN.
    max_key: i32,
    // s, the sum of exp(x - m) over the classes that are not maxima, or whatever the kernel sums instead; and k, how many
    // are maxima: all whose exp(x - m) rounds to 1. The denominator is d = k + s.
    sum: f32,
    max_count: f32,
    // The first largest class.
    argmax: i32,
    // sum of exp(x - m) (x - m), which the entropy needs.
    entropy_sum: f32,
    // With a target s_c for each class: sum of s_c, half the sum of s_c (x_c - m), and what is wrong with them.
    target_sum: f32,
    target_dot: f32,
    target_error: i32,
    //#if HAS_TEACHER
    // m, s and k of a teacher's logits. `target_dot` is then the part's divergence (row/divergence.wgsl).
    teacher_max_key: i32,
    teacher_sum: f32,
    teacher_count: f32,
    //#end
    //#if HAS_DIRECTION
    // sum of exp(x - m) v of a direction v; after a softmax sum of y v, and of y v g.
    direction_sum: f32,
    direction_dot: f32,
    //#end
}

// What may be wrong with the targets of all classes: nothing, a target other than 0 on a class that is -inf, or a NaN.
const TARGET_OK: i32 = 0;
const TARGET_ON_NEG_INF: i32 = 1;
const TARGET_IS_NAN: i32 = 2;

fn no_stats() -> Stats {
    // A compiler that assumes that nothing is infinite may do anything with a -inf that it knows.
    var s: Stats;
    s.max_key = KEY_NEG_INF ^ i32(params.zero);
    s.argmax = NO_CLASS;
    //#if HAS_TEACHER
    s.teacher_max_key = s.max_key;
    //#end
    return s;
}

fn max_of(s: Stats) -> f32 {
    return bitcast<f32>(bits_of_key(s.max_key));
}

//#if !HAS_UPSTREAM_TERMS
const STATS_SUM: u32 = EXP_SUM;

// e (x - m), or 0 where e is 0.
fn entropy_term_vec4(e: vec4<f32>, bits: vec4<u32>, base: f32) -> vec4<f32> {
    let product = mul4(e, bitcast<vec4<f32>>(bits) - vec4<f32>(base));
    return select(product, vec4<f32>(0.0), e == vec4<f32>(0.0));
}

fn term_vec4(kind: u32, bits: vec4<u32>, start: u32, index: u32, base: f32) -> vec4<f32> {
    //#if HAS_TARGET_SUMS
    if kind == TARGET_SUM || kind == TARGET_DOT {
        return target_term_vec4(kind, bits, start, index, base);
    }
    //#end
    let e = exp_vec4(bits, base);
    if kind == ENTROPY_SUM {
        return entropy_term_vec4(e, bits, base);
    }
    //#if HAS_DIRECTION
    if kind == DIRECTION_SUM {
        return select(mul4(e, direction_vec4(start, index)), vec4<f32>(0.0), e == vec4<f32>(0.0));
    }
    //#end
    return e;
}
//#else
const STATS_SUM: u32 = SUM;
//#end

// The statistics of the chunk that is held.
fn chunk_stats(start: u32, chunk: u32, lane: Lane) -> Stats {
    var s = no_stats();
    s.max_key = chunk_max(lane);
    //#if IS_RAGGED
    // An empty row is like one of -inf alone; but it has no values that could count as equal, unless it has a sink.
    let is_empty = class_count() == 0u;
    //#if !ADDS_SINK
    s.max_key = select(s.max_key, ordered_key(NAN), is_empty && params.fully_masked == FULLY_MASKED_UNIFORM);
    //#end
    //#end
    let view = ChunkView(start, chunk, exp_base(s.max_key));
    if HAS_ARGMAX {
        s.argmax = chunk_argmax(s.max_key, chunk, lane);
        //#if IS_RAGGED
        s.argmax = select(s.argmax, NO_CLASS, is_empty);
        //#end
    }
    if HAS_ENTROPY_SUM {
        s.entropy_sum = chunk_sums(ENTROPY_SUM, view, lane).x;
    }
    //#if HAS_TARGET_SUMS
    s.target_sum = chunk_sums(TARGET_SUM, view, lane).x;
    //#if !HAS_DIVERGENCE
    s.target_dot = chunk_sums(TARGET_DOT, view, lane).x;
    //#end
    s.target_error = chunk_target_error(view, lane);
    //#end
    //#if HAS_DIRECTION
    s.direction_sum = chunk_sums(DIRECTION_SUM, view, lane).x;
    //#if HAS_UPSTREAM_TERMS
    s.direction_dot = chunk_sums(DIRECTION_DOT, view, lane).x;
    //#end
    //#end
    //#if HAS_TEACHER
    s.target_error = teacher_error(lane);
    s.teacher_max_key = teacher_max(lane);
    //#end
    // This comes last, because the exponentials may take the values' place.
    let sums = chunk_sums(STATS_SUM, view, lane);
    s.sum = sums.x;
    s.max_count = sums.y;
    //#if HAS_TEACHER
    let of_teacher = teacher_sums(exp_base(s.teacher_max_key), lane);
    s.teacher_sum = of_teacher.x;
    s.teacher_count = of_teacher.y;
    //#end
    //#if HAS_DIVERGENCE
    s.target_dot = chunk_divergence(view, lane, s);
    //#end
    return s;
}

//#if HAS_SPANS
// A sum of each of four parts, made relative to the maximum of the whole.
struct Rescaled {
    sum: vec4<f32>,
    max_count: vec4<f32>,
}

fn rescale_to_max(kind: u32, a: Stats, b: Stats, c: Stats, d: Stats, base: f32) -> Rescaled {
    let none = vec4<f32>(0.0);
    let sum = vec4<f32>(a.sum, b.sum, c.sum, d.sum);
    let target_sum = vec4<f32>(a.target_sum, b.target_sum, c.target_sum, d.target_sum);
    // Sums without exponentials need no rescaling.
    if kind == SUM {
        return Rescaled(sum, none);
    }
    if kind == TARGET_SUM {
        return Rescaled(target_sum, none);
    }
    //#if HAS_DIRECTION
    let of_direction = vec4<f32>(a.direction_sum, b.direction_sum, c.direction_sum, d.direction_sum);
    //#if HAS_UPSTREAM_TERMS
    if kind == DIRECTION_SUM {
        return Rescaled(of_direction, none);
    }
    if kind == DIRECTION_DOT {
        return Rescaled(vec4<f32>(a.direction_dot, b.direction_dot, c.direction_dot, d.direction_dot), none);
    }
    //#end
    //#end
    let bits = vec4<u32>(bits_of_key(a.max_key), bits_of_key(b.max_key), bits_of_key(c.max_key), bits_of_key(d.max_key));
    let is_empty = bits == vec4<u32>(NEG_INF);
    //#if HAS_TARGET_SUMS
    if kind == TARGET_DOT {
        let dot = vec4<f32>(a.target_dot, b.target_dot, c.target_dot, d.target_dot);
        return Rescaled(select(mul_add4(target_sum, half_diff4(bits, base), dot), none, is_empty), none);
    }
    //#end
    let e = exp_vec4(bits, base);
    //#if HAS_DIRECTION
    if kind == DIRECTION_SUM {
        return Rescaled(select(mul4(of_direction, e), none, e == none), none);
    }
    //#end
    let max_count = vec4<f32>(a.max_count, b.max_count, c.max_count, d.max_count);
    let whole = opaque4(max_count + sum);
    if kind == ENTROPY_SUM {
        let entropy_sum = vec4<f32>(a.entropy_sum, b.entropy_sum, c.entropy_sum, d.entropy_sum);
        let shift = bitcast<vec4<f32>>(bits) - vec4<f32>(base);
        return Rescaled(select(mul4(mul_add4(whole, shift, entropy_sum), e), none, e == none), none);
    }
    // The maxima of a part that has the row's maximum are the row's; those of another part are classes like any other.
    let is_max = e == vec4<f32>(1.0);
    return Rescaled(select(mul4(whole, e), sum, is_max), select(none, max_count, is_max));
}

fn merge_sums(kind: u32, a: Stats, b: Stats, base: f32) -> vec2<f32> {
    let both = rescale_to_max(kind, a, b, no_stats(), no_stats(), base);
    return vec2<f32>(opaque(both.sum.x + both.sum.y), opaque(both.max_count.x + both.max_count.y));
}

fn merge(a: Stats, b: Stats) -> Stats {
    var s = no_stats();
    s.max_key = max(a.max_key, b.max_key);
    let base = exp_base(s.max_key);
    let sums = merge_sums(STATS_SUM, a, b, base);
    s.sum = sums.x;
    s.max_count = sums.y;
    s.argmax = select(a.argmax, b.argmax, b.max_key > a.max_key || a.argmax == NO_CLASS);
    if HAS_ENTROPY_SUM {
        s.entropy_sum = merge_sums(ENTROPY_SUM, a, b, base).x;
    }
    //#if HAS_TEACHER
    s.teacher_max_key = max(a.teacher_max_key, b.teacher_max_key);
    let of_teacher = merge_sums(EXP_SUM, teacher_of(a), teacher_of(b), exp_base(s.teacher_max_key));
    s.teacher_sum = of_teacher.x;
    s.teacher_count = of_teacher.y;
    s.target_error = max(a.target_error, b.target_error);
    //#end
    //#if HAS_DIVERGENCE
    whole = s;
    let divergences = part_divergences(a, b, no_stats(), no_stats());
    s.target_dot = opaque(divergences.x + divergences.y);
    //#end
    //#if HAS_DIRECTION
    s.direction_sum = merge_sums(DIRECTION_SUM, a, b, base).x;
    //#if HAS_UPSTREAM_TERMS
    s.direction_dot = merge_sums(DIRECTION_DOT, a, b, base).x;
    //#end
    //#end
    if HAS_TARGET_SUMS {
        s.target_sum = merge_sums(TARGET_SUM, a, b, base).x;
        if !HAS_DIVERGENCE {
            s.target_dot = merge_sums(TARGET_DOT, a, b, base).x;
        }
        s.target_error = max(a.target_error, b.target_error);
    }
    return s;
}
//#end

// 1 / d.
fn inv_sum_of(s: Stats) -> f32 {
    return reciprocal(s.max_count + s.sum);
}

// ln d, as hi and lo.
fn ln_sum_of(s: Stats) -> vec2<f32> {
    return ln_sum_two_float(s.max_count, s.sum);
}

// As bits, what a row of -inf alone gives by the caller's `FullyMasked`.
fn fully_masked_bits(zeros: u32, uniform_value: f32) -> u32 {
    let other = select(bitcast<u32>(uniform_value), zeros, params.fully_masked == FULLY_MASKED_ZEROS);
    return select(other, NAN, params.fully_masked == FULLY_MASKED_NAN);
}

// ln C.
fn ln_class_count() -> f32 {
    return ln_two_float(f32(class_count())).x;
}

// As bits, m + ln d.
fn lse_bits(row: Stats) -> u32 {
    if has_nan_or_inf(row.max_key) {
        return NAN;
    }
    if row.max_key == KEY_NEG_INF {
        return fully_masked_bits(NEG_INF, -ln_class_count());
    }
    return bitcast<u32>(max_of(row) + ln_sum_of(row).x);
}
