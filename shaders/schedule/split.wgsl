// Few long rows: each is shared among `params.pieces` work-groups. One dispatch (split_stats.wgsl) leaves the spans in
// `scratch`, the next combines them, in every work-group alike, and writes. Memory is read twice and written once.

@group(0) @binding(3) var<storage, read_write> scratch: array<u32>;

fn put_word(i: u32, word: u32) {
    scratch[i] = word;
}

fn get_word(i: u32) -> u32 {
    return scratch[i];
}

fn span_place(span: u32, lane: Lane) -> u32 {
    return lane.row * params.spans + span;
}

fn row_stats(start: u32, lane: Lane) -> Stats {
    return combined(lane);
}

const IS_GIVEN: bool = false;
