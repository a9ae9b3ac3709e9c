// Goes over one word or two of each row, before the kernel of the rows or after it, and leaves the summary: counts
// targets, and adds up losses, z-losses and the targets' weights in the canonical order of row/registers.wgsl: 1,024 of
// them to a partial sum, then 1,024 partial sums to one. One work-group does a whole batch of up to CHUNKS_MAX chunks;
// of a larger one every work-group leaves the partial results of some chunks, over which this runs again. With 64
// lanes, each adds the four of a chunk's 256 vec4s that are a multiple of 64 from its own. The lower steps of the halving
// tree go across lanes, in work-group memory, for eight chunks at once: a barrier costs the same for one chunk as for
// eight.
// Reference: what reference::cross_entropy counts and reduces. Rust twin: `total` in src/twin.rs.

//#import "bindings"
//#import "math"
//#import "loss/finish"

// Invocations of a work-group: 64 or 256.
override GROUP: u32 = 64u;
const CHUNK: u32 = 1024u;
// The most chunks that one work-group reduces to one sum, and those that it adds at once.
const CHUNKS_MAX: u32 = 64u;
const TILE: u32 = 8u;
override TILE_LANES: u32 = TILE * GROUP;
// Sums that there may be.
const KINDS: u32 = select(3u, 4u, SUMS_ROW_WEIGHTS);
const CHUNK_SUMS: u32 = KINDS * CHUNKS_MAX;

// What is summed. Its number is also that of its word in a partial result: the last's comes after the words of what is counted.
const SUM_LOSS: u32 = 0u;
const SUM_Z_LOSS: u32 = 1u;
const SUM_WEIGHTS: u32 = 2u;
const SUM_ROW_WEIGHTS: u32 = 3u;

//#if IS_FROM_ROWS
// All may be parts of one buffer of the caller's, which is bound for reading alone or for writing too, not for both.
//#if SUMS_LOSSES
//#if COUNTS_CORRECT
@group(0) @binding(LOSS) var<storage, read_write> loss: array<u32>;
//#else
@group(0) @binding(LOSS) var<storage, read> loss: array<u32>;
//#end
//#end
//#if SUMS_Z_LOSSES
//#if COUNTS_CORRECT
@group(0) @binding(ROW_Z_LOSS) var<storage, read_write> row_z_loss: array<u32>;
//#else
@group(0) @binding(ROW_Z_LOSS) var<storage, read> row_z_loss: array<u32>;
//#end
//#end
//#if COUNTS_CORRECT
@group(0) @binding(ARGMAX) var<storage, read_write> argmax: array<u32>;
//#end

//#if HAS_ROW_CLASSES
// Rows of unequal length: the classes of each.
const ROW_TABLE: u32 = 45u;
@group(0) @binding(ROW_TABLE) var<storage, read> row_classes: array<u32>;

fn classes_of_row(row: u32) -> u32 {
    return row_classes[offset_of(ROW_TABLE) + row];
}
//#else
fn classes_of_row(row: u32) -> u32 {
    return params.classes;
}
//#end

// A row's word in a sum, as bits of f32.
fn word_of_row(kind: u32, row: u32) -> u32 {
    //#if SUMS_LOSSES
    if kind == SUM_LOSS {
        return loss[offset_of(LOSS) + row];
    }
    //#end
    //#if SUMS_Z_LOSSES
    if kind == SUM_Z_LOSS {
        return row_z_loss[offset_of(ROW_Z_LOSS) + row];
    }
    //#end
    let target_class = targets_at(row);
    let counts = !HAS_TARGETS || (target_class < classes_of_row(row) && target_class != params.ignore_index);
    var weight = weights_at(select(0u, target_class, counts));
    if HAS_ROW_WEIGHTS {
        weight = select(mul(weight, row_weights_at(row)), row_weights_at(row), kind == SUM_ROW_WEIGHTS);
    }
    return select(0u, bitcast<u32>(weight), counts);
}

