// Long rows: the lanes of a row go through it chunk by chunk and keep its spans in group memory.
// Memory is read twice and written once.

fn row_stats(start: u32, lane: Lane) -> Stats {
    for (var span = 0u; span < params.spans; span++) {
        let stats = span_stats(start, span, lane);
        if lane.index == 0u {
            put_span(span, lane, stats);
        }
    }
    workgroupBarrier();
    return combined(lane);
}

const IS_GIVEN: bool = false;
