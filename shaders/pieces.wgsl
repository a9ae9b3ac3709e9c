// Which chunks of a row a work-group takes: all of them, or with `params.pieces` its share of whole spans.

fn piece_spans() -> u32 {
    return (params.spans + params.pieces - 1u) / params.pieces;
}

fn first_chunk(lane: Lane) -> u32 {
    return min(lane.piece * piece_spans() * span_chunks(), row_chunks());
}

fn end_chunk(lane: Lane) -> u32 {
    return min((lane.piece + 1u) * piece_spans() * span_chunks(), row_chunks());
}

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    return chunk >= first_chunk(lane) && chunk < end_chunk(lane);
}
