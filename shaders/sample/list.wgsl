// Classes of a row as a list in work-group memory, if they are not too many.

//#import "sample/scan"

const LIST_MAX: u32 = 512u;
var<workgroup> list_keys: array<i32, LIST_MAX>;
var<workgroup> list_classes: array<u32, LIST_MAX>;
// May be more than there is room for.
var<workgroup> list_count: atomic<u32>;

// Which classes are listed: those within an edge, whose keys and numbers are between these.
struct Listed {
    until: Edge,
    high: i32,
    first_class: u32,
    last_class: u32,
}

fn is_listed4(bits: vec4<u32>, index: u32, listed: Listed) -> vec4<bool> {
    let until = listed.until;
    let canonical = bitcast<vec4<i32>>(select(bits, vec4<u32>(0u), bits == vec4<u32>(0x80000000u)));
    let keys = canonical ^ ((canonical >> vec4<u32>(31u)) & vec4<i32>(0x7fffffff));
    let classes = vec4<u32>(4u * index) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_tie = (keys == vec4<i32>(until.key)) & (classes <= vec4<u32>(until.class_index));
    let is_before = (keys <= vec4<i32>(listed.high)) & (bits != vec4<u32>(NEG_INF));
    let is_between = (classes >= vec4<u32>(listed.first_class)) & (classes <= vec4<u32>(listed.last_class));
    return ((keys > vec4<i32>(until.key)) | is_tie) & is_before & is_between;
}

// Notes a vec4 that has some, in memory that belongs to the buckets otherwise.
fn note_vec4(index: u32) {
    let at = atomicAdd(&list_count, 1u);
    if at < LIST_MAX {
        atomicStore(&bucket_masses[at], index);
    }
}

fn list_class(is_in: bool, bits: u32, class_index: u32) {
    if is_in {
        let at = atomicAdd(&list_count, 1u);
        if at < LIST_MAX {
            list_keys[at] = order_key(bits);
            list_classes[at] = class_index;
        }
    }
}

// Lists classes of a row, if there is room: those vec4s first that have some, because every store takes a rasteriser
// longer than the rest of what is done to a vec4. The loops are its own, since lanes there take both sides of a branch.
fn list_row(listed: Listed, start: u32, lane: Lane) {
    let local = local_index(lane);
    if local == 0u {
        atomicStore(&list_count, 0u);
    }
    for (var first = 0u; first < group_count(); first += SCAN_BATCH) {
        let items = find_groups(first, listed.until.key, lane);
        for (var item = local; item < items; item += WORKGROUP_SIZE) {
            let index = vec4_of_item(item);
            if any(is_listed4(value_vec4(start, index, lane), index, listed)) {
                note_vec4(index);
            }
        }
    }
    workgroupBarrier();
    // More are as many as the list says.
    let count = atomicLoad(&list_count);
    let noted = select(count, 0u, count > LIST_MAX);
    workgroupBarrier();
    if local == 0u && noted > 0u {
        atomicStore(&list_count, 0u);
    }
    workgroupBarrier();
    for (var i = local; i < noted; i += WORKGROUP_SIZE) {
        let index = atomicLoad(&bucket_masses[i]);
        let bits = value_vec4(start, index, lane);
        let is_in = is_listed4(bits, index, listed);
        list_class(is_in.x, bits.x, 4u * index);
        list_class(is_in.y, bits.y, 4u * index + 1u);
        list_class(is_in.z, bits.z, 4u * index + 2u);
        list_class(is_in.w, bits.w, 4u * index + 3u);
    }
    workgroupBarrier();
}
