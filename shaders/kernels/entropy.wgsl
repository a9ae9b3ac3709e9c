// entropy:   H = -sum of y ln y, of y = exp(a - m) / d
// gradient:  - g y (ln y + H) da/dx, with the upstream gradient g of each row
// A row belongs to the lanes that the schedule gives it. Reference: reference::entropy.

//#import "bindings"
//#import "row/entropy"
//#import "schedule/$SCHEDULE"

struct Row {
    max_value: f32,
    ln_sum: vec2<f32>,
    inv_sum: f32,
    entropy: f32,
    // The upstream gradient, less than nothing.
    scale: f32,
    // Whether the result of the whole row is one word, and which.
    is_uniform: bool,
    word: u32,
}

fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let shifted = two_diff4(bitcast<vec4<f32>>(bits), vec4<f32>(row.max_value));
    let ln_y = sub_rounded4(shifted, splat_two_float4(row.ln_sum));
    let y = mul4(exp_vec4(bits, row.max_value), vec4<f32>(row.inv_sum));
    let g = mul4(mul4(y, opaque4(ln_y + vec4<f32>(row.entropy))), vec4<f32>(row.scale));
    let words = flush4(bitcast<vec4<u32>>(adjust_grad(g, start, index, lane)));
    // Of a class without a share ln y may be infinite.
    return select(words, vec4<u32>(0u), bitcast<vec4<u32>>(y) == vec4<u32>(0u));
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    if is_first_of_row(lane) {
        put_entropy(lane.row, entropy_bits(stats));
    }
    if HAS_RESULT && lane.live {
        let is_masked = stats.max_key == KEY_NEG_INF;
        let is_nan = has_nan_or_inf(stats.max_key) || (is_masked && params.fully_masked == FULLY_MASKED_NAN);
        var row: Row;
        row.max_value = max_of(stats);
        row.ln_sum = ln_sum_of(stats);
        row.inv_sum = inv_sum_of(stats);
        row.entropy = bitcast<f32>(entropy_bits(stats));
        row.scale = -grad_scale_at(lane.row);
        // Of equal values the entropy is the largest there is, so that its gradient is 0.
        row.is_uniform = is_nan || is_masked;
        row.word = select(0u, NAN, is_nan);
        write_row(start, lane, stats.max_key, row);
    }
}
