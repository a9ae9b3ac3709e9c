// Writes a row whose chunks are loaded, or loaded again, for that. The lanes do so one chunk after the other, or, where
// every chunk has lanes of its own, with that chunk alone. The schedule defines how a chunk is loaded for its result:
// `reload_chunk`.

//#import "io/write"
//#if IN_PIECES
//#import "schedule/pieces"
//#end

//#if IN_PIECES
fn write_row(start: u32, lane: Lane, max_key: i32, row: Row) {
    let end = end_chunk(lane);
    for (var chunk = first_chunk(lane); chunk < end; chunk += ROW_CHUNKS) {
        reload_chunk(start, chunk, lane, max_key);
        write_chunk(start, chunk, lane, row);
    }
}
//#else
fn write_row(start: u32, lane: Lane, max_key: i32, row: Row) {
    reload_chunk(start, lane.chunk, lane, max_key);
    write_chunk(start, lane.chunk, lane, row);
}

fn owns_chunk(chunk: u32, lane: Lane) -> bool {
    return chunk == lane.chunk;
}
//#end
