// The canonical order of a sum, and the part of a row that each lane holds in registers.
//
// A row is cut into chunks of 1,024 classes, a chunk into 256 vec4s of neighbouring classes. Missing classes count as -inf,
// their exponentials as exact zeros. A vec4's sum is (x0 + x2) + (x1 + x3); a chunk's is the halving tree over its vec4s
// (strides 128, 64, ... 1). Lane l of LANES holds vec4s l, l + LANES, ... in registers 0, 1, ...: the upper strides stay
// within a lane, the lower ones go across lanes, and no power-of-two LANES changes a bit. Rust twin: `tree_sum` in
// src/twin.rs.
//
// The registers are visited by repeated calls (`unroll`) rather than in loops: an array stays in registers only where
// every index is a constant, and compilers do not unroll loops of this size (measured on lavapipe: two to three times
// as fast).
//
// A file that imports this one defines what is summed: `term_vec4`, and, if it asks for target errors,
// `target_error_vec4`.

//#import "row/lane"
//#import "io/load"
//#if IS_ADJUSTED
//#import "adjust"
//#end
//#if IS_SAMPLED
//#import "sample/values"
//#end

const CHUNK: u32 = 1024u;
const CHUNK_VEC4S: u32 = 256u;

// What is summed over a row: the exponentials of its denominator, or whatever the kernel needs instead; and on request
// the exponentials times x - m, which the entropy needs, the targets of all classes, and these times x - m.
const SUM: u32 = 0u;
const EXP_SUM: u32 = 1u;
const ENTROPY_SUM: u32 = 2u;
const TARGET_SUM: u32 = 3u;
const TARGET_DOT: u32 = 4u;
// A teacher's exponentials.
const TEACHER_SUM: u32 = 5u;
// What a Hessian-vector product takes: y times the direction v, and times the upstream gradient besides.
const DIRECTION_SUM: u32 = 6u;
const DIRECTION_DOT: u32 = 7u;

// The values held, as bits of f32. With CACHES_EXP, they are replaced by their exponentials once these are summed, so
// that they are not computed again.
var<private> regs: array<vec4<u32>, REGS_PER_LANE>;
// The sum of each register's four terms.
var<private> sums: array<f32, REGS_PER_LANE>;
// How many of the chunk's classes that the lane holds are maxima, by their place in a vec4.
var<private> max_counts: vec4<i32>;
// The number of registers that hold classes; the sums of the others stay 0.
override USED_REGS: u32 = REGS_PER_LANE;
// What a cached exponential is multiplied by where it is relative to the maximum of a part rather than of the row.
var<private> exp_rescale: f32 = 1.0;

//#if HAS_TEACHER
// A teacher's values, or exponentials, beside those in `regs`, and what these are multiplied by.
var<private> teacher_regs: array<vec4<u32>, REGS_PER_LANE>;
var<private> teacher_rescale: f32 = 1.0;
// Those of the vec4 that is being written.
var<private> teacher_exp: vec4<f32>;
//#end

//#if HAS_MAXIMA
// The largest value that the lane itself holds.
var<private> lane_max_key: i32;
//#end

fn row_chunks() -> u32 {
    //#if IS_RAGGED
    // An empty row has a chunk too, whose lanes write what belongs to the row.
    return (max(class_count(), 1u) + CHUNK - 1u) / CHUNK;
    //#else
    return (class_count() + CHUNK - 1u) / CHUNK;
    //#end
}

//#if IS_SHARD
// The chunks that are here.
fn first_chunk_here() -> u32 {
    return params.first_class / CHUNK;
}

fn chunks_here() -> u32 {
    return (params.shard_classes + CHUNK - 1u) / CHUNK;
}
//#else
fn first_chunk_here() -> u32 {
    return 0u;
}

fn chunks_here() -> u32 {
    return row_chunks();
}
//#end

// Chunks of a span: a row has at most 1,024 spans, all of this many chunks except that the last may be shorter.
fn span_chunks() -> u32 {
    //#if IS_RAGGED
    // All rows of a dispatch have the same, which compilers must know where there are barriers.
    return ((params.classes + CHUNK - 1u) / CHUNK + CHUNK - 1u) / CHUNK;
    //#else
    return (row_chunks() + CHUNK - 1u) / CHUNK;
    //#end
}

fn vec4_index_of(reg: u32, chunk: u32, lane: Lane) -> u32 {
    return chunk * CHUNK_VEC4S + reg * LANES + lane.index;
}

//#if !IS_ADJUSTED
// The logits are used as they are stored.
fn adjust_logits(bits: vec4<u32>, start: u32, index: u32, lane: Lane) -> vec4<u32> {
    return bits;
}

