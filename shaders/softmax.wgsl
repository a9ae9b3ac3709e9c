// softmax:     y = exp(x - m) / d,     m = max x, d = sum of exp(x - m)
// log_softmax: y = (x - m) - ln d
// A row belongs to the lanes that the schedule gives it, and so do the number of times it is read. Twin: reference::softmax.

override LOG: bool = false;

struct Row {
    largest: f32,
    ln_sum: f32,
    inverse_sum: f32,
    // Where the whole row is one word, which one.
    is_uniform: bool,
    word: u32,
}

fn result_quad(bits: vec4<u32>, first_class: u32, row: Row) -> vec4<u32> {
    var y: vec4<u32>;
    if LOG {
        let x = bitcast<vec4<f32>>(bits);
        y = bitcast<vec4<u32>>((x - vec4<f32>(row.largest)) - vec4<f32>(row.ln_sum));
        y = select(y, bits, bits == vec4<u32>(NEG_INF));
    } else {
        y = bitcast<vec4<u32>>(mul4(exp_quad(bits, row.largest), vec4<f32>(row.inverse_sum)));
    }
    return select(y, vec4<u32>(row.word), row.is_uniform);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    let count = f32(params.classes);
    var word = NAN;
    if stats.key == KEY_NEG_INF {
        word = select(masked_word(0u, inverse(count)), masked_word(NEG_INF, -ln(count)), LOG);
    }
    let is_uniform = is_odd(stats.key) || stats.key == KEY_NEG_INF;
    if lane.live {
        write_row(start, lane, Row(largest_of(stats), ln(stats.sum), inverse(stats.sum), is_uniform, word));
    }
}
