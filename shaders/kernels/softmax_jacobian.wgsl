// J_ij = y_i ([i = j] - y_j) scale, from the probabilities y of each row: [rows, classes, classes].
// Each invocation takes every n-th element of its line, where n invocations share the line.
// Reference: reference::softmax_jacobian.

//#import "math"

const LOGITS: u32 = 1u;
const RESULT: u32 = 2u;
@group(0) @binding(LOGITS) var<storage, read> probs: array<f32>;
@group(0) @binding(RESULT) var<storage, read_write> jacobian: array<f32>;

const JACOBIAN_GROUP: u32 = 64u;

@compute @workgroup_size(JACOBIAN_GROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let count = params.classes;
    let group = workgroup.y * params.groups_x + workgroup.x;
    // A line is one i of one row; `pieces` work-groups share it.
    let line = group / params.pieces;
    if line >= params.rows * count {
        return;
    }
    let row = line / count;
    let i = line % count;
    let y_i = probs[offset_of(LOGITS) + row * count + i];
    for (var j = (group % params.pieces) * JACOBIAN_GROUP + local; j < count; j += params.pieces * JACOBIAN_GROUP) {
        let y_j = probs[offset_of(LOGITS) + row * count + j];
        let d = mul(y_i, select(0.0, 1.0, i == j) - y_j);
        jacobian[offset_of(RESULT) + line * count + j] = mul(d, params.scale);
    }
}
