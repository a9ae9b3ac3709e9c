// J_ij = y_i ([i = j] - y_j) scale, from the probabilities y of each row: [rows, classes, classes].
// An invocation goes through every so many-th element. Twin: reference::softmax_jacobian.

@group(0) @binding(1) var<storage, read> probs: array<f32>;
@group(0) @binding(2) var<storage, read_write> result: array<f32>;

const JACOBIAN_GROUP: u32 = 64u;

@compute @workgroup_size(JACOBIAN_GROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let count = params.classes;
    let group = workgroup.y * params.groups_x + workgroup.x;
    // Which row and i: `pieces` work-groups share them.
    let line = group / params.pieces;
    if line >= params.rows * count {
        return;
    }
    let row = line / count;
    let i = line % count;
    let y_i = probs[offset_of(1u) + row * count + i];
    for (var j = (group % params.pieces) * JACOBIAN_GROUP + local; j < count; j += params.pieces * JACOBIAN_GROUP) {
        let y_j = probs[offset_of(1u) + row * count + j];
        let d = mul(y_i, select(0.0, 1.0, i == j) - y_j);
        result[offset_of(2u) + line * count + j] = mul(d, params.scale);
    }
}
