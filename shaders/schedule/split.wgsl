// Few long rows: each is shared among `params.pieces` work-groups. One dispatch (kernels/split_stats.wgsl) leaves the
// statistics of the spans in `scratch`; in the next, every work-group combines those of the whole row, and writes its
// piece. Memory is read twice and written once.

//#import "row/spans"
//#import "schedule/pieces"
//#if !IS_FIRST_PASS
//#import "schedule/reload"
//#end

const SCRATCH: u32 = 3u;
@group(0) @binding(SCRATCH) var<storage, read_write> scratch: array<u32>;

fn store_span_word(i: u32, word: u32) {
    scratch[i] = word;
}

fn load_span_word(i: u32) -> u32 {
    return scratch[i];
}

fn span_index_of(span: u32, lane: Lane) -> u32 {
    return lane.row * params.spans + span;
}

fn row_stats(start: u32, lane: Lane) -> Stats {
    return combine_spans(lane);
}
