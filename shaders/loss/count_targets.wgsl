// Counts the targets that are neither ignored nor bad, and the bad ones, and finds the first of those; with weights,
// leaves each row's weight in the slot of the losses, 0 where the row does not count.
// Each invocation takes every n-th target, where n is the number of all invocations. The counts are integer atomics, so
// the order does not matter.
// Reference: what reference::cross_entropy counts, and what it treats as out of range.

//#import "bindings"
//#import "summary"

const SCAN_GROUP: u32 = 64u;
var<workgroup> group_counts: array<atomic<u32>, 3>;

@compute @workgroup_size(SCAN_GROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    if local < 3u {
        atomicStore(&group_counts[local], 0u);
    }
    workgroupBarrier();
    var counted = 0u;
    var bad = 0u;
    // Rows are kept as complements, so that the first is found as a maximum, and 0 means none.
    var first_bad = 0u;
    for (var row = workgroup.x * SCAN_GROUP + local; row < params.rows; row += params.groups_x * SCAN_GROUP) {
        let target_class = targets_at(row);
        if target_class < params.classes && target_class != params.ignore_index {
            counted++;
            if HAS_WEIGHTS {
                put_loss(row, bitcast<u32>(weights_at(target_class)));
            }
        } else {
            put_loss(row, 0u);
            if target_class != params.ignore_index {
                bad++;
                first_bad = max(first_bad, ~(params.first_row + row));
            }
        }
    }
    atomicAdd(&group_counts[0], counted);
    atomicAdd(&group_counts[1], bad);
    atomicMax(&group_counts[2], first_bad);
    workgroupBarrier();
    if local == 0u {
        atomicAdd(&summary.counted, atomicLoad(&group_counts[0]));
        atomicAdd(&summary.bad_targets, atomicLoad(&group_counts[1]));
        atomicMax(&summary.first_bad_row, atomicLoad(&group_counts[2]));
    }
}
