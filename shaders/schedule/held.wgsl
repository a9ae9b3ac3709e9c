// The row stays in registers: memory is read once and written once. Short rows, of one chunk or less, are held by the
// lanes of one row. Each chunk of a longer one is held by lanes of its own, which exchange their statistics in
// work-group memory once.

//#import "row/stats"
//#import "io/write"
//#if ADDS_SINK
//#import "row/sink"
//#end
//#if HAS_SPANS
//#import "schedule/group_spans"
//#end

//#if HAS_SPANS
fn row_stats(start: u32, lane: Lane) -> Stats {
    load_chunk(start, lane.chunk, lane);
    let stats = chunk_stats(start, lane.chunk, lane);
    if lane.index == 0u {
        store_span(lane.chunk, lane, stats);
    }
    workgroupBarrier();
    let row = combine_spans(lane);
    exp_rescale = exp_diff(stats.max_key, row.max_key);
    //#if HAS_TEACHER
    teacher_rescale = exp_diff(stats.teacher_max_key, row.teacher_max_key);
    //#end
    return row;
}

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    return chunk == lane.chunk;
}

fn write_row(start: u32, lane: Lane, max_key: i32, row: Row) {
    write_chunk(start, lane.chunk, lane, row);
}
//#else
fn row_stats(start: u32, lane: Lane) -> Stats {
    load_chunk(start, 0u, lane);
    let stats = chunk_stats(start, 0u, lane);
    //#if ADDS_SINK
    let row = with_sink(stats, lane);
    exp_rescale = exp_vec4(vec4<u32>(bits_of_key(stats.max_key)), exp_base(row.max_key)).x;
    return row;
    //#else
    return stats;
    //#end
}

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    return true;
}

fn write_row(start: u32, lane: Lane, max_key: i32, row: Row) {
    write_chunk(start, 0u, lane, row);
}
//#end
