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

// Adds those of four classes.
fn list_vec4(bits: vec4<u32>, index: u32, listed: Listed) {
    let until = listed.until;
    let canonical = bitcast<vec4<i32>>(select(bits, vec4<u32>(0u), bits == vec4<u32>(0x80000000u)));
    let keys = canonical ^ ((canonical >> vec4<u32>(31u)) & vec4<i32>(0x7fffffff));
    let classes = vec4<u32>(4u * index) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_tie = (keys == vec4<i32>(until.key)) & (classes <= vec4<u32>(until.class_index));
    let is_before = (keys <= vec4<i32>(listed.high)) & (bits != vec4<u32>(NEG_INF));
    let is_between = (classes >= vec4<u32>(listed.first_class)) & (classes <= vec4<u32>(listed.last_class));
    let is_in = ((keys > vec4<i32>(until.key)) | is_tie) & is_before & is_between;
    let ones = select(vec4<u32>(0u), vec4<u32>(1u), is_in);
    let count = ones.x + ones.y + ones.z + ones.w;
    if count == 0u {
        return;
    }
    var at = atomicAdd(&list_count, count);
    for (var i = 0u; i < 4u; i++) {
        if is_in[i] {
            if at < LIST_MAX {
                list_keys[at] = keys[i];
                list_classes[at] = classes[i];
            }
            at += 1u;
        }
    }
}
