// Which classes of a row min_p, top_k and top_p leave: those up to an edge in the order of falling b and then of rising
// class. A work-group has a row to itself, and looks at what may be in question only (sample/scan.wgsl).
// min_p keeps b >= m + ln min_p; top_k the first k; top_p the shortest beginning of what these leave, the sum of whose
// exp(b - m) is at least top_p times that of all of them, or, with IS_JOINT or where the other two are off, of the row.
// Twin: `edge_of` in src/twin/sample.rs.

//#import "row/spans"
//#import "schedule/scratch"
//#import "sample/search"
//#if IS_ROUND
//#import "sample/rounds"
//#end
//#if IS_SPARSE
//#import "sample/sparse"
//#end

const EDGES: u32 = 30u;
@group(0) @binding(EDGES) var<storage, read_write> edges: array<u32>;

override IS_JOINT: bool = false;
// Whether the first `params.top_n` classes are looked for, instead of those that the filters leave.
override IS_TOP: bool = false;

// The k-th of the maxima is a bound for the k-th class; then that class; then the sum of what is kept, and where it reaches
// its share. Before the first stage that looks at classes, these are listed.
const STAGE_MAXIMA: u32 = 0u;
const STAGE_COUNT: u32 = 1u;
const STAGE_TOTAL: u32 = 2u;
const STAGE_MASS: u32 = 3u;
const STAGE_DONE: u32 = 4u;

const ALL_CLASSES: u32 = 0xffffffffu;

var<workgroup> search: Search;
var<private> asked: Search;
var<private> row: Stats;
var<private> row_params: SampleParams;

fn shift_of(s: Search) -> u32 {
    if s.low < s.high {
        return bucket_shift(bitcast<u32>(s.high) - bitcast<u32>(s.low));
    }
    return bucket_shift(s.last_class - s.first_class);
}

// m - b, or somewhat more than 32 where it is more, so that it never is infinite.
fn below_max(key: i32) -> f32 {
    let m = exp_base(row.max_key);
    return opaque(m - max(bitcast<f32>(bits_of_key(key)), m - 64.0));
}

// The bucket by b: no class has a smaller number than one before it.
fn bucket_of_key(s: Search, key: i32) -> u32 {
    return u32(min(mul(below_max(key), s.buckets_per_one), f32(BUCKETS - 1u)));
}

fn bucket_of(s: Search, key: i32, class_index: u32) -> u32 {
    let step = select(class_index - s.first_class, bitcast<u32>(s.high) - bitcast<u32>(key), s.low < s.high);
    return select(step >> shift_of(s), bucket_of_key(s, key), s.buckets_per_one > 0.0);
}

// The smallest key in question whose bucket is this one or one before it.
fn lowest_key_of(s: Search, bucket: u32) -> i32 {
    var below = 0u;
    var within = bitcast<u32>(s.high) - bitcast<u32>(s.low);
    for (var i = 0u; i < 32u && below < within; i++) {
        let middle = below + (within - below) / 2u;
        if bucket_of_key(s, bitcast<i32>(bitcast<u32>(s.low) + middle)) <= bucket {
            within = middle;
        } else {
            below = middle + 1u;
        }
    }
    return bitcast<i32>(bitcast<u32>(s.low) + within);
}

fn sums_masses(s: Search) -> bool {
    return s.stage == STAGE_TOTAL || s.stage == STAGE_MASS;
}

// Whether classes are counted: not where a sum goes through a row, in which few of many classes decide.
fn counts(s: Search) -> bool {
    return s.is_listed || !sums_masses(s);
}

fn add_to_bucket(bucket: u32, e: f32) {
    if counts(asked) {
        atomicAdd(&bucket_counts[bucket], 1u);
    }
    if sums_masses(asked) {
        let mass = fixed_point(e);
        let before = atomicAdd(&bucket_masses[bucket], mass.x);
        let upper = mass.y + select(0u, 1u, before + mass.x < before);
        if upper > 0u {
            atomicAdd(&bucket_masses[BUCKETS + bucket], upper);
        }
    }
}

