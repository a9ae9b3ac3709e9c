// From the saved result y (in the logits' place) and the upstream gradient g:
// softmax:      dx = y (g - sum of g y) da/dx
// log_softmax:  dx = (g - e^y sum of g) da/dx
// A class of probability 0 has gradient 0, whatever its g. A row belongs to the lanes that the schedule gives it.
// Twin: reference::softmax_grad.

struct Row {
    total: f32,
    is_nan: bool,
}

fn result_quad(bits: vec4<u32>, start: u32, quad: u32, lane: Lane, row: Row) -> vec4<u32> {
    let g = other_quad(start, quad);
    var dx: vec4<f32>;
    if LOG {
        dx = g - mul4(exp4(exact4(bitcast<vec4<f32>>(bits))), vec4<f32>(row.total));
    } else {
        dx = mul4(bitcast<vec4<f32>>(bits), g - vec4<f32>(row.total));
    }
    let words = bitcast<vec4<u32>>(sloped(dx, start, quad, lane));
    return select(select(words, vec4<u32>(0u), is_absent4(bits)), vec4<u32>(NAN), row.is_nan);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    let is_nan = is_odd(stats.key) || (bitcast<u32>(stats.sum) & 0x7fffffffu) > POS_INF;
    if lane.live {
        write_row(start, lane, stats.key, Row(stats.sum, is_nan));
    }
}