// What is counted of a row.
fn counts_of(row: u32) -> Counts {
    let target_class = targets_at(row);
    let is_ignored = (HAS_TARGETS && target_class == params.ignore_index) || is_left_out(row);
    let is_class = !HAS_TARGETS || target_class < classes_of_row(row);
    var counts = no_counts();
    if COUNTS_TARGETS {
        let is_bad = !is_class && !is_ignored;
        counts.counted = select(0u, 1u, is_class && !is_ignored);
        counts.bad_targets = select(0u, 1u, is_bad);
        counts.first_bad_row = select(0u, ~(params.first_row + row), is_bad);
        counts.first_bad_target = target_class;
    }
    //#if COUNTS_CORRECT
    counts.correct = select(0u, 1u, target_class == argmax[offset_of(ARGMAX) + row] && is_class && !is_ignored);
    //#end
    return counts;
}
//#else
const PARTIALS: u32 = 24u;
@group(0) @binding(PARTIALS) var<storage, read> partials: array<u32>;

fn partial(i: u32, word: u32) -> u32 {
    return partials[offset_of(PARTIALS) + i * PARTIAL_WORDS + word];
}

fn word_of_row(kind: u32, i: u32) -> u32 {
    return partial(i, word_of_sum(kind));
}

fn counts_of(i: u32) -> Counts {
    return Counts(partial(i, 3u), partial(i, 4u), partial(i, 5u), partial(i, 6u), partial(i, 7u), false);
}
//#end

// The first three sums of a chunk or group of chunks, then the words of its `Counts`, and the fourth sum.
const PARTIAL_WORDS: u32 = select(8u, 9u, SUMS_ROW_WEIGHTS);

fn word_of_sum(kind: u32) -> u32 {
    return select(kind, 8u, kind == SUM_ROW_WEIGHTS);
}

//#if !IS_FINAL
const NEXT_PARTIALS: u32 = 25u;
@group(0) @binding(NEXT_PARTIALS) var<storage, read_write> next_partials: array<u32>;

fn put_partial(chunk: u32, word: u32, bits: u32) {
    next_partials[offset_of(NEXT_PARTIALS) + chunk * PARTIAL_WORDS + word] = bits;
}
//#end

// Lanes' sums of the chunks of a tile, and whether a lane has met a NaN or +inf in them.
var<workgroup> lane_sums: array<f32, TILE_LANES>;
var<workgroup> special: array<atomic<u32>, TILE>;
const HAS_NAN: u32 = 1u;
const HAS_POS_INF: u32 = 2u;
// The sums of the chunks, by kind, and the sum of these.
var<workgroup> chunk_sums: array<u32, CHUNK_SUMS>;
var<workgroup> sums: array<u32, KINDS>;

// Words `first .. first + count` are summed: those of the rows, or in the second stage the sums of chunks.
struct Source {
    kind: u32,
    is_second: bool,
    count: u32,
}

// Four words from `first` on; 0 for those past the last.
fn words_at(source: Source, first: u32) -> vec4<u32> {
    let i = vec4<u32>(first) + vec4<u32>(0u, 1u, 2u, 3u);
    let there = min(i, vec4<u32>(source.count - 1u));
    var bits: vec4<u32>;
    if source.is_second {
        let at = there + vec4<u32>(source.kind * CHUNKS_MAX);
        bits = vec4<u32>(chunk_sums[at.x], chunk_sums[at.y], chunk_sums[at.z], chunk_sums[at.w]);
    } else {
        bits = vec4<u32>(
            word_of_row(source.kind, there.x),
            word_of_row(source.kind, there.y),
            word_of_row(source.kind, there.z),
            word_of_row(source.kind, there.w),
        );
    }
    return select(bits, vec4<u32>(0u), i >= vec4<u32>(source.count));
}

var<private> lane_special: u32;

