// Few long rows: each is shared among `params.pieces` work-groups. One dispatch (kernels/split_stats.wgsl) leaves the
// statistics of the spans in `scratch`; in the next, every work-group combines those of the whole row, and writes its
// piece. Memory is read twice and written once.

//#import "row/spans"
//#import "schedule/scratch"
//#import "schedule/pieces"
//#if !IS_FIRST_PASS
//#import "schedule/reload"
//#end

fn row_stats(start: u32, lane: Lane) -> Stats {
    return combine_spans(lane);
}
