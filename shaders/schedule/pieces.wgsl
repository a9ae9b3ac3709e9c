// Which chunks of a row a work-group goes through one after the other: all of them, or, if `params.pieces` work-groups
// share the row, its piece, which consists of whole spans.

//#import "row/registers"

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
