// From a logit as it is adjusted to b, which a row is sampled by: penalties and biases (`edits`), classes that are not
// allowed, temperature, and the classes that the filters leave (`edges`). Missing options are left out. Rust twin:
// `values` in src/twin/sample.rs.

//#import "bindings"
//#import "sample/params"

// The token of a row that has none, and the key of the smallest number that is more than -inf.
const NO_TOKEN: u32 = 0xffffffffu;
// Words of a token, and of the log-probability of each of the largest: a shard's have the b. Twin: `token_words` in
// src/ops/sample/exchange.rs.
const TOKEN_WORDS: u32 = select(1u, 2u, IS_SHARD);
const LOWEST_KEY: i32 = KEY_NEG_INF + 1;

var<private> inv_temperature: f32 = 1.0;
var<private> edge: Edge;

// The last class that is kept, in the order of falling b and then of rising class.
struct Edge {
    key: i32,
    class_index: u32,
}

// The key of a b, by which classes are ordered: -0 counts as 0.
fn order_key(bits: u32) -> i32 {
    return ordered_key(select(bits, 0u, bits == 0x80000000u));
}

fn is_within(edge: Edge, key: i32, class_index: u32) -> bool {
    return key > edge.key || (key == edge.key && class_index <= edge.class_index);
}

fn edited_vec4s() -> u32 {
    return (class_count() + 3u) / 4u;
}

// Reads what belongs to the row: once, before its values.
fn begin_row(row: u32) {
    //#if HAS_TEMPERATURE
    inv_temperature = inv_temperature_of(sample_params_of(row));
    //#end
    //#if HAS_EDGES
    edge = Edge(bitcast<i32>(edges[4u * row]), edges[4u * row + 1u]);
    //#end
}

//#if HAS_EDGES
// Four words a row: the last class that the filters leave, and the last of the first `params.top_n` classes.
const EDGES: u32 = 30u;
@group(0) @binding(EDGES) var<storage, read> edges: array<u32>;
//#end

//#if HAS_EDITS
// For each class of each row the bits that penalties and biases change, most of them 0; then four that are 0, and one that
// is 1 if history or biases are none. Made by kernels/sample_edits.wgsl.
const EDITS: u32 = 28u;
@group(0) @binding(EDITS) var<storage, read> edits: array<vec4<u32>>;

fn edited4(bits: vec4<u32>, index: u32, row: u32) -> vec4<u32> {
    let at = select(min(index, edited_vec4s()), index, IS_FULL);
    return bits ^ edits[row * (params.edits_stride / 4u) + at];
}

fn has_edits_error(row: u32) -> bool {
    return edits[row * (params.edits_stride / 4u) + edited_vec4s() + 1u].x != 0u;
}
//#end

//#if HAS_ALLOWED
const ALLOWED: u32 = 27u;
@group(0) @binding(ALLOWED) var<storage, read> allowed: array<u32>;

// A NaN or +inf shows even where it is not allowed.
fn allowed4(bits: vec4<u32>, index: u32, row: u32) -> vec4<u32> {
    let last = (class_count() + 31u) / 32u - 1u;
    let word = allowed[offset_of(ALLOWED) + row * params.allowed_stride + min(index / 8u, last)] >> (4u * (index % 8u));
    let is_hidden = (vec4<u32>(word) & vec4<u32>(1u, 2u, 4u, 8u)) == vec4<u32>(0u);
    let is_finite = (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(POS_INF);
    return select(bits, vec4<u32>(NEG_INF), is_hidden & is_finite);
}
//#end

//#if HAS_TEMPERATURE
// a / T: finite numbers stay finite, and those below 2^-126 are 0 on every adapter.
fn tempered4(bits: vec4<u32>) -> vec4<u32> {
    if inv_temperature == 1.0 {
        return bits;
    }
    let product = bitcast<vec4<u32>>(mul4(bitcast<vec4<f32>>(bits), vec4<f32>(inv_temperature)));
    let magnitude = product & vec4<u32>(0x7fffffffu);
    let stored = bits & vec4<u32>(0x7fffffffu);
    let finite = (product ^ magnitude) | min(magnitude, vec4<u32>(POS_INF - 1u));
    let flushed = select(finite, vec4<u32>(0u), min(magnitude, stored) < vec4<u32>(0x00800000u));
    return select(flushed, bits, stored >= vec4<u32>(POS_INF));
}
//#end

//#if HAS_EDGES
fn kept4(bits: vec4<u32>, index: u32) -> vec4<u32> {
    let canonical = bitcast<vec4<i32>>(select(bits, vec4<u32>(0u), bits == vec4<u32>(0x80000000u)));
    let keys = canonical ^ ((canonical >> vec4<u32>(31u)) & vec4<i32>(0x7fffffff));
    let classes = vec4<u32>(index * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let is_tie = (keys == vec4<i32>(edge.key)) & (classes <= vec4<u32>(edge.class_index));
    return select(vec4<u32>(NEG_INF), bits, (keys > vec4<i32>(edge.key)) | is_tie);
}
//#end

// b of four classes, from their logits as they are adjusted.
fn values_of(adjusted: vec4<u32>, index: u32, lane: Lane) -> vec4<u32> {
    var bits = adjusted;
    //#if HAS_EDITS
    bits = edited4(bits, index, lane.row);
    //#end
    //#if HAS_ALLOWED
    bits = allowed4(bits, index, lane.row);
    //#end
    //#if HAS_TEMPERATURE
    bits = tempered4(bits);
    //#end
    //#if HAS_EDGES
    bits = kept4(bits, index);
    //#end
    return bits;
}
