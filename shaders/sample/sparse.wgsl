// The statistics of spans of which few classes are kept, from the list of these: the sums are those of the canonical trees,
// in which the other terms are 0. Each lane takes whole spans. Twin: none, the statistics are those of the filtered row.

//#import "row/spans"
//#import "schedule/scratch"
//#import "sample/list"

// The places in the list, in the order of `tree_code`.
var<workgroup> sorted: array<u32, LIST_MAX>;
var<workgroup> sorted_count: atomic<u32>;

const KEPT_SCRATCH: u32 = 39u;
@group(0) @binding(KEPT_SCRATCH) var<storage, read_write> kept_scratch: array<u32>;

// Classes in the order of the leaves of their spans' trees. The first bit that differs between two of them is that of the
// node where their sums meet, counted from the leaves.
fn tree_code(class_index: u32) -> u32 {
    let leaf = (class_index / 4u) % CHUNK_VEC4S;
    let within = class_index % 4u;
    let code = (reverseBits(leaf) >> 22u) | ((within & 1u) << 1u) | (within >> 1u);
    return (class_index / CHUNK) * CHUNK + code;
}

fn sort_list(until: Edge, local: u32) {
    if local == 0u {
        atomicStore(&sorted_count, 0u);
    }
    workgroupBarrier();
    let count = min(atomicLoad(&list_count), LIST_MAX);
    for (var i = local; i < count; i += WORKGROUP_SIZE) {
        if is_within(until, list_keys[i], list_classes[i]) {
            let code = tree_code(list_classes[i]);
            var before = 0u;
            for (var j = 0u; j < count; j++) {
                let is_before = is_within(until, list_keys[j], list_classes[j]) && tree_code(list_classes[j]) < code;
                before += select(0u, 1u, is_before);
            }
            sorted[before] = i;
            atomicAdd(&sorted_count, 1u);
        }
    }
    workgroupBarrier();
}

// Up to 12 words, of which the last to come is `a.x`: in registers, which no variable may index.
struct Stack {
    a: vec4<u32>,
    b: vec4<u32>,
    c: vec4<u32>,
}

fn pushed(s: Stack, word: u32) -> Stack {
    return Stack(vec4<u32>(word, s.a.xyz), vec4<u32>(s.a.w, s.b.xyz), vec4<u32>(s.b.w, s.c.xyz));
}

fn popped(s: Stack) -> Stack {
    return Stack(vec4<u32>(s.a.yzw, s.b.x), vec4<u32>(s.b.yzw, s.c.x), vec4<u32>(s.c.yzw, 0u));
}

// Sums that are still to be added up, as bits, and for each the node where it meets the one before it.
var<private> open_sums: Stack;
var<private> open_nodes: Stack;
var<private> open_count: u32;

fn close_last() {
    let sum = opaque(bitcast<f32>(open_sums.a.y) + bitcast<f32>(open_sums.a.x));
    open_sums = pushed(popped(popped(open_sums)), bitcast<u32>(sum));
    open_nodes = popped(open_nodes);
    open_count -= 1u;
}

fn add_leaf(value: f32, node: u32) {
    while open_count > 1u && open_nodes.a.x < node {
        close_last();
    }
    open_sums = pushed(open_sums, bitcast<u32>(value));
    open_nodes = pushed(open_nodes, node);
    open_count += 1u;
}

fn store_kept_span(span: u32, lane: Lane) {
    var s = no_stats();
    let span_key = load_span(span, lane).max_key;
    open_count = 0u;
    var last_code = 0u;
    let count = atomicLoad(&sorted_count);
    for (var i = 0u; i < count; i++) {
        let at = sorted[i];
        let code = tree_code(list_classes[at]);
        if code / CHUNK == span {
            s.max_key = span_key;
            let e = exp_diff(list_keys[at], span_key);
            if e == 1.0 {
                s.max_count += 1.0;
            } else {
                add_leaf(e, firstLeadingBit(code ^ last_code));
                last_code = code;
            }
        }
    }
    if has_nan_or_inf(span_key) {
        // The row has no token, whatever is listed.
        s.max_key = span_key;
    }
    while open_count > 1u {
        close_last();
    }
    if open_count == 1u {
        s.sum = bitcast<f32>(open_sums.a.x);
    }
    let at = span_index_of(span, lane) * SPAN_WORDS;
    kept_scratch[at] = bitcast<u32>(s.max_key);
    kept_scratch[at + 1u] = bitcast<u32>(s.sum);
    kept_scratch[at + 2u] = bitcast<u32>(s.max_count);
}

fn store_kept_stats(until: Edge, lane: Lane) {
    sort_list(until, local_index(lane));
    if lane.live {
        for (var span = local_index(lane); span < params.spans; span += WORKGROUP_SIZE) {
            store_kept_span(span, lane);
        }
    }
}
