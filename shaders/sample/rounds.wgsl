// A search in rows of which this is a shard, a round to a dispatch: it takes what the shards have counted together, and counts
// what is in question then. Nothing is listed, and the first round takes nothing.

//#import "sample/search"

// For each row the counts and the sums of the buckets, which others add to, and then what is in question.
const SEARCHES: u32 = 44u;
@group(0) @binding(SEARCHES) var<storage, read_write> searches: array<u32>;

const COUNTED_WORDS: u32 = BUCKETS + BUCKET_MASSES;
// Twin: `SEARCH_WORDS` in src/ops/sample/shard.rs.
const SEARCH_WORDS: u32 = COUNTED_WORDS + 16u;

fn load_counted(row: u32, local: u32) {
    let first = row * SEARCH_WORDS;
    for (var i = local; i < BUCKETS; i += WORKGROUP_SIZE) {
        atomicStore(&bucket_counts[i], searches[first + i]);
        atomicStore(&bucket_masses[i], searches[first + BUCKETS + i]);
        atomicStore(&bucket_masses[BUCKETS + i], searches[first + 2u * BUCKETS + i]);
    }
    workgroupBarrier();
}

fn store_counted(row: u32, local: u32) {
    let first = row * SEARCH_WORDS;
    for (var i = local; i < BUCKETS; i += WORKGROUP_SIZE) {
        searches[first + i] = atomicLoad(&bucket_counts[i]);
        searches[first + BUCKETS + i] = atomicLoad(&bucket_masses[i]);
        searches[first + 2u * BUCKETS + i] = atomicLoad(&bucket_masses[BUCKETS + i]);
    }
}

// The first word is 0 before the first round.
fn load_search(row: u32) -> Search {
    let at = row * SEARCH_WORDS + COUNTED_WORDS;
    if searches[at] == 0u {
        return first_search();
    }
    var s: Search;
    s.stage = searches[at] - 1u;
    s.low = bitcast<i32>(searches[at + 1u]);
    s.high = bitcast<i32>(searches[at + 2u]);
    s.first_class = searches[at + 3u];
    s.last_class = searches[at + 4u];
    s.buckets_per_one = bitcast<f32>(searches[at + 5u]);
    s.count = searches[at + 6u];
    s.mass = vec2<u32>(searches[at + 7u], searches[at + 8u]);
    s.target_count = searches[at + 9u];
    s.target_mass = vec2<u32>(searches[at + 10u], searches[at + 11u]);
    s.edge = Edge(bitcast<i32>(searches[at + 12u]), searches[at + 13u]);
    if s.stage == STAGE_DONE {
        return s;
    }
    return narrowed(s);
}

fn store_search(row: u32, s: Search) {
    let at = row * SEARCH_WORDS + COUNTED_WORDS;
    searches[at] = s.stage + 1u;
    searches[at + 1u] = bitcast<u32>(s.low);
    searches[at + 2u] = bitcast<u32>(s.high);
    searches[at + 3u] = s.first_class;
    searches[at + 4u] = s.last_class;
    searches[at + 5u] = bitcast<u32>(s.buckets_per_one);
    searches[at + 6u] = s.count;
    searches[at + 7u] = s.mass.x;
    searches[at + 8u] = s.mass.y;
    searches[at + 9u] = s.target_count;
    searches[at + 10u] = s.target_mass.x;
    searches[at + 11u] = s.target_mass.y;
    searches[at + 12u] = bitcast<u32>(s.edge.key);
    searches[at + 13u] = s.edge.class_index;
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let local = local_index(lane);
    begin_row(lane.row);
    row = combine_spans(lane);
    row_params = sample_params_of(lane.row);
    load_counted(lane.row, local);
    sum_blocks(local);
    if local == 0u {
        search = load_search(lane.row);
    }
    let current = workgroupUniformLoad(&search);
    asked = current;
    clear_buckets(local);
    if current.stage == STAGE_MAXIMA {
        count_maxima(lane);
    } else if current.stage != STAGE_DONE {
        scan_row(current.low, start, lane);
    }
    if lane.live {
        store_counted(lane.row, local);
    }
    if lane.live && local == 0u {
        store_search(lane.row, current);
        edges[4u * lane.row] = bitcast<u32>(current.edge.key);
        edges[4u * lane.row + 1u] = current.edge.class_index;
    }
}
