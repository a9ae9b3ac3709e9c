// Lanes of a row meet in group memory: for adapters without subgroups, and for a class axis that is not the last.

// Neighbouring invocations take neighbouring rows rather than neighbouring quads: what lies together when the class
// axis is not the last.
override ROWS_ADJACENT: bool = false;

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let rows = WORKGROUP_SIZE / LANES;
    let slot = select(local / LANES, local % rows, ROWS_ADJACENT);
    let index = select(local % LANES, local / rows, ROWS_ADJACENT);
    run(lane_of(workgroup, slot, index));
}

fn lanes_max(x: i32, lane: Lane) -> i32 {
    return fold_max(x, 1u, lane);
}

fn lanes_sum(x: f32, lane: Lane) -> f32 {
    return fold_sum(x, 1u, lane);
}
