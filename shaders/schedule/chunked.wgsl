// Long rows: the lanes of a row go through it, each 1,024 classes with lanes of their own and as many at once as there are
// lanes, and keep the statistics of its spans in work-group memory. Memory is read twice and written once.

//#import "schedule/reload"
//#import "schedule/group_spans"

fn row_stats(start: u32, lane: Lane) -> Stats {
    // Every lane takes the same number of steps, because there are barriers in them.
    for (var first = 0u; first < params.spans; first += ROW_CHUNKS) {
        let span = first + lane.chunk;
        let stats = span_stats(start, span, lane);
        if lane.index == 0u && span < params.spans {
            store_span(span, lane, stats);
        }
    }
    workgroupBarrier();
    return combine_spans(lane);
}
