// softmax:            y = exp(a - m) / d,     m = max a, d = k + s = sum of exp(a - m), of which k are maxima
// log_softmax:        y = (a - m) - ln d
// logsumexp:          lse = m + ln d, and its gradient g y da/dx, with the upstream gradient as each row's grad scale
// With a sink (row/sink.wgsl), d has one term more.
// A row belongs to the lanes that the schedule gives it; the schedule also decides how often memory is read.
// References: reference::softmax, reference::logsumexp.

//#import "bindings"
//#import "row/stats"
//#import "schedule/$SCHEDULE"
//#if HAS_SINK_GRAD
//#import "row/sink"
//#end

struct Row {
    max_value: f32,
    ln_sum: vec2<f32>,
    // What exponentials are multiplied by: 1 / d, in a gradient times g.
    factor: f32,
    // Whether the row is -inf alone, and treated as if all its values were equal.
    is_equal: bool,
    // Whether the result of the whole row is one word, and which.
    is_uniform: bool,
    word: u32,
}

//#if IS_LOG
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let shifted = two_diff4(bitcast<vec4<f32>>(bits), vec4<f32>(row.max_value));
    let y = bitcast<vec4<u32>>(sub_rounded4(shifted, splat_two_float4(row.ln_sum)));
    return select(y, bits, bits == vec4<u32>(NEG_INF));
}
//#else
// The bits are those of cached exponentials.
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let y = bitcast<vec4<f32>>(bits) * vec4<f32>(mul(exp_rescale, row.factor));
    if IS_LSE_GRAD {
        // A masked class takes no part, whatever the grad scale.
        return absent_or_flushed4(bits, adjust_grad(y, start, index, lane));
    }
    return flush_positive4(bitcast<vec4<u32>>(y));
}
//#end

fn row_of(lane: Lane, stats: Stats) -> Row {
    let is_masked = stats.max_key == KEY_NEG_INF;
    var row: Row;
    row.max_value = max_of(stats);
    row.ln_sum = ln_sum_of(stats);
    row.factor = inv_sum_of(stats);
    row.is_equal = false;
    row.is_uniform = has_nan_or_inf(stats.max_key) || is_masked;
    row.word = NAN;
    let count = f32(class_count());
    if is_masked && IS_LOG {
        row.word = fully_masked_bits(NEG_INF, -ln_class_count());
    } else if is_masked {
        row.word = fully_masked_bits(0u, reciprocal(count));
    }
    if IS_LSE_GRAD {
        row.is_equal = is_masked && params.fully_masked == FULLY_MASKED_UNIFORM;
        row.is_uniform = row.is_uniform && !row.is_equal;
        let scale = grad_scale_at(lane.row * params.grad_scale_stride);
        row.factor = mul(select(row.factor, reciprocal(count), row.is_equal), scale);
    }
    return row;
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    //#if IS_SAMPLED
    begin_row(lane.row);
    //#end
    let stats = row_stats(start, lane);
    if HAS_LSE && is_first_of_row(lane) {
        put_lse(lane.row, lse_bits(stats));
    }
    //#if HAS_SINK_GRAD
    if is_first_of_row(lane) {
        let factor = mul(inv_sum_of(stats), grad_scale_at(lane.row * params.grad_scale_stride));
        put_sink_grad(lane.row, sink_grad_bits(lane, stats.max_key, factor, has_nan_or_inf(stats.max_key)));
    }
    //#end
    if HAS_RESULT && lane.live {
        write_row(start, lane, stats.max_key, row_of(lane, stats));
    }
}
