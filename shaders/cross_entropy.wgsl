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

// Bits of the gradient of a row that is an ordinary one, or `Uniform` by policy.
fn gradient_quad(bits: vec4<u32>, first_class: u32, goal: u32, row: Stats, factor: f32) -> vec4<u32> {
    var y = exp_quad(bits, largest_of(row)) / vec4<f32>(row.sum);
    if row.key == KEY_NEG_INF {
        y = vec4<f32>(1.0 / f32(params.classes));
    }
    let hit = vec4<u32>(first_class, first_class + 1u, first_class + 2u, first_class + 3u) == vec4<u32>(goal);
    let g = (y - select(vec4<f32>(0.0), vec4<f32>(1.0), hit)) * vec4<f32>(factor);
    // A masked class takes no part, whatever the factor.
    let masked = (bits == vec4<u32>(NEG_INF)) & vec4<bool>(row.key != KEY_NEG_INF) & !hit;
    return select(bitcast<vec4<u32>>(g), vec4<u32>(0u), masked);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let row = row_stats(start, lane);

    let goal = targets[params.targets_offset + lane.row];
    let ignored = goal == params.ignore_index;
    let bad = !ignored && goal >= params.classes;
    let first = first_chunk(lane);
    let end = end_chunk(lane);
    let chunk_classes = CHUNK_QUADS * 4u;

    if HAS_LOSS && lane.live {
        let home = select(goal, 0u, ignored || bad);
        let home_chunk = home / chunk_classes;
        if home_chunk >= first && home_chunk < end && (home / 4u) % LANES == lane.index {
            var bits = 0u;
            if bad {
                bits = NAN;
            } else if !ignored {
                bits = loss_bits(load_one(start, home), row);
            }
            loss[params.loss_offset + lane.row] = bits;
        }
    }
    if lane.live && lane.index == 0u && lane.piece == 0u {
        if HAS_LSE {
            lse[params.lse_offset + lane.row] = lse_bits(row);
        }
        if HAS_ARGMAX {
            argmax[params.argmax_offset + lane.row] = u32(row.argmax);
        }
    }
    if HAS_GRADIENT && lane.live {
        let factor = scale[params.scale_offset + lane.row * params.scale_stride];
        let all_masked = row.key == KEY_NEG_INF;
        let is_zero = ignored || (!bad && all_masked && params.policy == 1u);
        let is_nan = bad || is_odd(row.key) || (all_masked && params.policy == 0u);
        for (var chunk = first; chunk < end; chunk++) {
            hold_again(start, chunk, lane);
            for (var slot = 0u; slot < HELD; slot++) {
                let quad = quad_of(slot, chunk, lane);
                var bits = gradient_quad(held[slot], quad * 4u, goal, row, factor);
                bits = select(bits, vec4<u32>(NAN), is_nan);
                bits = select(bits, vec4<u32>(0u), is_zero);
                store_quad(start, quad, bits);
            }
        }
    }
}
