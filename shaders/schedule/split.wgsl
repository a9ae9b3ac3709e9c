// Few long rows: each is shared among `params.pieces` work-groups. One dispatch (split_stats.wgsl) leaves the spans in
// `scratch`, the next combines them, in every work-group alike, and writes. Memory is read twice and written once.

@group(0) @binding(3) var<storage, read_write> scratch: array<vec4<u32>>;

fn put_span(span: u32, lane: Lane, s: Stats) {
    scratch[lane.row * params.spans + span] = vec4<u32>(bitcast<u32>(s.key), bitcast<u32>(s.sum), u32(s.argmax), 0u);
}

fn span_at(span: u32, lane: Lane) -> Stats {
    let words = scratch[lane.row * params.spans + span];
    return Stats(bitcast<i32>(words.x), bitcast<f32>(words.y), i32(words.z));
}

fn row_stats(start: u32, lane: Lane) -> Stats {
    return combined(lane);
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
