// With the weight k = (1 - e) w_t of the target, and a target s_c of every class (row/target_terms.wgsl) whose sum is P:
// loss     = k (ln d - (a_t - m)) + sum of s_c (ln d - (a_c - m)) + z_loss lse^2
// gradient = (k (y_c - [c = t]) + P y_c - s_c) grad_scale + 2 z_loss lse y_c z_grad_scale, times da/dx
// The loss is never (m + ln d) - a_t, which a large common offset would swallow; and where c is the maximum, y_c - 1 is
// -s / d, s being the sum of all other exponentials, so that nothing cancels. A row belongs to the lanes
// that the schedule gives it; the lane that owns the target's vec4 writes what belongs to the row. Reference:
// reference::cross_entropy. With a weight for each row, loss and gradient are multiplied by it.

//#import "bindings"
//#import "row/stats"
//#if HAS_ENTROPY
//#import "row/entropy"
//#end
//#import "schedule/$SCHEDULE"
//#if HAS_SHARD_TARGET
//#import "row/shard_target"
//#end

struct Row {
    // y = 1 / d of a maximum, and 1 - y.
    inv_sum: f32,
    rest: f32,
    // The target and its weight, the sum of the targets of all classes, and the sum of both.
    target_class: u32,
    target_weight: f32,
    target_sum: f32,
    weight_sum: f32,
    // What the gradient is multiplied by, and what y is multiplied by for the z-loss.
    grad_scale: f32,
    z_scale: f32,
    // Without targets of all classes, the gradient is exponentials times `factor`, but for the target's; `share` is what
    // the gradient without the z-loss is multiplied by.
    factor: f32,
    share: f32,
    //#if HAS_DIRECTION
    // The sum of y v, what y (v - that) is multiplied by, and y besides.
    mean: f32,
    curvature: f32,
    z_mean: f32,
    //#end
    //#if HAS_TEACHER
    // 1 / d of the teacher, and 1 less that.
    teacher_inv_sum: f32,
    teacher_rest: f32,
    //#end
    // Whether the row is -inf alone, and treated as if all its values were equal.
    is_equal: bool,
    // Whether the result of the whole row is one word, and which.
    is_uniform: bool,
    word: u32,
}

//#if IS_NLL
// The input holds log-probabilities: loss = -k x_t, gradient = -k [c = t].
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let is_target = classes_of(index) == vec4<u32>(row.target_class);
    let one_hot = select(vec4<f32>(0.0), vec4<f32>(1.0), is_target);
    let g = mul4(mul4(-one_hot, vec4<f32>(row.target_weight)), vec4<f32>(row.grad_scale));
    return select(vec4<u32>(0u), bitcast<vec4<u32>>(g), is_target);
}
//#else
// Whether the classes of these exponentials, which are relative to a part's maximum, are maxima of the row.
fn are_maxima(e: vec4<f32>) -> vec4<bool> {
    return (e == vec4<f32>(1.0)) & vec4<bool>(exp_rescale == 1.0);
}