fn visit_class(bits: u32, e: f32, class_index: u32) {
    let key = order_key(bits);
    let by_key = asked.low < asked.high;
    let is_asked = key >= asked.low && key <= asked.high
        && (by_key || (class_index >= asked.first_class && class_index <= asked.last_class));
    if is_asked && is_within(asked.edge, key, class_index) {
        add_to_bucket(bucket_of(asked, key, class_index), e);
    }
}

fn visit_vec4(bits: vec4<u32>, index: u32) {
    var e = vec4<f32>(0.0);
    if sums_masses(asked) {
        e = exp_vec4(bits, exp_base(row.max_key));
    }
    visit_class(bits.x, e.x, 4u * index);
    visit_class(bits.y, e.y, 4u * index + 1u);
    visit_class(bits.z, e.z, 4u * index + 2u);
    visit_class(bits.w, e.w, 4u * index + 3u);
}

// The same for what is in the list.
fn visit_list(local: u32) {
    let by_key = asked.low < asked.high;
    for (var i = local; i < atomicLoad(&list_count); i += WORKGROUP_SIZE) {
        let key = list_keys[i];
        let class_index = list_classes[i];
        let is_asked = key >= asked.low && key <= asked.high
            && (by_key || (class_index >= asked.first_class && class_index <= asked.last_class));
        if is_asked && is_within(asked.edge, key, class_index) {
            add_to_bucket(bucket_of(asked, key, class_index), exp_diff(key, row.max_key));
        }
    }
    workgroupBarrier();
}

fn count_maxima(lane: Lane) {
    let shift = shift_of(asked);
    for (var group = local_index(lane); group < group_count(); group += WORKGROUP_SIZE) {
        let key = maximum_at(lane.row, group);
        if key >= asked.low && key <= asked.high {
            atomicAdd(&bucket_counts[(bitcast<u32>(asked.high) - bitcast<u32>(key)) >> shift], 1u);
        }
    }
    workgroupBarrier();
}

fn sum_blocks(local: u32) {
    for (var block = local; block < BLOCKS; block += WORKGROUP_SIZE) {
        var count = 0u;
        var mass = vec2<u32>(0u);
        for (var bucket = BLOCKS * block; bucket < BLOCKS * (block + 1u); bucket++) {
            count += atomicLoad(&bucket_counts[bucket]);
            mass = add_wide(mass, mass_of(bucket));
        }
        block_counts[block] = count;
        block_masses[block] = mass;
    }
    workgroupBarrier();
}

fn mass_of(bucket: u32) -> vec2<u32> {
    return vec2<u32>(atomicLoad(&bucket_masses[bucket]), atomicLoad(&bucket_masses[BUCKETS + bucket]));
}

fn is_reached(s: Search, count: u32, mass: vec2<u32>) -> bool {
    if s.stage == STAGE_MASS {
        // Before all others comes a maximum, so that what is nothing is no class.
        return is_some_wide(mass) && !is_less_wide(mass, s.target_mass);
    }
    return count >= s.target_count;
}

// The share top_p of a sum.
fn share_of(total: f32) -> vec2<u32> {
    return fixed_point(mul(row_params.top_p, total));
}

// The smallest key whose b - m is at least ln min_p.
fn min_p_key() -> i32 {
    if bitcast<u32>(row_params.min_p) < 0x00800000u {
        return LOWEST_KEY;
    }
    let ln_min_p = ln_two_float(row_params.min_p);
    let m = vec4<f32>(exp_base(row.max_key));
    let bound = sub_rounded4(two_float4(m), splat_two_float4(-ln_min_p)).x;
    let is_below = sub_rounded4(two_diff4(vec4<f32>(bound), m), splat_two_float4(ln_min_p)).x < 0.0;
    return max(order_key(bitcast<u32>(bound)) + select(0, 1, is_below), LOWEST_KEY);
}

