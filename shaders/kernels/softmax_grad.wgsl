// From the saved result y (in the logits' place) and the upstream gradient g:
// softmax:      dx = y (g - sum of g y) da/dx
// log_softmax:  dx = (g - e^y sum of g) da/dx
// With a direction v, the product of a Hessian and v: that of sum of g y, or of g log y, with a constant g:
// softmax:      dx = y ((v - sum of y v)(g - sum of y g) - (sum of y v g - sum of y v sum of y g)), times da/dx twice
// log_softmax:  dx = - y (v - sum of y v) sum of g
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
    //#if HAS_DIRECTION
    // sum of y v, and of y v g less its product with the total.
    mean: f32,
    covariance: f32,
    //#end
    // Whether the result of the whole row is one word, and which.
    is_uniform: bool,
    word: u32,
}

fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let g = upstream_vec4(start, index);
    //#if HAS_DIRECTION
    let v = direction_vec4(start, index) - vec4<f32>(row.mean);
    var product: vec4<f32>;
    if IS_LOG {
        product = mul4(mul4(exp4(two_float4(bitcast<vec4<f32>>(bits))), v), vec4<f32>(-row.total));
    } else {
        product = mul4(bitcast<vec4<f32>>(bits), mul4(v, g - vec4<f32>(row.total)) - vec4<f32>(row.covariance));
    }
    let adjusted = adjust_grad(adjust_grad(product, start, index, lane), start, index, lane);
    return select(bitcast<vec4<u32>>(adjusted), vec4<u32>(0u), is_absent4(bits));
    //#else
    var dx: vec4<f32>;
    if IS_LOG {
        dx = g - mul4(exp4(two_float4(bitcast<vec4<f32>>(bits))), vec4<f32>(row.total));
    } else {
        dx = mul4(bitcast<vec4<f32>>(bits), g - vec4<f32>(row.total));
    }
    let words = bitcast<vec4<u32>>(adjust_grad(dx, start, index, lane));
    return select(words, vec4<u32>(0u), is_absent4(bits));
    //#end
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    let is_nan = has_nan_or_inf(stats.max_key) || (bitcast<u32>(stats.sum) & 0x7fffffffu) > POS_INF;
    //#if HAS_SINK_GRAD
    if is_first_of_row(lane) {
        put_sink_grad(lane.row, sink_grad_bits(lane, ordered_key(saved_lse_at(lane.row)), -stats.sum, is_nan));
    }
    //#end
    if lane.live {
        //#if HAS_DIRECTION
        let covariance = mul_add(-stats.direction_sum, stats.sum, stats.direction_dot);
        write_row(start, lane, stats.max_key, Row(stats.sum, stats.direction_sum, covariance, is_nan, NAN));
        //#else
        write_row(start, lane, stats.max_key, Row(stats.sum, is_nan, NAN));
        //#end
    }
}
