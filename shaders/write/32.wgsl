// Up to 32 slots: see write.wgsl.

fn write_chunk(start: u32, chunk: u32, lane: Lane, row: Row) {
    write_8(0u, start, chunk, lane, row);
    write_8(8u, start, chunk, lane, row);
    write_8(16u, start, chunk, lane, row);
    write_8(24u, start, chunk, lane, row);
}