fn first_search() -> Search {
    var s: Search;
    s.edge = Edge(LOWEST_KEY, ALL_CLASSES);
    s.stage = STAGE_DONE;
    if has_nan_or_inf(row.max_key) || row.max_key == KEY_NEG_INF || !are_valid(row_params) {
        return s;
    }
    var k = top_k_of(row_params);
    if IS_TOP {
        k = params.top_n;
    } else if !is_greedy(row_params) {
        s.edge.key = min_p_key();
    }
    if k == 0u {
        return search_mass(s);
    }
    s.target_count = k;
    let has_maxima = IS_ROUND || k <= group_count();
    return all_in_question(s, select(STAGE_COUNT, STAGE_MAXIMA, has_maxima), s.edge.key);
}

fn all_in_question(before: Search, stage: u32, low: i32) -> Search {
    var s = before;
    s.stage = stage;
    s.low = low;
    s.high = order_key(bits_of_key(row.max_key));
    s.first_class = 0u;
    s.last_class = class_count() - 1u;
    s.count = 0u;
    s.mass = vec2<u32>(0u);
    s.is_listed = s.is_listed && s.is_whole_list;
    s.is_unlistable = false;
    s.buckets_per_one = 0.0;
    if stage == STAGE_TOTAL || stage == STAGE_MASS {
        // What is further below is but a small part of a sum.
        let range = min(below_max(low), 32.0);
        s.buckets_per_one = select(0.0, f32(BUCKETS) / range, range > 0.001);
    }
    return s;
}

fn search_mass(before: Search) -> Search {
    var s = before;
    s.stage = STAGE_DONE;
    if IS_TOP || is_greedy(row_params) || bitcast<u32>(row_params.top_p) >= ONE_BITS {
        return s;
    }
    let is_filtered = top_k_of(row_params) > 0u || bitcast<u32>(row_params.min_p) >= 0x00800000u;
    if is_filtered && !IS_JOINT {
        return all_in_question(s, STAGE_TOTAL, s.edge.key);
    }
    let d = row.max_count + row.sum;
    s.target_mass = share_of(d);
    // Classes so small that all of them together are less than half of what may be left out are not in question.
    let small = max((1.0 - row_params.top_p) * d / f32(2u * class_count()), 1e-30);
    let bound = exp_base(row.max_key) + ln_two_float(small).x;
    return all_unlisted(s, max(s.edge.key, order_key(bitcast<u32>(bound))));
}

// Where the sum is that of all classes, many may be in question, so that a list is not tried before the first round.
fn all_unlisted(before: Search, low: i32) -> Search {
    var s = all_in_question(before, STAGE_MASS, low);
    s.is_unlistable = !s.is_listed;
    return s;
}

// What follows when a stage has found its edge, or has not.
fn next_stage(before: Search, is_found: bool, edge: Edge) -> Search {
    var s = before;
    if s.stage == STAGE_MAXIMA {
        return all_in_question(s, STAGE_COUNT, select(s.edge.key, edge.key, is_found));
    }
    if !is_found && s.stage == STAGE_MASS && s.low > s.edge.key {
        s.is_listed = false;
        return all_unlisted(s, s.edge.key);
    }
    if is_found {
        // The bounds of a bucket may lie beyond the edge so far.
        let is_same_key = edge.key == s.edge.key;
        s.edge = Edge(edge.key, select(edge.class_index, min(edge.class_index, s.edge.class_index), is_same_key));
    }
    if s.stage == STAGE_COUNT {
        return search_mass(s);
    }
    s.stage = STAGE_DONE;
    return s;
}

// The search after the buckets of this one are counted.
fn narrowed(before: Search) -> Search {
    var s = before;
    if s.stage == STAGE_TOTAL {
        var total = vec2<u32>(0u);
        for (var block = 0u; block < BLOCKS; block++) {
            total = add_wide(total, block_masses[block]);
        }
        s.target_mass = share_of(from_fixed_point(total));
        s.stage = STAGE_MASS;
    }
    var block = 0u;
    while block < BLOCKS && !is_reached(s, s.count + block_counts[block], add_wide(s.mass, block_masses[block])) {
        s.count += block_counts[block];
        s.mass = add_wide(s.mass, block_masses[block]);
        block += 1u;
    }
    if block == BLOCKS {
        s.low = before.low;
        return next_stage(s, false, s.edge);
    }
    var bucket = BLOCKS * block;
    while bucket < BLOCKS * (block + 1u) - 1u
        && !is_reached(s, s.count + atomicLoad(&bucket_counts[bucket]), add_wide(s.mass, mass_of(bucket))) {
        s.count += atomicLoad(&bucket_counts[bucket]);
        s.mass = add_wide(s.mass, mass_of(bucket));
        bucket += 1u;
    }
    return within_bucket(s, bucket);
}

