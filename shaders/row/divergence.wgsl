// KL(q || y) = sum of q (ln q - ln y), of targets q that are probabilities, or with HAS_TEACHER the softmax of a teacher's logits b.
// Nothing cancels in it: a part of a row, of probabilities y' and q' among its own classes, has a sum of its own,
//   K = sum of q' (ln q' - ln y'),
// and parts with the shares Y and Q of a row's y and q together have
//   sum of Q K + sum of Q (ln Q - ln Y).
// A term q (ln q - ln y) of a teacher is q (delta - 1 + e^-delta), with delta = ln q - ln y: what was added, y - q, sums to 0. All
// such terms are positive, and what rounding does to the logarithms of both denominators, which all terms share, cancels too.
// Probabilities may not sum to 1, so that their terms stay as they are, q (ln q - ln y').

//#import "bindings"
//#import "row/stats"

// Of the row, or part of a row, to which the terms are relative.
var<private> whole: Stats;

// (delta - 1 + e^-delta) / delta^2 for |delta| <= 1 (1.0e-8 relative).
fn divergence_series(delta: vec4<f32>) -> vec4<f32> {
    var p = vec4<f32>(-2.7722833e-6);
    p = mul_add4(p, delta, vec4<f32>(2.535483e-5));
    p = mul_add4(p, delta, vec4<f32>(-1.9844023e-4));
    p = mul_add4(p, delta, vec4<f32>(1.3885451e-3));
    p = mul_add4(p, delta, vec4<f32>(-8.3333105e-3));
    p = mul_add4(p, delta, vec4<f32>(4.1666735e-2));
    p = mul_add4(p, delta, vec4<f32>(-0.16666667));
    return mul_add4(p, delta, vec4<f32>(0.5));
}

// q (delta - 1 + e^-delta), which is q delta - q + y. Where there is no q, that is y.
fn divergence_vec4(q: vec4<f32>, y: vec4<f32>, delta: vec4<f32>) -> vec4<f32> {
    let near = mul4(mul4(q, mul4(delta, delta)), divergence_series(delta));
    let far = add4(mul_add4(q, delta, -q), y);
    let is_near = (bitcast<vec4<u32>>(delta) & vec4<u32>(0x7fffffffu)) <= vec4<u32>(0x3f800000u);
    return select(select(far, near, is_near), y, q == vec4<f32>(0.0));
}

// x - c, rounded once. It may overflow.
fn less_two_float(x: TwoFloat4, c: vec2<f32>) -> vec4<f32> {
    return sub_rounded4(x, splat_two_float4(c));
}

// ln d, for a part without classes too.
fn ln_sum_or_0(max_count: f32, sum: f32) -> vec2<f32> {
    return ln_sum_two_float(max(max_count, 1.0), sum);
}

//#if HAS_TEACHER
fn teacher_max_of(s: Stats) -> f32 {
    return bitcast<f32>(bits_of_key(s.teacher_max_key));
}

// Half of what the teacher's lse is above that of the row: halves, because differences of the two may overflow.
fn half_log_ratio(s: Stats) -> vec2<f32> {
    let q = 0.5 * ln_sum_or_0(s.teacher_count, s.teacher_sum);
    let y = 0.5 * ln_sum_or_0(s.max_count, s.sum);
    let of_max = two_diff4(vec4<f32>(0.5 * teacher_max_of(s)), vec4<f32>(0.5 * max_of(s)));
    let of_sums = two_diff4(vec4<f32>(q.x), vec4<f32>(y.x));
    let both = two_diff4(of_max.hi, -of_sums.hi);
    let lo = opaque(opaque(both.lo.x + of_max.lo.x) + opaque(of_sums.lo.x + opaque(q.y - y.y)));
    return vec2<f32>(both.hi.x, select(lo, 0.0, is_nan_or_inf(bitcast<u32>(both.hi.x))));
}

// The teacher's values, as bits of f32.
fn teacher_vec4(start: u32, index: u32) -> vec4<u32> {
    let bits = source_vec4(SOFT_TARGETS, start, index, NEG_INF ^ params.zero);
    //#if IS_ADJUSTED
    let scaled = scale_bits(bits, params.teacher_scale);
    return select(scaled, bits, classes_of(index) >= vec4<u32>(class_count()));
    //#else
    return bits;
    //#end
}

