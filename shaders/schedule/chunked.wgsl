// Middle rows: the lanes of a row go through it chunk by chunk and keep its spans in group memory.
// Memory is read twice and written once.

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
    return (lane.first / LANES) * params.spans + span;
}

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
