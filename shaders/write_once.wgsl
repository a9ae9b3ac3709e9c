// A row whose statistics are given, and whose every chunk has lanes of its own: each is read and written once.

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    return chunk == lane.chunk;
}

fn write_row(start: u32, lane: Lane, key: i32, row: Row) {
    hold_again(start, lane.chunk, lane, key);
    write_chunk(start, lane.chunk, lane, row);
}