// A term of each class, from the exponentials of both, and the values, which are loaded again: that takes less than another two
// exponentials.
fn divergence_reg(reg: u32, view: ChunkView, lane: Lane, ratio: vec2<f32>, inv: vec2<f32>) {
    if reg < USED_REGS {
        let index = vec4_index_of(reg, view.chunk, lane);
        let a = bitcast<vec4<f32>>(value_vec4(view.start, index, lane));
        let b = bitcast<vec4<f32>>(teacher_vec4(view.start, index));
        let delta = 2.0 * less_two_float(two_diff4(0.5 * b, 0.5 * a), ratio);
        let q = mul4(bitcast<vec4<f32>>(teacher_regs[reg]), vec4<f32>(inv.y));
        let y = mul4(bitcast<vec4<f32>>(regs[reg]), vec4<f32>(inv.x));
        sums[reg] = fold_vec4(divergence_vec4(q, y, delta));
    }
}

fn chunk_divergence(view: ChunkView, lane: Lane, part: Stats) -> f32 {
    let inv = vec2<f32>(
        reciprocal(max(part.max_count, 1.0) + part.sum),
        reciprocal(max(part.teacher_count, 1.0) + part.teacher_sum),
    );
    let ratio = half_log_ratio(part);
    //#unroll REGS_PER_LANE
    divergence_reg($iu, view, lane, ratio, inv);
    //#end
    return tree_sums(0.0, lane).x;
}

fn teacher_sum_reg(reg: u32, base: f32) {
    if reg < USED_REGS {
        let p = exp_vec4(teacher_regs[reg], base);
        sums[reg] = fold_vec4(without_maxima(p));
        teacher_regs[reg] = bitcast<vec4<u32>>(p);
    }
}

// The teacher's sum over the chunk, and the number of its maxima; its exponentials take its values' place.
fn teacher_sums(base: f32, lane: Lane) -> vec2<f32> {
    max_counts = vec4<i32>(0);
    //#unroll REGS_PER_LANE
    teacher_sum_reg($iu, base);
    //#end
    return tree_sums(f32((max_counts.x + max_counts.y) + (max_counts.z + max_counts.w)), lane);
}

fn teacher_extremes_with_reg(e: Extremes, reg: u32) -> Extremes {
    if reg < USED_REGS {
        return extremes_with(e, teacher_regs[reg]);
    }
    return e;
}

fn teacher_max(lane: Lane) -> i32 {
    var e = no_extremes();
    //#unroll REGS_PER_LANE
    e = teacher_extremes_with_reg(e, $iu);
    //#end
    return lanes_max(extremes_key(e), lane);
}

fn teacher_error_with_reg(error: i32, reg: u32) -> i32 {
    if reg >= USED_REGS {
        return error;
    }
    let is_on_neg_inf = (teacher_regs[reg] != vec4<u32>(NEG_INF)) & (regs[reg] == vec4<u32>(NEG_INF));
    return select(error, TARGET_ON_NEG_INF, any(is_on_neg_inf));
}

// Whether the teacher has a class that the row has not.
fn teacher_error(lane: Lane) -> i32 {
    var error = TARGET_OK;
    //#unroll REGS_PER_LANE
    error = teacher_error_with_reg(error, $iu);
    //#end
    return lanes_max(error, lane);
}

//#if HAS_SPANS
// The statistics of the teacher in the place of the row's.
fn teacher_of(s: Stats) -> Stats {
    var t = no_stats();
    t.max_key = s.teacher_max_key;
    t.sum = s.teacher_sum;
    t.max_count = s.teacher_count;
    return t;
}

