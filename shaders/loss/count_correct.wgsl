// Counts the rows whose first largest logit is their target's. A row whose target is ignored is not counted.
// Each invocation takes every n-th row, where n is the number of all invocations.
// Reference: `correct` of reference::cross_entropy.

//#import "bindings"
//#import "summary"

@group(0) @binding(ARGMAX) var<storage, read> argmax: array<u32>;

const COUNT_GROUP: u32 = 64u;
var<workgroup> group_count: atomic<u32>;

@compute @workgroup_size(COUNT_GROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if local == 0u {
        atomicStore(&group_count, 0u);
    }
    workgroupBarrier();
    var correct = 0u;
    for (var row = workgroup.x * COUNT_GROUP + local; row < params.rows; row += params.groups_x * COUNT_GROUP) {
        let target_class = targets_at(row);
        if target_class == argmax[offset_of(ARGMAX) + row] && target_class != params.ignore_index {
            correct++;
        }
    }
    atomicAdd(&group_count, correct);
    workgroupBarrier();
    if local == 0u {
        atomicAdd(&summary.correct, atomicLoad(&group_count));
    }
}