//#if HAS_DIRECTION
// The product of the loss's Hessian and a direction v: W y (v - t) with the weight W of all targets and t = sum of y v, and of the
// z-loss 2 z_loss y (lse (v - t) + t); times da/dx twice.
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let e = bitcast<vec4<f32>>(bits);
    let y = mul4(e, vec4<f32>(mul(exp_rescale, row.inv_sum)));
    let v = direction_vec4(start, index) - vec4<f32>(row.mean);
    let product = mul4(y, mul_add4(v, vec4<f32>(row.curvature), vec4<f32>(row.z_mean)));
    let adjusted = adjust_grad(adjust_grad(product, start, index, lane), start, index, lane);
    return select(flush4(bitcast<vec4<u32>>(adjusted)), vec4<u32>(0u), e == vec4<f32>(0.0));
}
//#else
//#if HAS_TEACHER
// y - q of a teacher's q, which of classes that both are all but certain of is that of what they leave to the others.
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let e = bitcast<vec4<f32>>(bits);
    let y = mul4(e, vec4<f32>(mul(exp_rescale, row.inv_sum)));
    let q = mul4(teacher_exp, vec4<f32>(mul(teacher_rescale, row.teacher_inv_sum)));
    let is_certain = (y > vec4<f32>(0.5)) & (q > vec4<f32>(0.5));
    let difference = select(opaque4(y - q), vec4<f32>(row.teacher_rest - row.rest), is_certain);
    var g = mul4(difference, vec4<f32>(row.share));
    if HAS_Z_LOSS {
        g = mul_add4(y, vec4<f32>(row.z_scale), g);
    }
    let words = flush4(bitcast<vec4<u32>>(adjust_grad(g, start, index, lane)));
    let is_absent = (e == vec4<f32>(0.0)) & (teacher_exp == vec4<f32>(0.0));
    return select(words, vec4<u32>(0u), is_absent);
}
//#else
//#if HAS_TARGET_SUMS
// The bits are those of cached exponentials.
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let e = bitcast<vec4<f32>>(bits);
    let factor = mul(exp_rescale, row.inv_sum);
    let y = bitcast<vec4<f32>>(flush_positive4(bitcast<vec4<u32>>(mul4(e, vec4<f32>(factor)))));
    let is_target = classes_of(index) == vec4<u32>(row.target_class);
    let s = soft_target_vec4(start, index);
    let none = vec4<f32>(0.0);
    let weights = add4(select(none, vec4<f32>(row.target_weight), is_target), s);
    // The weights of the other classes, without subtracting the target's.
    let others = add4(select(vec4<f32>(row.target_weight), none, is_target), add4(-s, vec4<f32>(row.target_sum)));
    // Where y is 1/2 or less, nothing cancels, and y itself is more accurate.
    let is_max = are_maxima(e) & vec4<bool>(row.inv_sum > 0.5);
    let v = select(y, vec4<f32>(-row.rest), is_max);
    let w = select(-weights, others, is_max);
    var g = mul4(mul_add4(v, vec4<f32>(row.weight_sum), w), vec4<f32>(row.grad_scale));
    if HAS_Z_LOSS {
        g = mul_add4(y, vec4<f32>(row.z_scale), g);
    }
    let words = flush4(bitcast<vec4<u32>>(adjust_grad(g, start, index, lane)));
    // A masked class takes no part, whatever the grad scale.
    let is_absent = (bits == vec4<u32>(0u)) & (s == vec4<f32>(0.0)) & !is_target;
    return select(words, vec4<u32>(0u), is_absent);
}
//#else
// The bits are those of cached exponentials. The target's gradient is written afterwards.
fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let g = bitcast<vec4<f32>>(bits) * vec4<f32>(mul(exp_rescale, row.factor));
    return absent_or_flushed4(bits, adjust_grad(g, start, index, lane));
}

//#if HAS_TARGET_STORE
// The gradient at the target, converted to the result's type. `value` is the target's.
fn target_result(value: u32, start: u32, lane: Lane, stats: Stats, t: Target, row: Row) -> u32 {
    let e = exp_vec4(vec4<u32>(value), exp_base(stats.max_key)).x;
    let is_max = e == 1.0 || row.is_equal;
    let y = mul(select(e, 1.0, is_max), row.inv_sum);
    var g = mul(select(opaque(y - 1.0), -row.rest, is_max), row.share);
    if HAS_Z_LOSS {
        g = mul_add(y, row.z_scale, g);
    }
    let i = t.safe_class / 4u;
    return narrow4(flush4(bitcast<vec4<u32>>(adjust_grad(vec4<f32>(g), start, i, lane))))[t.safe_class % 4u];
}
//#end
//#end
//#end
//#end
//#end

fn z_loss_of(stats: Stats) -> f32 {
    let lse = bitcast<f32>(lse_bits(stats));
    // The square alone may overflow.
    return mul(mul(lse, params.z_loss), lse);
}

// The loss of a class of probability 0, as bits.
fn infinite_loss(target_weight: f32) -> u32 {
    return select(POS_INF, NEG_INF, HAS_WEIGHTS && target_weight < 0.0);
}

// a_t - m, from the target's value.
fn shifted_target(value: u32, row: Stats) -> TwoFloat4 {
    return two_diff4(vec4<f32>(bitcast<f32>(value)), vec4<f32>(max_of(row)));
}

//#if IS_NLL
fn log_prob_bits(value: u32, row: Stats) -> u32 {
    return select(value, NAN, (value & 0x7fffffffu) > POS_INF);
}

fn loss_bits(value: u32, t: Target, row: Stats) -> u32 {
    let is_weightless = t.weight == 0.0;
    let product = bitcast<u32>(weighted(mul(-t.weight, bitcast<f32>(value)), t));
    let word = select(product, select(infinite_loss(t.weight), 0u, is_weightless), is_weightless || value == NEG_INF);
    return select(word, NAN, (value & 0x7fffffffu) > POS_INF);
}
//#else
// ln y_t, from the target's value.
fn log_prob_bits(value: u32, row: Stats) -> u32 {
    if has_nan_or_inf(row.max_key) {
        return NAN;
    }
    if row.max_key == KEY_NEG_INF {
        return fully_masked_bits(NEG_INF, -ln_class_count());
    }
    let log_prob = sub_rounded4(shifted_target(value, row), splat_two_float4(ln_sum_of(row))).x;
    return select(bitcast<u32>(log_prob), NEG_INF, value == NEG_INF);
}