// The terms of parts of `whole`.
fn part_divergences(a: Stats, b: Stats, c: Stats, d: Stats) -> vec4<f32> {
    let of_row = rescale_to_max(EXP_SUM, a, b, c, d, exp_base(whole.max_key));
    let base = exp_base(whole.teacher_max_key);
    let of_teacher = rescale_to_max(EXP_SUM, teacher_of(a), teacher_of(b), teacher_of(c), teacher_of(d), base);
    let inv_y = reciprocal(max(whole.max_count, 1.0) + whole.sum);
    let inv_q = reciprocal(max(whole.teacher_count, 1.0) + whole.teacher_sum);
    let y = mul4(opaque4(of_row.max_count + of_row.sum), vec4<f32>(inv_y));
    let q = mul4(opaque4(of_teacher.max_count + of_teacher.sum), vec4<f32>(inv_q));
    let ratios = array<vec2<f32>, 4>(half_log_ratio(a), half_log_ratio(b), half_log_ratio(c), half_log_ratio(d));
    let hi = vec4<f32>(ratios[0].x, ratios[1].x, ratios[2].x, ratios[3].x);
    let lo = vec4<f32>(ratios[0].y, ratios[1].y, ratios[2].y, ratios[3].y);
    let delta = 2.0 * less_two_float(TwoFloat4(hi, lo), half_log_ratio(whole));
    let own = mul4(q, vec4<f32>(a.target_dot, b.target_dot, c.target_dot, d.target_dot));
    return opaque4(divergence_vec4(q, y, delta) + select(own, vec4<f32>(0.0), q == vec4<f32>(0.0)));
}
//#end
//#else
// ln of four numbers, each of which is normal, or has no part.
fn ln_vec4(x: vec4<f32>) -> TwoFloat4 {
    let a = ln_two_float(x.x);
    let b = ln_two_float(x.y);
    let c = ln_two_float(x.z);
    let d = ln_two_float(x.w);
    return TwoFloat4(vec4<f32>(a.x, b.x, c.x, d.x), vec4<f32>(a.y, b.y, c.y, d.y));
}

// q (ln q - ln y'), with `ln_sum` of the part.
fn divergence_reg(reg: u32, view: ChunkView, lane: Lane, ln_sum: vec2<f32>) {
    if reg < USED_REGS {
        let q = soft_target_vec4(view.start, vec4_index_of(reg, view.chunk, lane));
        let is_none = bitcast<vec4<u32>>(q) < vec4<u32>(0x00800000u);
        let shifted = two_diff4(bitcast<vec4<f32>>(regs[reg]), vec4<f32>(view.base));
        let ln_q = ln_vec4(select(q, vec4<f32>(1.0), is_none));
        let delta = two_diff4(ln_q.hi, shifted.hi);
        let with_rest = TwoFloat4(delta.hi, add4(delta.lo, opaque4(ln_q.lo - shifted.lo)));
        let term = mul4(q, less_two_float(with_rest, -ln_sum));
        sums[reg] = fold_vec4(select(term, vec4<f32>(0.0), is_none | (regs[reg] == vec4<u32>(NEG_INF))));
        //#if CACHES_EXP
        regs[reg] = bitcast<vec4<u32>>(exp_vec4(regs[reg], view.base));
        //#end
    }
}

fn chunk_divergence(view: ChunkView, lane: Lane, part: Stats) -> f32 {
    let ln_sum = ln_sum_or_0(part.max_count, part.sum);
    //#unroll REGS_PER_LANE
    divergence_reg($iu, view, lane, ln_sum);
    //#end
    return tree_sums(0.0, lane).x;
}

//#if HAS_SPANS
// What is added to a part's terms when they become relative to the whole: how much larger its lse is.
fn lse_above(part: Stats) -> f32 {
    let above = two_diff4(vec4<f32>(max_of(whole)), vec4<f32>(max_of(part)));
    let of_whole = ln_sum_or_0(whole.max_count, whole.sum);
    let of_part = ln_sum_or_0(part.max_count, part.sum);
    let of_sums = two_diff4(vec4<f32>(of_whole.x), vec4<f32>(of_part.x));
    let rest = TwoFloat4(-of_sums.hi, vec4<f32>(opaque(opaque(of_part.y - of_whole.y) - of_sums.lo.x)));
    return sub_rounded4(above, rest).x;
}

fn part_divergences(a: Stats, b: Stats, c: Stats, d: Stats) -> vec4<f32> {
    let above = vec4<f32>(lse_above(a), lse_above(b), lse_above(c), lse_above(d));
    let sums = vec4<f32>(a.target_sum, b.target_sum, c.target_sum, d.target_sum);
    let dots = vec4<f32>(a.target_dot, b.target_dot, c.target_dot, d.target_dot);
    return select(mul_add4(sums, above, dots), dots, sums == vec4<f32>(0.0));
}
//#end
//#end
