// Finds a class in the order of falling b and then of rising class: the k-th, or the first with which a sum of
// exponentials is reached. The classes in question, at first all, are counted in 256 buckets of equal width: a sum's at first
// by b, so that the next question is about few classes; then by key and, where all keys are equal, by class. Those of one
// bucket are the next in question. Counts are integers, and so are the
// sums (`fixed_point`), so that neither depends on an order.

//#import "row/spans"
//#import "sample/list"

// What is in question.
struct Search {
    // One of the STAGE constants of the kernel; the last is STAGE_DONE.
    stage: u32,
    low: i32,
    high: i32,
    first_class: u32,
    last_class: u32,
    // How many buckets m - b = 1 is, or 0 where they are not those of b.
    buckets_per_one: f32,
    // Classes before those in question, and the sum of their exponentials.
    count: u32,
    mass: vec2<u32>,
    // What is to be reached.
    target_count: u32,
    target_mass: vec2<u32>,
    // The classes that are kept so far.
    edge: Edge,
    // Whether a list has the classes in question, and those before them too, or there are too many for one.
    is_listed: bool,
    is_whole_list: bool,
    is_unlistable: bool,
}

var<workgroup> search: Search;
// What is being counted, and the row's statistics and parameters.
var<private> asked: Search;
var<private> row: Stats;
var<private> row_params: SampleParams;

fn begin_search(lane: Lane) {
    begin_row(lane.row);
    row = combine_spans(lane);
    row_params = sample_params_of(lane.row);
}

const BUCKETS: u32 = 256u;
var<workgroup> bucket_counts: array<atomic<u32>, BUCKETS>;
// The lower words of the sums, then the upper ones.
const BUCKET_MASSES: u32 = 512u;
var<workgroup> bucket_masses: array<atomic<u32>, BUCKET_MASSES>;
// For each 16 buckets.
const BLOCKS: u32 = 16u;
var<workgroup> block_counts: array<u32, BLOCKS>;
var<workgroup> block_masses: array<vec2<u32>, BLOCKS>;

// A sum of 64 bits, of which x are the lower 32.
fn add_wide(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
    let low = a.x + b.x;
    return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < a.x));
}

fn is_less_wide(a: vec2<u32>, b: vec2<u32>) -> bool {
    return a.y < b.y || (a.y == b.y && a.x < b.x);
}

fn is_some_wide(a: vec2<u32>) -> bool {
    return (a.x | a.y) != 0u;
}

// A sum of 64 bits has units of 2^-44, so that 4096 of its upper word are 1; but of more than 2^20 classes, whose exponentials may be
// 1 each, of 2^-37.
fn has_large_units() -> bool {
    return class_count() > 0x100000u;
}

// x in units of a sum, rounded down; each step is exact.
fn fixed_point(x: f32) -> vec2<u32> {
    let scaled = x * select(4096.0, 32.0, has_large_units());
    let high = u32(scaled);
    return vec2<u32>(u32((scaled - f32(high)) * 4294967296.0), high);
}

// The number, in 16 bits at a time, so that each conversion is exact.
fn from_fixed_point(x: vec2<u32>) -> f32 {
    let upper = opaque(f32(x.y >> 16u) * 65536.0 + f32(x.y & 0xffffu));
    let lower = f32(x.x >> 16u) * 1.52587890625e-5 + f32(x.x & 0xffffu) * 2.3283064365386962890625e-10;
    return opaque(upper + opaque(lower)) * select(0.000244140625, 0.03125, has_large_units());
}

// How far a range of this many steps has to be shifted to fit the buckets.
fn bucket_shift(range: u32) -> u32 {
    return max(32u - countLeadingZeros(range), 8u) - 8u;
}

fn clear_buckets(local: u32) {
    for (var i = local; i < BUCKETS; i += WORKGROUP_SIZE) {
        atomicStore(&bucket_counts[i], 0u);
        atomicStore(&bucket_masses[i], 0u);
        atomicStore(&bucket_masses[BUCKETS + i], 0u);
    }
    workgroupBarrier();
}
