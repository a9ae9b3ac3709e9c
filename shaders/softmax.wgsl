// softmax:     y = exp(x - m) / d,     m = max x, d = sum of exp(x - m)
// log_softmax: y = (x - m) - ln d
// A row belongs to the lanes that the schedule gives it, and so do the number of times it is read. Twin: reference::softmax.

override LOG: bool = false;

fn result_quad(bits: vec4<u32>, row: Stats, ln_sum: f32) -> vec4<u32> {
    if is_odd(row.key) {
        return vec4<u32>(NAN);
    }
    if row.key == KEY_NEG_INF {
        let count = f32(params.classes);
        if LOG {
            return vec4<u32>(masked_word(NEG_INF, -ln(count)));
        }
        return vec4<u32>(masked_word(0u, 1.0 / count));
    }
    let largest = largest_of(row);
    if LOG {
        let y = (bitcast<vec4<f32>>(bits) - vec4<f32>(largest)) - vec4<f32>(ln_sum);
        return select(bitcast<vec4<u32>>(y), bits, bits == vec4<u32>(NEG_INF));
    }
    return bitcast<vec4<u32>>(exp_quad(bits, largest) / vec4<f32>(row.sum));
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let row = row_stats(start, lane);
    let ln_sum = ln(row.sum);
    let end = end_chunk(lane);
    for (var chunk = first_chunk(lane); chunk < end; chunk++) {
        hold_again(start, chunk, lane);
        for (var slot = 0u; slot < HELD; slot++) {
            let bits = result_quad(held[slot], row, ln_sum);
            if lane.live {
                store_quad(start, quad_of(slot, chunk, lane), bits);
            }
        }
    }
}
