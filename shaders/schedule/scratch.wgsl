// The statistics of spans in a buffer, where the dispatch that found them has left them for those that follow.

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
