// The statistics of spans in a buffer, where the dispatch that found them has left them for those that follow.

const SCRATCH: u32 = 3u;
@group(0) @binding(SCRATCH) var<storage, read_write> scratch: array<u32>;

//#if IS_SHARD
fn store_span_word(i: u32, word: u32) {
    scratch[offset_of(SCRATCH) + i] = word;
}

fn load_span_word(i: u32) -> u32 {
    return scratch[offset_of(SCRATCH) + i];
}

// Span by span, so that the statistics of one shard follow on those of the shard before it.
fn span_index_of(span: u32, lane: Lane) -> u32 {
    return span * params.batch_rows + params.first_row + lane.row;
}
//#else
fn store_span_word(i: u32, word: u32) {
    scratch[i] = word;
}

fn load_span_word(i: u32) -> u32 {
    return scratch[i];
}

fn span_index_of(span: u32, lane: Lane) -> u32 {
    //#if IS_RAGGED
    return row_place * params.spans + span;
    //#else
    return lane.row * params.spans + span;
    //#end
}
//#end
