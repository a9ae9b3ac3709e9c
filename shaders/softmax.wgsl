// softmax:            y = exp(a - m) / d,     m = max a, d = sum of exp(a - m)
// log_softmax:        y = (a - m) - ln d
// logsumexp:          lse = m + ln d, and its gradient g y da/dx, with the upstream gradient as each row's factor
// A row belongs to the lanes that the schedule gives it, and so do the number of times it is read.
// Twins: reference::softmax, reference::logsumexp.

override LOG: bool = false;
override IS_GRADIENT: bool = false;

struct Row {
    largest: f32,
    ln_sum: vec2<f32>,
    inverse_sum: f32,
    // All -inf, and as if all were equal, in a gradient.
    is_masked: bool,
    // Where the whole row is one word, which one.
    is_uniform: bool,
    word: u32,
}

fn result_quad(bits: vec4<u32>, start: u32, quad: u32, lane: Lane, row: Row) -> vec4<u32> {
    var y: vec4<u32>;
    if LOG {
        y = bitcast<vec4<u32>>(minus4(difference4(bitcast<vec4<f32>>(bits), vec4<f32>(row.largest)), splat4(row.ln_sum)));
        y = select(y, bits, bits == vec4<u32>(NEG_INF));
    } else {
        // Here the bits are those of kept terms.
        y = kept_probs(bits, row.inverse_sum);
    }
    if IS_GRADIENT {
        let p = select(bitcast<vec4<f32>>(y), vec4<f32>(row.inverse_sum), row.is_masked);
        let g = sloped(mul4(p, vec4<f32>(factor_at(lane.row * params.factor_stride))), start, quad, lane);
        y = select(flushed4(bitcast<vec4<u32>>(g)), vec4<u32>(0u), (bits == vec4<u32>(0u)) & vec4<bool>(!row.is_masked));
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
        let is_masked = stats.key == KEY_NEG_INF;
        var word = NAN;
        if is_masked {
            word = select(masked_word(0u, inverse(count)), masked_word(NEG_INF, -ln(count)), LOG);
        }
        let as_equal = IS_GRADIENT && is_masked && params.policy == 2u;
        let is_uniform = is_odd(stats.key) || (is_masked && !as_equal);
        let over = inverse(select(stats.sum, count, as_equal));
        write_row(start, lane, stats.key, Row(largest_of(stats), ln_exact(stats.sum), over, as_equal, is_uniform, word));
    }
}
