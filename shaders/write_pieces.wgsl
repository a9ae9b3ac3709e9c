// Every chunk that these lanes write of the row.
fn write_row(start: u32, lane: Lane, key: i32, row: Row) {
    let end = end_chunk(lane);
    for (var chunk = first_chunk(lane); chunk < end; chunk++) {
        hold_again(start, chunk, lane, key);
        write_chunk(start, chunk, lane, row);
    }
}