fn sum_of_vec4(source: Source, first: u32) -> f32 {
    let bits = words_at(source, first);
    let magnitudes = bits & vec4<u32>(0x7fffffffu);
    if any(magnitudes >= vec4<u32>(POS_INF)) {
        let has_nan = any(magnitudes > vec4<u32>(POS_INF));
        lane_special |= select(0u, HAS_NAN, has_nan) | select(0u, HAS_POS_INF, any(bits == vec4<u32>(POS_INF)));
    }
    let x = bitcast<vec4<f32>>(bits);
    let pair = opaque2(x.xy + x.zw);
    return opaque(pair.x + pair.y);
}

fn sum_of_lane(source: Source, chunk: u32, local: u32) -> f32 {
    let first = chunk * CHUNK + local * 4u;
    lane_special = 0u;
    if GROUP == CHUNK / 4u {
        return sum_of_vec4(source, first);
    }
    let even = opaque(sum_of_vec4(source, first) + sum_of_vec4(source, first + 512u));
    return even + opaque(sum_of_vec4(source, first + 256u) + sum_of_vec4(source, first + 768u));
}

// The bits of a chunk's sum, by what its words are rather than by float comparisons: with a NaN it is NaN, with +inf it
// is that, unless a -inf (of nll_loss) makes it NaN.
fn sum_bits(sum: f32, met: u32) -> u32 {
    // A sum that is zero is +0, whatever the signs of its terms.
    let bits = select(bitcast<u32>(sum), 0u, sum == 0.0);
    if met == 0u {
        return bits;
    }
    return select(POS_INF, NAN, (met & HAS_NAN) != 0u || (bits & 0x7fffffffu) > POS_INF);
}

fn put_sum(source: Source, chunk: u32, bits: u32) {
    //#if IS_FINAL
    if source.is_second || params.rows <= CHUNK {
        sums[source.kind] = bits;
    } else {
        chunk_sums[source.kind * CHUNKS_MAX + chunk] = bits;
    }
    //#else
    put_partial(chunk, word_of_sum(source.kind), bits);
    //#end
}

// The sums of chunks `first .. last`.
fn sum_chunks(source: Source, first: u32, last: u32, local: u32) {
    for (var base = first; base < last; base += TILE) {
        if local < TILE {
            atomicStore(&special[local], 0u);
        }
        workgroupBarrier();
        let tile = min(TILE, last - base);
        for (var i = 0u; i < tile; i++) {
            lane_sums[i * GROUP + local] = sum_of_lane(source, base + i, local);
            if lane_special != 0u {
                atomicOr(&special[i], lane_special);
            }
        }
        workgroupBarrier();
        for (var stride = GROUP / 2u; stride > 0u; stride /= 2u) {
            for (var k = local; k < tile * stride; k += GROUP) {
                let at = k / stride * GROUP + k % stride;
                lane_sums[at] += lane_sums[at + stride];
            }
            workgroupBarrier();
        }
        if local < tile {
            put_sum(source, base + local, sum_bits(lane_sums[local * GROUP], atomicLoad(&special[local])));
        }
        workgroupBarrier();
    }
}

fn sum_all(kind: u32, first: u32, last: u32, local: u32) {
    sum_chunks(Source(kind, false, params.rows), first, last, local);
    if IS_FINAL && params.rows > CHUNK {
        sum_chunks(Source(kind, true, last), 0u, 1u, local);
    }
}

// The counts of a row, none for one past the last.
fn counts_below(row: u32, last: u32) -> Counts {
    var counts = counts_of(min(row, last - 1u));
    let is_there = row < last;
    counts.counted = select(0u, counts.counted, is_there);
    counts.correct = select(0u, counts.correct, is_there);
    counts.bad_targets = select(0u, counts.bad_targets, is_there);
    counts.first_bad_row = select(0u, counts.first_bad_row, is_there);
    //#if IS_FROM_ROWS
    //#if COUNTS_CORRECT
    // Only after it has been counted: other lanes may read the last row, for which they count nothing.
    if is_there {
        argmax[offset_of(ARGMAX) + row] &= ~ODD_ROW;
    }
    //#end
    //#end
    return counts;
}

