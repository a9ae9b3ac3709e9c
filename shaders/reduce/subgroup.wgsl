// Lanes of a row meet by shuffles, which, unlike subgroup adds, leave the order of a sum to us.

// Lanes that shuffle: a power of two, at most the adapter's smallest subgroup.
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

fn lanes_sum(x: f32, lane: Lane) -> f32 {
    var value = fold_sum(x, SUBGROUP_LANES, lane);
    for (var stride = min(LANES, SUBGROUP_LANES) / 2u; stride > 0u; stride /= 2u) {
        value += subgroupShuffleXor(value, stride);
    }
    return value;
}
