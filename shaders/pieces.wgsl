// Which chunks of a row a work-group takes: all of them, or with `params.pieces` its share of whole spans. Chunks are
// gathered into at most 1,024 spans, as even as can be from the left.

fn span_chunks() -> u32 {
    return (row_chunks() + CHUNK - 1u) / CHUNK;
}

fn piece_spans() -> u32 {
    return (params.spans + params.pieces - 1u) / params.pieces;
}

fn first_chunk(lane: Lane) -> u32 {
    return min(lane.piece * piece_spans() * span_chunks(), row_chunks());
}

fn end_chunk(lane: Lane) -> u32 {
    return min((lane.piece + 1u) * piece_spans() * span_chunks(), row_chunks());
}

fn hold_again(start: u32, chunk: u32, lane: Lane) {
    hold(start, chunk, lane);
}
