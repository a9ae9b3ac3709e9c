// Which lane of which row an invocation is, and the part of a reduction that goes through group memory.

// Invocations of a work-group, and those of them that share a row, or a chunk of it: a power of two.
override WORKGROUP_SIZE: u32 = 64u;
override LANES: u32 = 8u;
// Chunks of a row that have lanes of their own.
override ROW_CHUNKS: u32 = 1u;

struct Lane {
    // Number within the row or chunk, below LANES.
    index: u32,
    // Which chunk of the row, below ROW_CHUNKS.
    chunk: u32,
    // Row within the dispatch; a row past the last is the last once more, and `live` is false.
    row: u32,
    live: bool,
    // Which of `params.pieces` of the row, with the long-row schedules.
    piece: u32,
    // The first invocation of the row or chunk in group memory.
    first: u32,
}

fn lane_of(workgroup: vec3<u32>, slot: u32, index: u32) -> Lane {
    let group = workgroup.y * params.groups_x + workgroup.x;
    let rows = WORKGROUP_SIZE / LANES / ROW_CHUNKS;
    let row = (group / params.pieces) * rows + slot / ROW_CHUNKS;
    let chunk = slot % ROW_CHUNKS;
    return Lane(index, chunk, min(row, params.rows - 1u), row < params.rows, group % params.pieces, slot * LANES);
}

// Two halves, used in turn: a fold may be read while the next is being written, so one barrier a step is enough.
// The length has a name because naga 30 panics where an array's length is an unnamed override-expression.
override EXCHANGE_WORDS: u32 = 2u * WORKGROUP_SIZE;
var<workgroup> exchange: array<u32, EXCHANGE_WORDS>;
var<private> exchange_half: u32 = 0u;

// Puts `word` where the other lanes of the row see it; returns where lane 0's is.
fn share(word: u32, lane: Lane) -> u32 {
    exchange_half = WORKGROUP_SIZE - exchange_half;
    let base = exchange_half + lane.first;
    exchange[base + lane.index] = word;
    workgroupBarrier();
    return base;
}

// The upper steps of the halving tree over lanes: strides from LANES / 2 down to `stop`, eight-fold at a time. Every
// lane ends with the value of its class modulo `stop`.
fn fold_sum(x: f32, stop: u32, lane: Lane) -> f32 {
    var value = x;
    var width = LANES;
    while width > stop {
        let base = share(bitcast<u32>(value), lane);
        let parts = min(width / stop, 8u);
        width /= parts;
        // With fewer than eight the rest are zeros, which change no bits.
        var t: array<f32, 8>;
        for (var i = 0u; i < 8u; i++) {
            t[i] = select(0.0, bitcast<f32>(exchange[base + lane.index % width + min(i, parts - 1u) * width]), i < parts);
        }
        value = ((t[0] + t[4]) + (t[2] + t[6])) + ((t[1] + t[5]) + (t[3] + t[7]));
    }
    return value;
}

fn fold_max(x: i32, stop: u32, lane: Lane) -> i32 {
    var value = x;
    var width = LANES;
    while width > stop {
        let base = share(bitcast<u32>(value), lane);
        let parts = min(width / stop, 8u);
        width /= parts;
        for (var i = 0u; i < parts; i++) {
            value = max(value, bitcast<i32>(exchange[base + lane.index % width + i * width]));
        }
    }
    return value;
}
