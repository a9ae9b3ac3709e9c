// Sum of the rows' losses, in the canonical order of chunk.wgsl: 1,024 of them to a partial sum, then 1,024 partial
// sums to one, until one is left, which FINAL marks. Each value is read once, by the lane that owns its quad.
// Twin: reference.rs `f32_twin::total`.

override FINAL: bool = false;
override MEAN: bool = false;

@group(0) @binding(3) var<storage, read_write> summary: array<u32>;

fn mean_bits(sum: f32) -> u32 {
    let count = summary[1];
    if count == 0u {
        return select(NAN, 0u, params.policy == 1u);
    }
    return bitcast<u32>(sum / f32(count));
}

fn value_slot(slot: u32) {
    if slot < HELD {
        // What is missing came as -inf, which no loss is.
        let missing = held[slot] == vec4<u32>(NEG_INF);
        sums[slot] = fold_quad(select(bitcast<vec4<f32>>(held[slot]), vec4<f32>(0.0), missing));
    }
}

fn run(lane: Lane) {
    let chunk = lane.row;
    hold(0u, chunk, lane);
    let key = held_max(lane);
    for (var slot = 0u; slot < HELD; slot++) {
        value_slot(slot);
    }
    let sum = tree_sum(lane);
    var bits = bitcast<u32>(sum);
    if is_odd(key) {
        bits = bits_of(key);
    }
    if lane.index == 0u && lane.live {
        if FINAL {
            if MEAN && !is_odd(key) {
                bits = mean_bits(sum);
            }
            summary[0] = bits;
        } else {
            write_result(params.result_offset + chunk, bits);
        }
    }
}
