// With the target's share k = (1 - e) w_t, and dense shares s_c (terms/dense.wgsl) whose sum is P:
// loss     = k (ln d - (a_t - m)) + sum of s_c (ln d - (a_c - m)) + z_loss lse^2
// gradient = (k (y_c - [c = t]) + P y_c - s_c) factor + 2 z_loss lse y_c z_factor, times da/dx
// The loss is never (m + ln d) - a_t, which a large common offset would swallow. A row belongs to the lanes that the
// schedule gives it; the lane that owns the target's quad writes what belongs to the row. Twin: reference::cross_entropy.

// The input holds log-probabilities: loss = -k x_t, gradient = -k [c = t].
override IS_NLL: bool = false;
// k is not 1, or the shares of other classes are not 0.
override HAS_SHARE: bool = false;
override HAS_Z_LOSS: bool = false;

struct Row {
    inverse_sum: f32,
    // The target, its share, the sum of all dense shares.
    goal: u32,
    share: f32,
    dense: f32,
    // What the gradient is multiplied by, and what y is for the z-loss.
    factor: f32,
    z_factor: f32,
    // All -inf, and as if all were equal.
    is_masked: bool,
    // Where the whole row is one word, which one.
    is_uniform: bool,
    word: u32,
}

fn result_quad(bits: vec4<u32>, start: u32, quad: u32, lane: Lane, row: Row) -> vec4<u32> {
    let hit = classes_of(quad) == vec4<u32>(row.goal);
    let spike = select(vec4<f32>(0.0), vec4<f32>(1.0), hit);
    if IS_NLL {
        let g = mul4(mul4(-spike, vec4<f32>(row.share)), vec4<f32>(row.factor));
        let words = select(vec4<u32>(0u), bitcast<vec4<u32>>(g), hit);
        return select(words, vec4<u32>(row.word), row.is_uniform);
    }
    // The bits are those of kept terms.
    let y = select(bitcast<vec4<f32>>(kept_probs(bits, row.inverse_sum)), vec4<f32>(row.inverse_sum), row.is_masked);
    var g = y - spike;
    var no_share = !hit;
    if HAS_SHARE {
        g = mul4(g, vec4<f32>(row.share));
    }
    if HAS_DENSE {
        let s = dense_quad(start, quad);
        g = opaque4(g + mul4(y, vec4<f32>(row.dense))) - s;
        no_share = no_share & (s == vec4<f32>(0.0));
    }
    g = mul4(g, vec4<f32>(row.factor));
    if HAS_Z_LOSS {
        g = g + mul4(y, vec4<f32>(row.z_factor));
    }
    g = sloped(g, start, quad, lane);
    // A masked class takes no part, whatever the factor.
    let is_absent = (bits == vec4<u32>(0u)) & vec4<bool>(!row.is_masked) & no_share;
    let words = select(flushed4(bitcast<vec4<u32>>(g)), vec4<u32>(0u), is_absent);
    return select(words, vec4<u32>(row.word), row.is_uniform);
}

fn z_loss_of(stats: Stats) -> f32 {
    let l = bitcast<f32>(lse_bits(stats));
    return mul(mul(l, l), params.z_loss);
}

// a_t - m, with the target's value.
fn fall_of(value: u32, row: Stats) -> Difference {
    return difference4(vec4<f32>(bitcast<f32>(value)), vec4<f32>(largest_of(row)));
}

// ln y_t, with the target's value.
fn log_prob_bits(value: u32, row: Stats) -> u32 {
    if IS_NLL {
        return select(value, NAN, (value & 0x7fffffffu) > POS_INF);
    }
    if is_odd(row.key) {
        return NAN;
    }
    if row.key == KEY_NEG_INF {
        return masked_word(NEG_INF, -ln(f32(class_count())));
    }
    let log_prob = minus4(fall_of(value, row), splat4(ln_exact(row.sum))).x;
    return select(bitcast<u32>(log_prob), NEG_INF, value == NEG_INF);
}

