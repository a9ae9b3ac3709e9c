// From the saved result y (in the logits' place) and the upstream gradient g:
// softmax:      dx = y (g - sum of g y) da/dx
// log_softmax:  dx = (g - e^y sum of g) da/dx
// sink:         - e^(sink - lse) sum of g y, or of g: y has the sink in it already
// A class of probability 0 has gradient 0, whatever its g. A row belongs to the lanes that the schedule gives it.
// Reference: reference::softmax_grad.

//#import "row/stats"
//#import "schedule/$SCHEDULE"
//#if HAS_SINK_GRAD
//#import "row/sink"
//#end

struct Row {
    // sum of g y, or of g.
    total: f32,
    // Whether the result of the whole row is one word, and which.
    is_uniform: bool,
    word: u32,
}

fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let g = upstream_vec4(start, index);
    var dx: vec4<f32>;
    if IS_LOG {
        dx = g - mul4(exp4(two_float4(bitcast<vec4<f32>>(bits))), vec4<f32>(row.total));
    } else {
        dx = mul4(bitcast<vec4<f32>>(bits), g - vec4<f32>(row.total));
    }
    let words = bitcast<vec4<u32>>(adjust_grad(dx, start, index, lane));
    return select(words, vec4<u32>(0u), is_absent4(bits));
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    let is_nan = has_nan_or_inf(stats.max_key) || (bitcast<u32>(stats.sum) & 0x7fffffffu) > POS_INF;
    //#if HAS_SINK_GRAD
    if lane.live && lane.index == 0u && lane.chunk == 0u && lane.piece == 0u {
        put_sink_grad(lane.row, sink_grad_bits(lane, ordered_key(saved_lse_at(lane.row)), -stats.sum, is_nan));
    }
    //#end
    if lane.live {
        write_row(start, lane, stats.max_key, Row(stats.sum, is_nan, NAN));
    }
}
