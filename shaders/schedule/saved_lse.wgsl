// A backward pass from the lse that a forward pass left: nothing is reduced again, because y is exp(x - lse). Memory is
// read once and written once.

//#import "bindings"
//#import "row/stats"
//#import "schedule/reload"

fn row_stats(start: u32, lane: Lane) -> Stats {
    var s = no_stats();
    let bits = saved_lse_at(lane.row);
    let is_nan = (bits & 0x7fffffffu) > POS_INF;
    s.max_key = ordered_key(select(bits, NAN, is_nan));
    s.max_count = 1.0;
    return s;
}

fn reload_chunk(start: u32, chunk: u32, lane: Lane, max_key: i32) {
    load_chunk(start, chunk, lane);
    //#if CACHES_EXP
    cache_exp(exp_base(max_key));
    //#end
}