fn loss_bits(value: u32, share: f32, row: Stats) -> u32 {
    if IS_NLL {
        let is_nothing = share == 0.0 || value == NEG_INF;
        let product = bitcast<u32>(mul(-share, bitcast<f32>(value)));
        let word = select(product, select(POS_INF, 0u, share == 0.0), is_nothing);
        return select(word, NAN, (value & 0x7fffffffu) > POS_INF);
    }
    if is_odd(row.key) {
        return NAN;
    }
    let count = f32(class_count());
    let is_masked = row.key == KEY_NEG_INF;
    if is_masked && params.policy != 2u {
        return select(NAN, 0u, params.policy == 1u);
    }
    if row.flaw == 2 {
        return NAN;
    }
    if !is_masked && (row.flaw == 1 || (value == NEG_INF && share != 0.0)) {
        return POS_INF;
    }
    let ln_sum = ln_exact(select(row.sum, count, is_masked));
    var loss = minus4(splat4(ln_sum), fall_of(value, row)).x;
    if is_masked {
        loss = ln_sum.x;
    }
    if HAS_SHARE {
        loss = select(mul(loss, share), 0.0, share == 0.0);
    }
    if HAS_DENSE {
        loss = opaque(loss + mul(row.dense, ln_sum.x)) - row.dense_x;
    }
    if HAS_Z_LOSS {
        loss = loss + z_loss_of(row);
    }
    return bitcast<u32>(loss);
}

fn entropy_bits(row: Stats) -> u32 {
    if is_odd(row.key) {
        return NAN;
    }
    if row.key == KEY_NEG_INF {
        return masked_word(0u, ln(f32(class_count())));
    }
    return bitcast<u32>(ln(row.sum) - mul(row.heat, inverse(row.sum)));
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);

    let goal = targets_at(lane.row);
    let ignored = HAS_TARGETS && goal == params.ignore_index;
    let bad = HAS_TARGETS && !ignored && goal >= class_count();
    let home = select(goal, 0u, ignored || bad || !HAS_TARGETS);
    var share = select(0.0, params.kept, HAS_TARGETS);
    if HAS_WEIGHTS && HAS_TARGETS {
        share = mul(share, weights_at(home));
    }
    let is_masked = stats.key == KEY_NEG_INF;
    let is_odd_row = !IS_NLL && (is_odd(stats.key) || (is_masked && params.policy == 0u));

    let is_home = owns_chunk(home / CHUNK, lane) && (home / 4u) % LANES == lane.index;
    if lane.live && is_home {
        if HAS_LOSS || HAS_LOG_PROB {
            let value = value_quad(load_around(start, home), start, home / 4u, lane)[home % 4u];
            put_loss(lane.row, select(select(loss_bits(value, share, stats), NAN, bad), 0u, ignored));
            put_log_prob(lane.row, select(select(log_prob_bits(value, stats), NAN, bad), 0u, ignored));
        }
        if HAS_Z_LOSS_ROWS {
            let is_zero = ignored || (is_masked && params.policy == 1u && !bad);
            let z = select(bitcast<u32>(z_loss_of(stats)), NAN, bad || is_odd_row);
            put_z_loss(lane.row, select(z, 0u, is_zero));
        }
        put_lse(lane.row, lse_bits(stats));
        put_argmax(lane.row, u32(stats.argmax));
        if HAS_ENTROPY {
            put_entropy(lane.row, entropy_bits(stats));
        }
    }
    if HAS_RESULT && lane.live {
        let is_zero = ignored || (!bad && !IS_NLL && is_masked && params.policy == 1u);
        let is_nan = !ignored && (bad || is_odd_row || stats.flaw == 2);
        let at = lane.row * params.factor_stride;
        let sum = select(stats.sum, f32(class_count()), is_masked);
        var dense = stats.dense;
        if HAS_DENSE && IS_GIVEN {
            dense = params.smoothing;
        }
        var row = Row(inverse(sum), goal, share, dense, factor_at(at), 0.0, is_masked, false, 0u);
        if IS_GIVEN {
            row.inverse_sum = 1.0;
        }
        if !HAS_TARGETS {
            row.goal = class_count();
        }
        if HAS_Z_LOSS {
            // settle.wgsl leaves the two factors side by side; one a row serves for both.
            let z = factor_at(select(1u, at, params.factor_stride == 1u));
            row.z_factor = mul(mul(2.0 * params.z_loss, bitcast<f32>(lse_bits(stats))), z);
        }
        row.is_uniform = is_zero || is_nan;
        row.word = select(0u, NAN, is_nan);
        write_row(start, lane, stats.key, row);
    }
}
