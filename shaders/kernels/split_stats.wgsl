// The first dispatch of the split schedule: the statistics of each span of a row, m, k and s, or the kernel's other sums. The
// lanes of a work-group go through the spans of its piece of a row, several at once. Memory is read once.

//#import "row/spans"
//#import "schedule/split"

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let end = min((lane.piece + 1u) * piece_spans(), params.spans);
    // Every lane takes the same number of steps, because there are barriers in them.
    for (var i = 0u; i < piece_spans(); i += ROW_CHUNKS) {
        let span = lane.piece * piece_spans() + i + lane.chunk;
        let stats = span_stats(start, span, lane);
        if lane.index == 0u && lane.live && span < end {
            store_span(span, lane, stats);
        }
    }
}