// As many classes as a bucket's sum takes at least, if each were as large as its largest may be.
fn least_count_of(s: Search, bucket: u32) -> u32 {
    let most = exp_diff(s.high, row.max_key);
    return u32(min(from_fixed_point(mass_of(bucket)) / max(most, 1e-30), 1e9));
}

fn within_bucket(before: Search, bucket: u32) -> Search {
    var s = before;
    let shift = shift_of(s);
    let width = (1u << shift) - 1u;
    var edge = Edge(s.low, ALL_CLASSES);
    if s.buckets_per_one > 0.0 {
        if bucket > 0u {
            s.high = lowest_key_of(s, bucket - 1u) - 1;
        }
        s.low = lowest_key_of(before, bucket);
        s.buckets_per_one = 0.0;
        edge.key = s.low;
    } else if s.low < s.high {
        s.high -= i32(bucket << shift);
        s.low = s.high - i32(min(width, bitcast<u32>(s.high) - bitcast<u32>(s.low)));
        edge.key = s.low;
    } else {
        s.first_class += bucket << shift;
        s.last_class = min(s.last_class, s.first_class + width);
        edge.class_index = s.last_class;
    }
    // All classes of the bucket are within the edge if there is but one, or if there are just as many as are asked for.
    let found = atomicLoad(&bucket_counts[bucket]);
    let is_last = s.low == s.high && (s.first_class == s.last_class || s.stage == STAGE_MAXIMA);
    if found == 1u || is_last || (s.stage == STAGE_COUNT && s.count + found == s.target_count) {
        return next_stage(s, true, edge);
    }
    s.is_unlistable = select(found, least_count_of(s, bucket), !counts(before)) > LIST_MAX;
    return s;
}

//#if !IS_ROUND
fn run(lane: Lane) {
    let start = row_start(lane.row);
    let local = local_index(lane);
    begin_row(lane.row);
    row = combine_spans(lane);
    row_params = sample_params_of(lane.row);
    if local == 0u {
        search = first_search();
    }
    // Each stage takes a round for every eight bits of a key and of a class at most; twice as many for STAGE_MASS.
    for (var round = 0u; round < 48u; round++) {
        let current = workgroupUniformLoad(&search);
        if current.stage == STAGE_DONE {
            break;
        }
        if current.stage != STAGE_MAXIMA && !current.is_listed && !current.is_unlistable {
            let until = Edge(current.low, ALL_CLASSES);
            list_row(Listed(until, current.high, current.first_class, current.last_class), start, lane);
            if local == 0u {
                search.is_listed = atomicLoad(&list_count) <= LIST_MAX;
                search.is_whole_list = current.count == 0u && !is_some_wide(current.mass);
                search.is_unlistable = !search.is_listed;
            }
            continue;
        }
        asked = current;
        clear_buckets(local);
        if current.stage == STAGE_MAXIMA {
            count_maxima(lane);
        } else if current.is_listed {
            visit_list(local);
        } else {
            scan_row(current.low, start, lane);
        }
        sum_blocks(local);
        if local == 0u {
            search = narrowed(current);
        }
    }
    //#if IS_SPARSE
    let last = workgroupUniformLoad(&search);
    if !last.is_listed || !last.is_whole_list {
        list_row(Listed(last.edge, KEY_POS_INF, 0u, ALL_CLASSES), start, lane);
    }
    store_kept_stats(last.edge, lane);
    //#end
    if local == 0u && lane.live {
        let at = 4u * lane.row + select(0u, 2u, IS_TOP);
        edges[at] = bitcast<u32>(search.edge.key);
        edges[at + 1u] = search.edge.class_index;
    }
}
//#end
