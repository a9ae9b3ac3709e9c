// The first dispatch of the split schedule: the statistics of each span of a row, d = sum of exp(x - m) and m, or the
// kernel's other sums. A work-group goes through the spans of its piece of a row. Memory is read once.

//#import "row/spans"
//#import "schedule/split"

fn run(lane: Lane) {
    let start = row_start(lane.row);
    for (var i = 0u; i < piece_spans(); i++) {
        let span = lane.piece * piece_spans() + i;
        let stats = span_stats(start, span, lane);
        if lane.index == 0u && lane.live && span < params.spans {
            store_span(span, lane, stats);
        }
    }
}