fn loss_bits(value: u32, t: Target, row: Stats) -> u32 {
    let target_weight = t.weight;
    if has_nan_or_inf(row.max_key) {
        return NAN;
    }
    let count = f32(class_count());
    let is_masked = row.max_key == KEY_NEG_INF;
    if is_masked && params.fully_masked != FULLY_MASKED_UNIFORM {
        return select(NAN, 0u, params.fully_masked == FULLY_MASKED_ZEROS);
    }
    if row.target_error == TARGET_IS_NAN {
        return NAN;
    }
    //#if HAS_TEACHER
    if has_nan_or_inf(row.teacher_max_key) || row.teacher_max_key == KEY_NEG_INF {
        return NAN;
    }
    //#end
    if !is_masked && (row.target_error == TARGET_ON_NEG_INF || (value == NEG_INF && target_weight != 0.0)) {
        return select(infinite_loss(target_weight), POS_INF, row.target_error == TARGET_ON_NEG_INF);
    }
    let ln_sum = ln_sum_two_float(select(row.max_count, count, is_masked), row.sum);
    var loss = sub_rounded4(splat_two_float4(ln_sum), shifted_target(value, row)).x;
    if is_masked {
        loss = ln_sum.x;
    }
    if HAS_TARGET_WEIGHT {
        loss = select(mul(loss, target_weight), 0.0, target_weight == 0.0);
    }
    if HAS_TARGET_SUMS {
        loss = fma(-2.0, row.target_dot, opaque(mul_add(row.target_sum, ln_sum.x, opaque(loss))));
    }
    if HAS_DIVERGENCE {
        loss = mul(row.target_dot, params.loss_scale);
    }
    if HAS_Z_LOSS {
        loss = opaque(loss) + z_loss_of(row);
    }
    return bitcast<u32>(weighted(loss, t));
}
//#end

// The target of a row, and what follows from it for the row's result.
struct Target {
    class_index: u32,
    // The same if it is a class, else 0, so that it may be loaded.
    safe_class: u32,
    weight: f32,
    row_weight: f32,
    is_ignored: bool,
    is_bad: bool,
}

// What belongs to a row, times the row's weight.
fn weighted(x: f32, t: Target) -> f32 {
    if HAS_ROW_WEIGHTS {
        return mul(x, t.row_weight);
    }
    return x;
}

fn target_of(lane: Lane) -> Target {
    let class_index = targets_at(lane.row);
    let is_ignored = (HAS_TARGETS && class_index == params.ignore_index) || is_left_out(lane.row);
    let is_bad = HAS_TARGETS && !is_ignored && class_index >= class_count();
    let safe_class = select(class_index, 0u, is_ignored || is_bad || !HAS_TARGETS);
    var weight = select(0.0, params.one_minus_smoothing, HAS_TARGETS);
    if HAS_WEIGHTS && HAS_TARGETS {
        weight = mul(weight, weights_at(safe_class));
    }
    return Target(class_index, safe_class, weight, row_weights_at(lane.row), is_ignored, is_bad);
}

// The target's value.
fn target_value(start: u32, lane: Lane, t: Target) -> u32 {
    return adjust_logits(load_around(start, t.safe_class), start, t.safe_class / 4u, lane)[t.safe_class % 4u];
}

// Called by the lane that owns the target's vec4.
fn put_row_outputs(lane: Lane, stats: Stats, t: Target, value: u32, is_masked: bool, is_special: bool) {
    if HAS_LOSS || HAS_LOG_PROB {
        put_loss(lane.row, select(select(loss_bits(value, t, stats), NAN, t.is_bad), 0u, t.is_ignored));
        put_log_prob(lane.row, select(select(log_prob_bits(value, stats), NAN, t.is_bad), 0u, t.is_ignored));
    }
    if HAS_ROW_Z_LOSS {
        let is_zero = t.is_ignored || (is_masked && params.fully_masked == FULLY_MASKED_ZEROS && !t.is_bad);
        let z = select(bitcast<u32>(weighted(z_loss_of(stats), t)), NAN, t.is_bad || is_special);
        put_row_z_loss(lane.row, select(z, 0u, is_zero));
    }
    put_lse(lane.row, lse_bits(stats));
    let is_odd = MARKS_ODD_ROWS && (has_nan_or_inf(stats.max_key) || stats.max_key == KEY_NEG_INF);
    put_argmax(lane.row, u32(stats.argmax) | select(0u, ODD_ROW, is_odd));
    //#if HAS_ENTROPY
    put_entropy(lane.row, entropy_bits(stats));
    //#end
}

