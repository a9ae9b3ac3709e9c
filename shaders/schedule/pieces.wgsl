// Which chunks of a row the lanes of a work-group go through: they take turns with all of the row, or, if
// `params.pieces` work-groups share it, with a piece of it, which consists of whole spans.

//#import "row/registers"

//#if IS_SHARD
fn spans_here() -> u32 {
    return params.shard_spans;
}

fn first_span() -> u32 {
    return params.first_span;
}
//#else
fn spans_here() -> u32 {
    return params.spans;
}

fn first_span() -> u32 {
    return 0u;
}
//#end

fn piece_spans() -> u32 {
    return (spans_here() + params.pieces - 1u) / params.pieces;
}

// The first chunk of the piece that these lanes take; every ROW_CHUNKS-th after it is theirs too.
fn first_chunk(lane: Lane) -> u32 {
    return (first_span() + lane.piece * piece_spans()) * span_chunks() + lane.chunk;
}

fn end_chunk(lane: Lane) -> u32 {
    let end = first_span() + min((lane.piece + 1u) * piece_spans(), spans_here());
    return min(end * span_chunks(), row_chunks());
}

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    let first = first_chunk(lane);
    return chunk >= first && chunk < end_chunk(lane) && (chunk - first) % ROW_CHUNKS == 0u;
}
