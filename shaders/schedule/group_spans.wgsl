// The statistics of spans kept in work-group memory.

//#import "row/spans"

// At least as many words as the spans of all rows of a work-group take.
override GROUP_WORDS: u32 = 192u;
var<workgroup> span_words: array<u32, GROUP_WORDS>;

fn store_span_word(i: u32, word: u32) {
    span_words[i] = word;
}

fn load_span_word(i: u32) -> u32 {
    return span_words[i];
}

fn span_index_of(span: u32, lane: Lane) -> u32 {
    return (lane.first / LANES / ROW_CHUNKS) * params.spans + span;
}
