// Which lane of which row an invocation is, and how the lanes that share a row combine what each has found. They do so by
// shuffles where the adapter has subgroups, which unlike subgroup adds leave the order of a sum to us, and through
// work-group memory otherwise and between subgroups. A kernel of rows has a `run(lane: Lane)`.

//#import "math"
//#if IS_RAGGED
//#import "row/table"
//#end

// Invocations of a work-group, and those of them that share a row, or a chunk of it: a power of two.
override WORKGROUP_SIZE: u32 = 64u;
override LANES: u32 = 8u;
// Chunks of a row that have lanes of their own.
override ROW_CHUNKS: u32 = 1u;

struct Lane {
    // The lane's number within the row or chunk, below LANES.
    index: u32,
    // Which chunk of the row, below ROW_CHUNKS.
    chunk: u32,
    // The row within the dispatch. A lane of a row past the last gets the last row again, and `live` is false.
    row: u32,
    live: bool,
    // Which of the `params.pieces` pieces of the row, with the split schedule.
    piece: u32,
    // The first invocation of the row or chunk in work-group memory.
    first: u32,
}

// The invocation's number in its work-group, where that has a row to itself.
fn local_index(lane: Lane) -> u32 {
    return lane.chunk * LANES + lane.index;
}

// Whether it is the lane that writes what belongs to a row.
fn is_first_of_row(lane: Lane) -> bool {
    return lane.live && lane.index == 0u && lane.chunk == 0u && lane.piece == 0u;
}

// A work-group consists of runs of LANES invocations; `segment` is the number of the run.
fn lane_of(workgroup: vec3<u32>, segment: u32, index: u32) -> Lane {
    let group = workgroup.y * params.groups_x + workgroup.x;
    let rows = WORKGROUP_SIZE / LANES / ROW_CHUNKS;
    let row = (group / params.pieces) * rows + segment / ROW_CHUNKS;
    let chunk = segment % ROW_CHUNKS;
    //#if IS_RAGGED
    let number = find_row(min(row, params.rows - 1u));
    return Lane(index, chunk, number, row < params.rows, group % params.pieces, segment * LANES);
    //#else
    return Lane(index, chunk, min(row, params.rows - 1u), row < params.rows, group % params.pieces, segment * LANES);
    //#end
}

// Two halves, used in turn: one may be read while the next is being written, so one barrier a step is enough.
// The length has a name because naga 30 panics where an array's length is an unnamed override-expression.
override EXCHANGE_LENGTH: u32 = 2u * WORKGROUP_SIZE;
var<workgroup> exchange: array<vec2<u32>, EXCHANGE_LENGTH>;
var<private> exchange_half: u32 = 0u;

// Stores two words where the other lanes of the row see them, and returns the index of lane 0's.
fn exchange_store(words: vec2<u32>, lane: Lane) -> u32 {
    exchange_half = WORKGROUP_SIZE - exchange_half;
    let base = exchange_half + lane.first;
    exchange[base + lane.index] = words;
    workgroupBarrier();
    return base;
}

// The upper steps of the halving tree over lanes, for two sums: strides from LANES / 2 down to `stop`, up to three of
// them at a time. A lane ends with the values for its number modulo `stop`.
fn fold_sums(x: vec2<f32>, stop: u32, lane: Lane) -> vec2<f32> {
    var value = x;
    var width = LANES;
    while width > stop {
        let base = exchange_store(bitcast<vec2<u32>>(value), lane);
        let parts = min(width / stop, 8u);
        width /= parts;
        // With fewer than eight parts the rest are zeros, which change no bits (but those of a sum of -0 alone).
        var t: array<vec2<f32>, 8>;
        for (var i = 0u; i < 8u; i++) {
            let part = bitcast<vec2<f32>>(exchange[base + lane.index % width + min(i, parts - 1u) * width]);
            t[i] = select(vec2<f32>(0.0), part, i < parts);
        }
        let left = opaque2(opaque2(t[0] + t[4]) + opaque2(t[2] + t[6]));
        value = opaque2(left + opaque2(opaque2(t[1] + t[5]) + opaque2(t[3] + t[7])));
    }
    return value;
}

fn fold_max(x: i32, stop: u32, lane: Lane) -> i32 {
    var value = x;
    var width = LANES;
    while width > stop {
        let base = exchange_store(vec2<u32>(bitcast<u32>(value), 0u), lane);
        let parts = min(width / stop, 8u);
        width /= parts;
        for (var i = 0u; i < parts; i++) {
            value = max(value, bitcast<i32>(exchange[base + lane.index % width + i * width].x));
        }
    }
    return value;
}

//#if SUBGROUPS
// Lanes that exchange values by shuffles: a power of two, at most the adapter's smallest subgroup.
override SUBGROUP_LANES: u32 = 8u;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_size) size: u32,
    @builtin(subgroup_invocation_id) invocation: u32,
) {
    let local = subgroup * size + invocation;
    run(lane_of(workgroup, local / LANES, local % LANES));
}

fn lanes_max(x: i32, lane: Lane) -> i32 {
    var value = fold_max(x, SUBGROUP_LANES, lane);
    for (var stride = min(LANES, SUBGROUP_LANES) / 2u; stride > 0u; stride /= 2u) {
        value = max(value, subgroupShuffleXor(value, stride));
    }
    return value;
}

fn tree_over_lanes(x: vec2<f32>, lane: Lane) -> vec2<f32> {
    var value = fold_sums(x, SUBGROUP_LANES, lane);
    for (var stride = min(LANES, SUBGROUP_LANES) / 2u; stride > 0u; stride /= 2u) {
        value += vec2<f32>(subgroupShuffleXor(value.x, stride), subgroupShuffleXor(value.y, stride));
    }
    // The last sum may meet another.
    return opaque2(value);
}
//#else
// Neighbouring invocations take neighbouring rows rather than neighbouring vec4s, because rows lie side by side when
// the class axis is not the last.
override ROWS_ADJACENT: bool = false;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = WORKGROUP_SIZE / LANES;
    let segment = select(local / LANES, local % rows, ROWS_ADJACENT);
    let index = select(local % LANES, local / rows, ROWS_ADJACENT);
    run(lane_of(workgroup, segment, index));
}

fn lanes_max(x: i32, lane: Lane) -> i32 {
    return fold_max(x, 1u, lane);
}

fn tree_over_lanes(x: vec2<f32>, lane: Lane) -> vec2<f32> {
    return fold_sums(x, 1u, lane);
}
//#end

// Two sums over the lanes, by the halving tree. A sum that is zero is +0, whatever the signs of its terms.
fn lanes_sums(x: vec2<f32>, lane: Lane) -> vec2<f32> {
    return without_neg_zero(tree_over_lanes(x, lane));
}

fn without_neg_zero(sums: vec2<f32>) -> vec2<f32> {
    return select(sums, vec2<f32>(0.0), sums == vec2<f32>(0.0));
}

// The smallest of the lanes' numbers.
fn lanes_min(x: i32, lane: Lane) -> i32 {
    return -lanes_max(-x, lane);
}
