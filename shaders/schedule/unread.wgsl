// For kernels that need neither a row's maximum nor its sum: every class by itself.

fn row_stats(start: u32, lane: Lane) -> Stats {
    var s = no_stats();
    s.key = 0;
    return s;
}

fn hold_again(start: u32, chunk: u32, lane: Lane, key: i32) {
    hold(start, chunk, lane);
}

const IS_GIVEN: bool = false;