fn added(a: Counts, b: Counts) -> Counts {
    // Rows are kept as complements, so the first is the largest.
    let is_b = b.first_bad_row > a.first_bad_row;
    return Counts(
        a.counted + b.counted,
        a.correct + b.correct,
        a.bad_targets + b.bad_targets,
        max(a.first_bad_row, b.first_bad_row),
        select(a.first_bad_target, b.first_bad_target, is_b),
        false,
    );
}

var<workgroup> group_counts: array<atomic<u32>, 4>;

// What is counted of rows `first .. last`. Every lane gets all of it, but the target of the first bad row only the lane
// that has met it.
fn count_all(first: u32, last: u32, local: u32) -> Counts {
    if local < 4u {
        atomicStore(&group_counts[local], 0u);
    }
    workgroupBarrier();
    var own = no_counts();
    // Four rows at a time, because loads that do not wait for one another take as long as one.
    for (var row = first + local; row < last; row += 4u * GROUP) {
        let a = counts_below(row, last);
        let b = counts_below(row + GROUP, last);
        let c = counts_below(row + 2u * GROUP, last);
        let d = counts_below(row + 3u * GROUP, last);
        own = added(added(own, added(a, b)), added(c, d));
    }
    atomicAdd(&group_counts[0], own.counted);
    atomicAdd(&group_counts[1], own.correct);
    atomicAdd(&group_counts[2], own.bad_targets);
    atomicMax(&group_counts[3], own.first_bad_row);
    workgroupBarrier();
    let first_bad_row = atomicLoad(&group_counts[3]);
    return Counts(
        atomicLoad(&group_counts[0]),
        atomicLoad(&group_counts[1]),
        atomicLoad(&group_counts[2]),
        first_bad_row,
        own.first_bad_target,
        // A complement of 0 says that there is none.
        first_bad_row > 0u && own.first_bad_row == first_bad_row,
    );
}

//#if !IS_FINAL
// The counts go with the first chunk of a group; its others have none.
fn put_counts(first: u32, last: u32, all: Counts, local: u32) {
    let is_first = local == 0u;
    if first + local < last {
        put_partial(first + local, 3u, select(0u, all.counted, is_first));
        put_partial(first + local, 4u, select(0u, all.correct, is_first));
        put_partial(first + local, 5u, select(0u, all.bad_targets, is_first));
        put_partial(first + local, 6u, select(0u, all.first_bad_row, is_first));
    }
    if all.has_met_it && first < last {
        put_partial(first, 7u, all.first_bad_target);
    }
}
//#end

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let chunks = (params.rows + CHUNK - 1u) / CHUNK;
    let group = workgroup.y * params.groups_x + workgroup.x;
    let first = select(group * TILE, 0u, IS_FINAL);
    let last = select(min(first + TILE, chunks), chunks, IS_FINAL);
    if SUMS_LOSSES {
        sum_all(SUM_LOSS, first, last, local);
    }
    if SUMS_Z_LOSSES {
        sum_all(SUM_Z_LOSS, first, last, local);
    }
    if SUMS_WEIGHTS {
        sum_all(SUM_WEIGHTS, first, last, local);
    }
    if SUMS_ROW_WEIGHTS {
        sum_all(SUM_ROW_WEIGHTS, first, last, local);
    }
    var counts = no_counts();
    if COUNTS_TARGETS || COUNTS_CORRECT {
        counts = count_all(first * CHUNK, min(last * CHUNK, params.rows), local);
    }
    //#if IS_FINAL
    var total = Sums(0u, 0u, 0u, 0u);
    if SUMS_LOSSES {
        total.losses = sums[SUM_LOSS];
    }
    if SUMS_Z_LOSSES {
        total.z_losses = sums[SUM_Z_LOSS];
    }
    if SUMS_WEIGHTS {
        total.weights = sums[SUM_WEIGHTS];
    }
    //#if SUMS_ROW_WEIGHTS
    total.row_weights = sums[SUM_ROW_WEIGHTS];
    //#end
    finish(total, counts, local);
    //#else
    if COUNTS_TARGETS || COUNTS_CORRECT {
        put_counts(first, last, counts, local);
    }
    //#end
}
