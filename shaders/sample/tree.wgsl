// A random walk down the tree over 1,024 terms, or their sums: the halving tree of row/registers.wgsl, in work-group memory,
// at each sum l + r to the left with the probability l / (l + r). A walk from a sum that is more than 0 ends at a term that
// is. Twin: `descend` in src/twin/sample.rs.

//#import "sample/philox"

// Rows of more classes are errors.
const SPAN_CHUNKS_MAX: u32 = 64u;

// Whether a token can be drawn of a row with these statistics.
fn has_candidates(row: Stats, row_params: SampleParams, lane: Lane) -> bool {
    var is_valid = are_valid(row_params);
    //#if HAS_EDITS
    is_valid = is_valid && !has_edits_error(lane.row);
    //#end
    return is_valid && !has_nan_or_inf(row.max_key) && row.max_key != KEY_NEG_INF;
}

// The tree of 256 sums: those of n nodes, 1, 2, 4, ... 256, begin at n, and node i of n has nodes i and i + n of 2 n below it.
const TREE_WORDS: u32 = 512u;
var<workgroup> tree: array<f32, TREE_WORDS>;

fn build_tree(lane: Lane) {
    for (var nodes = 128u; nodes > 0u; nodes /= 2u) {
        workgroupBarrier();
        for (var i = local_index(lane); i < nodes; i += WORKGROUP_SIZE) {
            tree[nodes + i] = opaque(tree[2u * nodes + i] + tree[3u * nodes + i]);
        }
    }
    workgroupBarrier();
}

fn goes_left(left: f32, right: f32) -> bool {
    return mul(next_uniform(), opaque(left + right)) < left;
}

fn descend_tree() -> u32 {
    var node = 0u;
    for (var nodes = 1u; nodes < 256u; nodes *= 2u) {
        node += select(nodes, 0u, goes_left(tree[2u * nodes + node], tree[3u * nodes + node]));
    }
    return node;
}

// One of four terms, which are added as fold_vec4 does.
fn descend_vec4(terms: vec4<f32>) -> u32 {
    if goes_left(opaque(terms.x + terms.z), opaque(terms.y + terms.w)) {
        return select(2u, 0u, goes_left(terms.x, terms.z));
    }
    return select(3u, 1u, goes_left(terms.y, terms.w));
}
