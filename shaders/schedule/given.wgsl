// A backward pass from the lse that a forward pass left: nothing is reduced again, exp(x - lse) is y.

// As bits of f32.
@group(0) @binding(18) var<storage, read> saved_lse: array<u32>;

fn row_stats(start: u32, lane: Lane) -> Stats {
    var s = no_stats();
    let bits = saved_lse[offset_of(18u) + lane.row];
    let is_nan = (bits & 0x7fffffffu) > POS_INF;
    s.key = key_of(select(bits, NAN, is_nan));
    s.sum = 1.0;
    return s;
}

fn hold_again(start: u32, chunk: u32, lane: Lane, key: i32) {
    hold(start, chunk, lane);
    if KEEPS_TERMS {
        keep_terms(bitcast<f32>(bits_of(key)));
    }
}

const IS_GIVEN: bool = true;
