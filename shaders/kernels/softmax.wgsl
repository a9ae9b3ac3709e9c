// softmax:            y = exp(a - m) / d,     m = max a, d = sum of exp(a - m)
// log_softmax:        y = (a - m) - ln d
// logsumexp:          lse = m + ln d, and its gradient g y da/dx, with the upstream gradient as each row's grad scale
// A row belongs to the lanes that the schedule gives it; the schedule also decides how often memory is read.
// References: reference::softmax, reference::logsumexp.

//#import "bindings"
//#import "row/stats"
//#import "schedule/$SCHEDULE"

struct Row {
    max_value: f32,
    ln_sum: vec2<f32>,
    inv_sum: f32,
    // In a gradient: whether the row is -inf alone, and is treated as if all its values were equal.
    is_masked: bool,
    // Whether the result of the whole row is one word, and which.
    is_uniform: bool,
    word: u32,
}

fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    var y: vec4<u32>;
    //#if IS_LOG
    let shifted = two_diff4(bitcast<vec4<f32>>(bits), vec4<f32>(row.max_value));
    y = bitcast<vec4<u32>>(sub_rounded4(shifted, splat_two_float4(row.ln_sum)));
    y = select(y, bits, bits == vec4<u32>(NEG_INF));
    //#else
    // The bits are those of cached exponentials.
    y = probs_of_cached(bits, row.inv_sum);
    //#end
    if IS_LSE_GRAD {
        let p = select(bitcast<vec4<f32>>(y), vec4<f32>(row.inv_sum), row.is_masked);
        let scaled = mul4(p, vec4<f32>(grad_scale_at(lane.row * params.grad_scale_stride)));
        let g = adjust_grad(scaled, start, index, lane);
        let is_absent = (bits == vec4<u32>(0u)) & vec4<bool>(!row.is_masked);
        y = select(flush4(bitcast<vec4<u32>>(g)), vec4<u32>(0u), is_absent);
    }
    return select(y, vec4<u32>(row.word), row.is_uniform);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    if HAS_LSE && lane.live && lane.index == 0u && lane.piece == 0u {
        put_lse(lane.row, lse_bits(stats));
    }
    if HAS_RESULT && lane.live {
        let count = f32(class_count());
        let is_masked = stats.max_key == KEY_NEG_INF;
        var word = NAN;
        if is_masked {
            word = select(fully_masked_bits(0u, reciprocal(count)), fully_masked_bits(NEG_INF, -ln(count)), IS_LOG);
        }
        let as_equal = IS_LSE_GRAD && is_masked && params.fully_masked == FULLY_MASKED_UNIFORM;
        let is_uniform = has_nan_or_inf(stats.max_key) || (is_masked && !as_equal);
        let inv_sum = reciprocal(select(stats.sum, count, as_equal));
        let row = Row(max_of(stats), ln_two_float(stats.sum), inv_sum, as_equal, is_uniform, word);
        write_row(start, lane, stats.max_key, row);
    }
}
