// One more logit in the denominator of each row, which has no output of its own: an attention sink. Rust twin: `with_sink` in
// src/twin/rows.rs.

//#import "bindings"
//#import "row/stats"

// The same bits, but one NaN for all.
fn sink_bits(row: u32) -> u32 {
    let bits = sink_at(row);
    return select(bits, NAN, (bits & 0x7fffffffu) > POS_INF);
}

// e^(sink - base).
fn sink_exp(bits: u32, base: f32) -> f32 {
    return exp4(two_diff4(vec4<f32>(bitcast<f32>(bits)), vec4<f32>(base))).x;
}

// The statistics of a row and its sink. A row of -inf alone is then one whose probability the sink has.
fn with_sink(row: Stats, lane: Lane) -> Stats {
    let bits = sink_bits(lane.row);
    var all = row;
    all.max_key = max(row.max_key, ordered_key(bits));
    let base = exp_base(all.max_key);
    let e = exp_vec4(vec4<u32>(bits_of_key(row.max_key)), base).x;
    let of_sink = sink_exp(bits, base);
    let is_max = e == 1.0;
    let sink_is_max = of_sink == 1.0;
    let sum = select(mul(opaque(row.max_count + row.sum), e), row.sum, is_max);
    all.sum = opaque(sum + select(of_sink, 0.0, sink_is_max));
    all.max_count = select(0.0, row.max_count, is_max) + select(0.0, 1.0, sink_is_max);
    return all;
}

//#if HAS_SINK_GRAD
// The gradient of a row's sink: its probability times what the row's other gradients add up to, less themselves.
fn sink_grad_bits(lane: Lane, base_key: i32, factor: f32, is_nan: bool) -> u32 {
    let p = sink_exp(sink_bits(lane.row), exp_base(base_key));
    let words = flush4(vec4<u32>(bitcast<u32>(mul(p, factor))));
    return select(words.x, NAN, is_nan || has_nan_or_inf(ordered_key(sink_bits(lane.row))));
}
//#end
