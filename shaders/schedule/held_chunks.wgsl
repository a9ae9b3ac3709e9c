// Middle rows: each chunk stays in the registers of lanes of its own, which meet in group memory once (spans.wgsl).
// Memory is read once and written once.

fn row_stats(start: u32, lane: Lane) -> Stats {
    hold(start, lane.chunk, lane);
    let stats = held_stats(start, lane.chunk, lane);
    if lane.index == 0u {
        put_span(lane.chunk, lane, stats);
    }
    workgroupBarrier();
    let row = combined(lane);
    term_scale = exp_fall(stats.key, row.key);
    return row;
}

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    return chunk == lane.chunk;
}

fn write_row(start: u32, lane: Lane, key: i32, row: Row) {
    write_chunk(start, lane.chunk, lane, row);
}

const IS_GIVEN: bool = false;
