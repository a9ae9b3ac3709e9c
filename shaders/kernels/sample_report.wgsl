// What is reported of each row's token, with the values and the statistics of the model or of what was drawn from: its
// log-probability (x - m) - ln d, its rank, how many classes were kept, and the classes with the largest log-probabilities,
// sorted; each in a dispatch of its own, since an adapter may bind no more than ten buffers. A work-group has a row to
// itself. Reference: reference::sample.

//#import "row/spans"
//#import "schedule/scratch"
//#import "sample/scan"

const TOKENS: u32 = 31u;
@group(0) @binding(TOKENS) var<storage, read> tokens: array<u32>;

//#if HAS_RANKS
const RANKS: u32 = 35u;
@group(0) @binding(RANKS) var<storage, read_write> ranks: array<u32>;
//#end

//#if HAS_KEPT
const KEPT: u32 = 36u;
@group(0) @binding(KEPT) var<storage, read_write> kept: array<u32>;
//#end

//#if HAS_TOP
const TOP_IDS: u32 = 37u;
@group(0) @binding(TOP_IDS) var<storage, read_write> top_ids: array<u32>;
const TOP_LOG_PROBS: u32 = 38u;
@group(0) @binding(TOP_LOG_PROBS) var<storage, read_write> top_log_probs: array<u32>;
//#if !HAS_EDGES
const EDGES: u32 = 30u;
@group(0) @binding(EDGES) var<storage, read> edges: array<u32>;
//#end
//#end

const TOP_N_MAX: u32 = 128u;
var<workgroup> top_keys: array<i32, TOP_N_MAX>;
var<workgroup> top_classes: array<u32, TOP_N_MAX>;
var<workgroup> top_count: atomic<u32>;
var<workgroup> rank_count: atomic<u32>;
var<workgroup> kept_count: atomic<u32>;

// What is looked for: classes before the token and classes that are kept, or those up to the edge.
var<private> gathers: bool;
var<private> until: Edge;

fn visit_vec4(bits: vec4<u32>, index: u32) {
    for (var i = 0u; i < 4u; i++) {
        let key = order_key(bits[i]);
        let class_index = 4u * index + i;
        let is_in = bits[i] != NEG_INF && is_within(until, key, class_index);
        if gathers {
            if is_in {
                let at = atomicAdd(&top_count, 1u);
                if at < TOP_N_MAX {
                    top_keys[at] = key;
                    top_classes[at] = class_index;
                }
            }
        } else {
            //#if HAS_RANKS
            if is_in {
                atomicAdd(&rank_count, 1u);
            }
            //#end
            //#if HAS_KEPT
            if bits[i] != NEG_INF {
                atomicAdd(&kept_count, 1u);
            }
            //#end
        }
    }
}

fn log_prob_bits(bits: u32, row: Stats) -> u32 {
    if bits == NEG_INF {
        return bits;
    }
    let shifted = two_diff4(vec4<f32>(bitcast<f32>(bits)), vec4<f32>(max_of(row)));
    return bitcast<u32>(sub_rounded4(shifted, splat_two_float4(ln_sum_of(row))).x);
}

//#if HAS_TOP
//#if IS_SHARD
// With the b, by which those of all shards are sorted.
fn put_top_log_prob(at: u32, log_prob: u32, value: u32) {
    top_log_probs[offset_of(TOP_LOG_PROBS) + 2u * at] = log_prob;
    top_log_probs[offset_of(TOP_LOG_PROBS) + 2u * at + 1u] = value;
}
//#else
fn put_top_log_prob(at: u32, log_prob: u32, value: u32) {
    top_log_probs[offset_of(TOP_LOG_PROBS) + at] = log_prob;
}
//#end

fn write_top(row: Stats, has_token: bool, lane: Lane) {
    let count = min(atomicLoad(&top_count), params.top_n);
    for (var i = local_index(lane); i < params.top_n; i += WORKGROUP_SIZE) {
        var place = i;
        var id = NO_TOKEN;
        var value = NEG_INF;
        var log_prob = NEG_INF;
        if i < count && has_token {
            place = 0u;
            for (var j = 0u; j < count; j++) {
                place += select(0u, 1u, i != j && is_within(Edge(top_keys[i], top_classes[i]), top_keys[j], top_classes[j]));
            }
            id = top_classes[i];
            value = bits_of_key(top_keys[i]);
            log_prob = log_prob_bits(value, row);
        }
        if lane.live {
            let at = lane.row * params.top_n + place;
            top_ids[offset_of(TOP_IDS) + at] = id;
            put_top_log_prob(at, select(NAN, log_prob, has_token), value);
        }
    }
}
//#end

fn run(lane: Lane) {
    let start = row_start(lane.row);
    begin_row(lane.row);
    let row = combine_spans(lane);
    //#if IS_SHARD
    let token = tokens[offset_of(TOKENS) + 2u * lane.row];
    //#else
    let token = tokens[offset_of(TOKENS) + lane.row];
    //#end
    let has_token = token < class_count() && !has_nan_or_inf(row.max_key) && row.max_key != KEY_NEG_INF;
    let safe_token = class_here(token);
    let bits = value_vec4(start, safe_token / 4u, lane)[safe_token % 4u];
    let is_first = local_index(lane) == 0u;
    if is_first {
        atomicStore(&top_count, 0u);
        atomicStore(&rank_count, 0u);
        atomicStore(&kept_count, 0u);
    }
    workgroupBarrier();
    //#if COUNTS_CLASSES
    gathers = false;
    //#if IS_SHARD
    until = Edge(order_key(tokens[offset_of(TOKENS) + 2u * lane.row + 1u]), token);
    //#else
    until = Edge(order_key(bits), safe_token);
    //#end
    var lowest = until.key;
    //#if HAS_KEPT
    lowest = LOWEST_KEY;
    //#if HAS_EDGES
    lowest = edge.key;
    //#end
    //#end
    scan_row(lowest, start, lane);
    //#end
    //#if HAS_TOP
    gathers = true;
    until = Edge(bitcast<i32>(edges[4u * lane.row + 2u]), edges[4u * lane.row + 3u]);
    scan_row(until.key, start, lane);
    write_top(row, has_token, lane);
    //#end
    if is_first && lane.live {
        put_log_prob(lane.row, select(NAN, log_prob_bits(bits, row), has_token));
        //#if HAS_RANKS
        // The token itself is counted too, where it is.
        let others = atomicLoad(&rank_count) - select(0u, 1u, safe_token == token);
        ranks[offset_of(RANKS) + lane.row] = select(NO_TOKEN, others, has_token);
        //#end
        //#if HAS_KEPT
        kept[offset_of(KEPT) + lane.row] = select(0u, atomicLoad(&kept_count), has_token);
        //#end
    }
}