fn adjust_grad(g: vec4<f32>, start: u32, index: u32, lane: Lane) -> vec4<f32> {
    return g;
}
//#end

// The values of four classes, of which the statistics are.
fn value_vec4(start: u32, index: u32, lane: Lane) -> vec4<u32> {
    let adjusted = adjust_logits(load_vec4(start, index), start, index, lane);
    //#if IS_SAMPLED
    return values_of(adjusted, index, lane);
    //#else
    return adjusted;
    //#end
}

fn load_reg(reg: u32, start: u32, chunk: u32, lane: Lane) {
    if reg < USED_REGS {
        regs[reg] = value_vec4(start, vec4_index_of(reg, chunk, lane), lane);
        //#if HAS_TEACHER
        teacher_regs[reg] = teacher_vec4(start, vec4_index_of(reg, chunk, lane));
        //#end
    }
}

fn load_chunk(start: u32, chunk: u32, lane: Lane) {
    //#unroll REGS_PER_LANE
    load_reg($iu, start, chunk, lane);
    //#end
}

fn extremes_with_reg(e: Extremes, reg: u32) -> Extremes {
    if reg < USED_REGS {
        return extremes_with(e, regs[reg]);
    }
    return e;
}

// The largest value of the chunk, as an ordered key.
fn chunk_max(lane: Lane) -> i32 {
    var e = no_extremes();
    //#unroll REGS_PER_LANE
    e = extremes_with_reg(e, $iu);
    //#end
    //#if HAS_MAXIMA
    lane_max_key = extremes_key(e);
    return lanes_max(lane_max_key, lane);
    //#else
    return lanes_max(extremes_key(e), lane);
    //#end
}

// e^(x - m), for a finite m; a class of -inf gives exactly 0, a maximum exactly 1.
fn exp_vec4(bits: vec4<u32>, max_value: f32) -> vec4<f32> {
    let x = bitcast<vec4<f32>>(bits);
    let m = vec4<f32>(max_value);
    //#if HAS_EXACT_DIFF
    return exp4(two_diff4(x, m));
    //#else
    return exp4(rounded_diff4(x, m));
    //#end
}

// What exponentials are relative to: the maximum, or where all is -inf any finite number.
fn exp_base(max_key: i32) -> f32 {
    return select(bitcast<f32>(bits_of_key(max_key)), 0.0, max_key == KEY_NEG_INF);
}

fn fold_vec4(v: vec4<f32>) -> f32 {
    let pair = opaque2(v.xy + v.zw);
    return opaque(pair.x + pair.y);
}

// Which chunk is held, and what its exponentials are relative to.
struct ChunkView {
    start: u32,
    chunk: u32,
    base: f32,
}

// The terms of maxima, whose exponential is 1, are counted instead of summed: what they add up to is then exact, and so
// small a sum as that of the other terms may be keeps all its digits.
fn without_maxima(terms: vec4<f32>) -> vec4<f32> {
    //#if IS_RASTERISER
    // Without comparisons: 1 for maxima, 0 for what is below 1.
    let bits = bitcast<vec4<i32>>(terms);
    let others = (bits - vec4<i32>(0x3f800000)) >> vec4<u32>(31u);
    max_counts += others + vec4<i32>(1);
    return bitcast<vec4<f32>>(bits & others);
    //#else
    let is_max = terms == vec4<f32>(1.0);
    max_counts += select(vec4<i32>(0), vec4<i32>(1), is_max);
    return select(terms, vec4<f32>(0.0), is_max);
    //#end
}

fn sum_reg(kind: u32, reg: u32, view: ChunkView, lane: Lane) {
    if reg < USED_REGS {
        let terms = term_vec4(kind, regs[reg], view.start, vec4_index_of(reg, view.chunk, lane), view.base);
        if kind == EXP_SUM {
            sums[reg] = fold_vec4(without_maxima(terms));
        } else {
            sums[reg] = fold_vec4(terms);
        }
        // The terms of a divergence are found from exponentials that a teacher's are compared with; those from probabilities need the
        // values once more.
        if kind == EXP_SUM && (HAS_TEACHER || (CACHES_EXP && !HAS_DIVERGENCE)) {
            regs[reg] = bitcast<vec4<u32>>(terms);
        }
    }
}

fn fold_reg(reg: u32, stride: u32) {
    if reg < stride && stride < REGS_PER_LANE {
        sums[reg] = opaque(sums[reg] + sums[reg + stride]);
    }
}

fn fold_regs(stride: u32) {
    //#unroll REGS_PER_LANE
    fold_reg($iu, stride);
    //#end
}

