// loss     = ln d - (x_t - m),     m = max x, d = sum of exp(x - m)
// gradient = (y - [c = t]) * scale,     y = exp(x - m) / d
// The loss is never (m + ln d) - x_t, which a large common offset would swallow. A row belongs to the lanes that the
// schedule gives it; the lane that owns the target's quad writes what belongs to the row. Twin: reference::cross_entropy.

override HAS_GRADIENT: bool = false;
override HAS_LOSS: bool = false;
override HAS_LSE: bool = false;

@group(0) @binding(4) var<storage, read> targets: array<u32>;
// The upstream gradient, over the mean's denominator: one number (stride 0), or one a row.
@group(0) @binding(5) var<storage, read> scale: array<f32>;
@group(0) @binding(6) var<storage, read_write> loss: array<u32>;
@group(0) @binding(7) var<storage, read_write> lse: array<u32>;
@group(0) @binding(8) var<storage, read_write> argmax: array<u32>;

fn loss_bits(logit: u32, row: Stats) -> u32 {
    if is_odd(row.key) {
        return NAN;
    }
    if row.key == KEY_NEG_INF {
        return masked_word(0u, ln(f32(params.classes)));
    }
    if logit == NEG_INF {
        return POS_INF;
    }
    return bitcast<u32>(ln(row.sum) - (bitcast<f32>(logit) - largest_of(row)));
}

fn lse_bits(row: Stats) -> u32 {
    if is_odd(row.key) {
        return NAN;
    }
    if row.key == KEY_NEG_INF {
        return masked_word(NEG_INF, -ln(f32(params.classes)));
    }
    return bitcast<u32>(largest_of(row) + ln(row.sum));
}

struct Row {
    largest: f32,
    inverse_sum: f32,
    // The target, and what y - t is multiplied by.
    goal: u32,
    scale: f32,
    // All -inf, and as if all were equal.
    is_masked: bool,
    // Where the whole row is one word, which one.
    is_uniform: bool,
    word: u32,
}

fn result_quad(bits: vec4<u32>, first_class: u32, row: Row) -> vec4<u32> {
    let terms = select(exp_quad(bits, row.largest), vec4<f32>(1.0), row.is_masked);
    let y = mul4(terms, vec4<f32>(row.inverse_sum));
    let hit = (vec4<u32>(first_class) + vec4<u32>(0u, 1u, 2u, 3u)) == vec4<u32>(row.goal);
    let g = mul4(y - select(vec4<f32>(0.0), vec4<f32>(1.0), hit), vec4<f32>(row.scale));
    // A masked class takes no part, whatever the scale.
    let is_absent = (bits == vec4<u32>(NEG_INF)) & vec4<bool>(!row.is_masked) & !hit;
    let words = select(bitcast<vec4<u32>>(g), vec4<u32>(0u), is_absent);
    return select(words, vec4<u32>(row.word), row.is_uniform);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);

    let goal = targets[params.targets_offset + lane.row];
    let ignored = goal == params.ignore_index;
    let bad = !ignored && goal >= params.classes;
    let first = first_chunk(lane);
    let end = end_chunk(lane);

    if HAS_LOSS && lane.live {
        let home = select(goal, 0u, ignored || bad);
        let home_chunk = home / CHUNK;
        if home_chunk >= first && home_chunk < end && (home / 4u) % LANES == lane.index {
            var bits = 0u;
            if bad {
                bits = NAN;
            } else if !ignored {
                bits = loss_bits(load_one(start, home), stats);
            }
            loss[params.loss_offset + lane.row] = bits;
        }
    }
    if lane.live && lane.index == 0u && lane.piece == 0u {
        if HAS_LSE {
            lse[params.lse_offset + lane.row] = lse_bits(stats);
        }
        if HAS_ARGMAX {
            argmax[params.argmax_offset + lane.row] = u32(stats.argmax);
        }
    }
    if HAS_GRADIENT && lane.live {
        let is_masked = stats.key == KEY_NEG_INF;
        let is_zero = ignored || (!bad && is_masked && params.policy == 1u);
        let is_nan = !ignored && (bad || is_odd(stats.key) || (is_masked && params.policy == 0u));
        let factor = scale[params.scale_offset + lane.row * params.scale_stride];
        let sum = select(stats.sum, f32(params.classes), is_masked);
        let word = select(0u, NAN, is_nan);
        write_row(start, lane, Row(largest_of(stats), inverse(sum), goal, factor, is_masked, is_zero || is_nan, word));
    }
}
