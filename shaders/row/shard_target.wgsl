// The target's value, which one shard of the row has and all need: the last word of the statistics of its span.

//#import "bindings"
//#import "row/spans"

fn store_shard_target(span: u32, lane: Lane, bits: u32) {
    store_span_word((span_index_of(span, lane) + 1u) * SPAN_WORDS - 1u, bits);
}

fn load_shard_target(class_index: u32, lane: Lane) -> u32 {
    let span = class_index / (span_chunks() * CHUNK);
    return load_span_word((span_index_of(span, lane) + 1u) * SPAN_WORDS - 1u);
}

// The value, or 0 where the span does not have it.
fn target_in_span(start: u32, span: u32, lane: Lane) -> u32 {
    let class_index = targets_at(lane.row);
    if class_index >= class_count() || class_index / (span_chunks() * CHUNK) != span {
        return 0u;
    }
    return adjust_logits(load_around(start, class_index), start, class_index / 4u, lane)[class_index % 4u];
}