fn row_of(lane: Lane, stats: Stats, t: Target, is_masked: bool, is_special: bool) -> Row {
    let is_zero = t.is_ignored
        || (!t.is_bad && !IS_NLL && is_masked && params.fully_masked == FULLY_MASKED_ZEROS);
    var is_nan = !t.is_ignored && (t.is_bad || is_special || stats.target_error == TARGET_IS_NAN);
    //#if HAS_TEACHER
    is_nan = is_nan || (!t.is_ignored && !is_zero
        && (has_nan_or_inf(stats.teacher_max_key) || stats.teacher_max_key == KEY_NEG_INF));
    //#end
    var all = stats;
    // A row of -inf alone is treated as if all its values were equal, unless `is_uniform` says otherwise.
    all.max_count = select(stats.max_count, f32(class_count()), is_masked);
    let at = lane.row * params.grad_scale_stride;
    var row: Row;
    row.inv_sum = select(inv_sum_of(all), 1.0, FROM_SAVED_LSE);
    // Where there is more than one maximum, 1 - y loses nothing, and is rounded only once.
    row.rest = select(mul(all.sum, row.inv_sum), 1.0 - row.inv_sum, all.max_count > 1.0);
    row.target_class = select(class_count(), t.class_index, HAS_TARGETS);
    row.target_weight = t.weight;
    row.target_sum = select(stats.target_sum, params.smoothing, HAS_TARGET_SUMS && FROM_SAVED_LSE);
    row.weight_sum = t.weight + row.target_sum;
    row.grad_scale = weighted(grad_scale_at(at), t);
    row.share = row.grad_scale;
    if HAS_TARGET_WEIGHT {
        row.share = mul(row.share, t.weight);
    }
    //#if HAS_TEACHER
    row.share = mul(row.share, params.loss_scale);
    row.teacher_inv_sum = reciprocal(max(stats.teacher_count, 1.0) + stats.teacher_sum);
    row.teacher_rest = mul(stats.teacher_sum, row.teacher_inv_sum);
    //#end
    row.factor = row.share;
    var z = 0.0;
    if HAS_Z_LOSS {
        // loss/finish.wgsl leaves the two scales side by side; a scale for each row serves for both.
        z = weighted(grad_scale_at(select(1u, at, params.grad_scale_stride == 1u)), t);
        row.z_scale = mul(mul(2.0 * params.z_loss, bitcast<f32>(lse_bits(stats))), z);
        row.factor = opaque(row.factor + row.z_scale);
    }
    row.factor = mul(row.factor, row.inv_sum);
    //#if HAS_DIRECTION
    row.mean = mul(stats.direction_sum, row.inv_sum);
    row.curvature = mul(row.weight_sum, row.grad_scale);
    if HAS_TEACHER {
        row.curvature = row.share;
    }
    if HAS_Z_LOSS {
        row.curvature = opaque(row.curvature + row.z_scale);
        row.z_mean = mul(mul(2.0 * params.z_loss, row.mean), z);
    }
    //#end
    row.is_equal = is_masked;
    row.is_uniform = is_zero || is_nan;
    row.word = select(0u, NAN, is_nan);
    return row;
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    let t = target_of(lane);
    let is_masked = stats.max_key == KEY_NEG_INF;
    let is_special = !IS_NLL
        && (has_nan_or_inf(stats.max_key) || (is_masked && params.fully_masked == FULLY_MASKED_NAN));
    let is_owner = lane.live && owns_chunk(t.safe_class / CHUNK, lane) && (t.safe_class / 4u) % LANES == lane.index;
    // In place, the target's value must be read before it is written over.
    var value = 0u;
    //#if IS_SHARD
    //#if HAS_SHARD_TARGET
    value = load_shard_target(t.safe_class, lane);
    //#end
    if is_first_of_row(lane) {
        put_row_outputs(lane, stats, t, value, is_masked, is_special);
    }
    //#else
    if is_owner {
        value = target_value(start, lane, t);
        put_row_outputs(lane, stats, t, value, is_masked, is_special);
    }
    //#end
    if HAS_RESULT && lane.live {
        let row = row_of(lane, stats, t, is_masked, is_special);
        //#if HAS_TARGET_STORE
        // The same holds for what a softcap's derivative is computed from.
        var at_target = 0u;
        if is_owner {
            at_target = target_result(value, start, lane, stats, t, row);
        }
        //#end
        write_row(start, lane, stats.max_key, row);
        //#if HAS_TARGET_STORE
        if is_owner && !row.is_uniform {
            store_class(start, t.safe_class, at_target);
        }
        //#end
    }
}
