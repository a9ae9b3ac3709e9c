// Rows whose first largest logit is their target's. A row whose target is ignored is none of them.
// An invocation goes through every so many-th row. Twin: reference::cross_entropy, `correct`.

@group(0) @binding(2) var<storage, read_write> summary: array<atomic<u32>>;
@group(0) @binding(3) var<storage, read> argmax: array<u32>;

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
        let goal = targets_at(row);
        if goal == argmax[offset_of(3u) + row] && goal != params.ignore_index {
            correct++;
        }
    }
    atomicAdd(&group_count, correct);
    workgroupBarrier();
    if local == 0u {
        atomicAdd(&summary[2], atomicLoad(&group_count));
    }
}
