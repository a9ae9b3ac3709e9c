// The first dispatch of the split schedule: the statistics of each span of a row, m, k and s, or the kernel's other sums. The
// lanes of a work-group go through the spans of its piece of a row, several at once. Memory is read once.

//#import "row/spans"
//#import "schedule/split"
//#if HAS_SHARD_TARGET
//#import "row/shard_target"
//#end

//#if HAS_MAXIMA
// The largest value of each lane's classes, for those who look for large ones (sample/scan.wgsl).
const MAXIMA: u32 = 29u;
@group(0) @binding(MAXIMA) var<storage, read_write> maxima: array<i32>;

fn store_maximum(chunk: u32, lane: Lane) {
    let here = chunk - first_chunk_here();
    if lane.live && here < chunks_here() {
        maxima[(lane.row * chunks_here() + here) * LANES + lane.index] = lane_max_key;
    }
}
//#end

fn run(lane: Lane) {
    let start = row_start(lane.row);
    //#if IS_SAMPLED
    begin_row(lane.row);
    //#end
    //#if IS_ONE_STEP
    // Each chunk is a span, and has lanes of its own: rasterisers run loops more slowly, with a mask for every store.
    let span = lane.piece * ROW_CHUNKS + lane.chunk;
    load_chunk(start, first_span() + span, lane);
    let stats = chunk_stats(start, first_span() + span, lane);
    //#if HAS_MAXIMA
    store_maximum(first_span() + span, lane);
    //#end
    if lane.index == 0u && lane.live && span < spans_here() {
        store_span(span, lane, stats);
    }
    //#else
    let end = min((lane.piece + 1u) * piece_spans(), spans_here());
    // Every lane takes the same number of steps, because there are barriers in them.
    for (var i = 0u; i < piece_spans(); i += ROW_CHUNKS) {
        let span = lane.piece * piece_spans() + i + lane.chunk;
        let stats = span_stats(start, first_span() + span, lane);
        if lane.index == 0u && lane.live && span < end {
            store_span(span, lane, stats);
            //#if HAS_SHARD_TARGET
            store_shard_target(span, lane, target_in_span(start, first_span() + span, lane));
            //#end
        }
    }
    //#end
}