// The halving tree over all vec4s of the lanes that share the row, first within each lane, then across them; and on the
// same way the sum of the lanes' counts, which are integers, so that their order does not matter up to 2^24.
fn tree_sums(count: f32, lane: Lane) -> vec2<f32> {
    fold_regs(16u);
    fold_regs(8u);
    fold_regs(4u);
    fold_regs(2u);
    fold_regs(1u);
    return lanes_sums(vec2<f32>(sums[0], count), lane);
}

// The sum over the chunk of the terms of `kind`, and with EXP_SUM the number of maxima.
fn chunk_sums(kind: u32, view: ChunkView, lane: Lane) -> vec2<f32> {
    max_counts = vec4<i32>(0);
    //#unroll REGS_PER_LANE
    sum_reg(kind, $iu, view, lane);
    //#end
    return tree_sums(f32((max_counts.x + max_counts.y) + (max_counts.z + max_counts.w)), lane);
}

//#if CACHES_EXP
// A gradient as bits, flushed, and exactly 0 where the class is masked, so that its exponential is 0, even if a factor of
// the gradient is NaN or infinite.
fn absent_or_flushed4(exponentials: vec4<u32>, gradient: vec4<f32>) -> vec4<u32> {
    return select(flush4(bitcast<vec4<u32>>(gradient)), vec4<u32>(0u), exponentials == vec4<u32>(0u));
}

fn cache_exp_reg(reg: u32, base: f32) {
    if reg < USED_REGS {
        regs[reg] = bitcast<vec4<u32>>(exp_vec4(regs[reg], base));
    }
}

// Replaces the values of a chunk that has been loaded again by their exponentials.
fn cache_exp(base: f32) {
    //#unroll REGS_PER_LANE
    cache_exp_reg($iu, base);
    //#end
}

//#if HAS_TEACHER
fn cache_teacher_exp_reg(reg: u32, base: f32) {
    if reg < USED_REGS {
        teacher_regs[reg] = bitcast<vec4<u32>>(exp_vec4(teacher_regs[reg], base));
    }
}

fn cache_teacher_exp(base: f32) {
    //#unroll REGS_PER_LANE
    cache_teacher_exp_reg($iu, base);
    //#end
}
//#end

fn equalize_exp_reg(reg: u32) {
    if reg < USED_REGS {
        regs[reg] = vec4<u32>(0x3f800000u);
    }
}

// Makes all exponentials 1, for the rare row that is -inf alone and counts as if its values were equal.
fn equalize_exp() {
    //#unroll REGS_PER_LANE
    equalize_exp_reg($iu);
    //#end
    exp_rescale = 1.0;
}
//#end

const NO_CLASS: i32 = 0x7fffffff;

fn first_in_reg(first: i32, reg: u32, max_bits: u32, chunk: u32, lane: Lane) -> i32 {
    if reg >= USED_REGS {
        return first;
    }
    let magnitude = regs[reg] & vec4<u32>(0x7fffffffu);
    let both_zero = (magnitude == vec4<u32>(0u)) & vec4<bool>(max_bits == 0u);
    let both_nan = (magnitude > vec4<u32>(POS_INF)) & vec4<bool>(max_bits == NAN);
    let equal = (regs[reg] == vec4<u32>(max_bits)) | both_zero | both_nan;
    let here = vec4<i32>(i32(vec4_index_of(reg, chunk, lane) * 4u)) + vec4<i32>(0, 1, 2, 3);
    let classes = select(vec4<i32>(NO_CLASS), here, equal);
    return min(first, min(min(classes.x, classes.y), min(classes.z, classes.w)));
}

// The first class of the chunk whose value is the largest, or the first NaN if there is one.
fn chunk_argmax(max_key: i32, chunk: u32, lane: Lane) -> i32 {
    let max_bits = bits_of_key(max_key);
    var first = NO_CLASS;
    //#unroll REGS_PER_LANE
    first = first_in_reg(first, $iu, max_bits, chunk, lane);
    //#end
    return lanes_min(first, lane);
}

//#if HAS_TARGET_SUMS
fn target_error_with_reg(error: i32, reg: u32, view: ChunkView, lane: Lane) -> i32 {
    if reg >= USED_REGS {
        return error;
    }
    return max(error, target_error_vec4(regs[reg], view.start, vec4_index_of(reg, view.chunk, lane)));
}

// The most serious error in the targets of the chunk's classes.
fn chunk_target_error(view: ChunkView, lane: Lane) -> i32 {
    var error = TARGET_OK;
    //#unroll REGS_PER_LANE
    error = target_error_with_reg(error, $iu, view, lane);
    //#end
    return lanes_max(error, lane);
}
//#end
