// Visits the classes of a row whose b is not below a bound. The statistics pass has left the largest b of each of its lanes'
// classes (`maxima`), and only the groups of classes that these name are loaded: after a bound from 50 classes of a hundred
// thousand, some percent of the row. A file that imports this one defines `visit_vec4`, which is called in any order.

//#import "row/registers"

const MAXIMA: u32 = 29u;
@group(0) @binding(MAXIMA) var<storage, read> maxima: array<i32>;

// Maxima that are looked at in one step, and the groups among them that are visited.
const SCAN_BATCH: u32 = 1024u;
var<workgroup> scan_groups: array<u32, SCAN_BATCH>;
var<workgroup> scan_count: atomic<u32>;

fn group_count() -> u32 {
    return chunks_here() * LANES;
}

fn maximum_at(row: u32, group: u32) -> i32 {
    return maxima[row * group_count() + group];
}

// Finds which of the groups from `first` on are visited, and returns how many vec4s they have.
fn find_groups(first: u32, lowest_key: i32, lane: Lane) -> u32 {
    let local = local_index(lane);
    workgroupBarrier();
    if local == 0u {
        atomicStore(&scan_count, 0u);
    }
    workgroupBarrier();
    let end = min(first + SCAN_BATCH, group_count());
    for (var group = first + local; group < end; group += WORKGROUP_SIZE) {
        if maximum_at(lane.row, group) >= lowest_key {
            scan_groups[atomicAdd(&scan_count, 1u)] = group;
        }
    }
    workgroupBarrier();
    return atomicLoad(&scan_count) * USED_REGS;
}

// The vec4 of the row that is the item-th of these.
fn vec4_of_item(item: u32) -> u32 {
    let group = scan_groups[item / USED_REGS];
    let chunk = first_chunk_here() + group / LANES;
    return chunk * CHUNK_VEC4S + (item % USED_REGS) * LANES + group % LANES;
}

fn scan_row(lowest_key: i32, start: u32, lane: Lane) {
    for (var first = 0u; first < group_count(); first += SCAN_BATCH) {
        let items = find_groups(first, lowest_key, lane);
        for (var item = local_index(lane); item < items; item += WORKGROUP_SIZE) {
            let index = vec4_of_item(item);
            visit_vec4(value_vec4(start, index, lane), index);
        }
    }
    workgroupBarrier();
}
