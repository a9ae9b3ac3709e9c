// Spans in group memory.

// At least the words of the spans of all rows of a work-group.
override GROUP_WORDS: u32 = 192u;
var<workgroup> span_words: array<u32, GROUP_WORDS>;

fn put_word(i: u32, word: u32) {
    span_words[i] = word;
}

fn get_word(i: u32) -> u32 {
    return span_words[i];
}

fn span_place(span: u32, lane: Lane) -> u32 {
    return (lane.first / LANES / ROW_CHUNKS) * params.spans + span;
}
