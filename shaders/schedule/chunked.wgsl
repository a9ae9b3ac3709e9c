// Long rows: the lanes of a row go through it chunk by chunk and keep the statistics of its spans in work-group memory.
// Memory is read twice and written once.

//#import "schedule/reload"
//#import "schedule/group_spans"

fn row_stats(start: u32, lane: Lane) -> Stats {
    for (var span = 0u; span < params.spans; span++) {
        let stats = span_stats(start, span, lane);
        if lane.index == 0u {
            store_span(span, lane, stats);
        }
    }
    workgroupBarrier();
    return combine_spans(lane);
}
