// Writes the result for what is held: a kernel says what `Row` is, and `result_quad`.

fn write_slot(slot: u32, start: u32, chunk: u32, lane: Lane, row: Row) {
    if slot < USED {
        let quad = quad_of(slot, chunk, lane);
        store_quad(start, quad, result_quad(held[slot], start, quad, lane, row));
    }
}

fn write_8(base: u32, start: u32, chunk: u32, lane: Lane, row: Row) {
    write_slot(base, start, chunk, lane, row);
    write_slot(base + 1u, start, chunk, lane, row);
    write_slot(base + 2u, start, chunk, lane, row);
    write_slot(base + 3u, start, chunk, lane, row);
    write_slot(base + 4u, start, chunk, lane, row);
    write_slot(base + 5u, start, chunk, lane, row);
    write_slot(base + 6u, start, chunk, lane, row);
    write_slot(base + 7u, start, chunk, lane, row);
}
