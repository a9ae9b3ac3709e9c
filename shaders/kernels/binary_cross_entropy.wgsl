// Binary cross-entropy of each element by itself, with target t from 0 to 1, weight w, and the positive class's weight p:
// loss     = w ((1 - t) ln(1 + e^x) + p t ln(1 + e^-x)),     ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)
// gradient = w ((1 - t) sigma(x) - p t sigma(-x)) scale,     sigma(x) = 1 / (1 + e^-x)
// Memory is read once and written once. Reference: reference::binary_cross_entropy_with_logits.

//#import "bindings"
//#import "row/stats"
//#import "schedule/$SCHEDULE"

// What the weights are: one of the MASK constants of bindings.wgsl.
override WEIGHT_KIND: u32 = 0u;

struct Row {
    grad_scale: f32,
    // No row's result is one word.
    is_uniform: bool,
    word: u32,
}

fn weight_of(start: u32, c: u32) -> f32 {
    if WEIGHT_KIND == MASK_NONE {
        return 1.0;
    }
    return bitcast<f32>(mask_at(select(c, start + c * params.inner, WEIGHT_KIND == MASK_FULL)));
}

struct Element {
    loss: u32,
    gradient: u32,
}

// `e` is exp(-|x|).
fn element(bits: u32, e: f32, t: f32, start: u32, c: u32, grad_scale: f32) -> Element {
    let magnitude = bits & 0x7fffffffu;
    let is_negative = bits > 0x7fffffffu;
    let w = weight_of(start, c);
    let negative = 1.0 - t;
    let positive = mul(pos_weights_at(c), t);
    // The weighted target of the class against which the sign of x speaks, and that of the other class.
    let target_against = select(negative, positive, is_negative);
    let target_for = select(positive, negative, is_negative);
    let abs_x = bitcast<f32>(min(magnitude, POS_INF - 1u));
    let softplus = ln_1p(e);
    let inv = reciprocal(opaque(1.0 + e));
    var loss = bitcast<u32>(mul(w, opaque(mul(target_against, abs_x + softplus) + mul(target_for, softplus))));
    if magnitude == POS_INF {
        let cost = mul(target_against, w);
        loss = select(POS_INF | (bitcast<u32>(cost) & 0x80000000u), 0u, cost == 0.0);
    }
    // sigma(|x|) and sigma(-|x|), with the signs that they have in the gradient.
    let likely = select(inv, -inv, is_negative);
    let unlikely = mul(e, -likely);
    let g = mul(mul(w, opaque(mul(target_against, likely) + mul(target_for, unlikely))), grad_scale);
    if WEIGHT_KIND != MASK_NONE && w == 0.0 {
        // Whatever it would be multiplied with.
        loss = 0u;
    }
    let is_nan = magnitude > POS_INF || (bitcast<u32>(t) & 0x7fffffffu) > POS_INF;
    return Element(select(loss, NAN, is_nan), select(bitcast<u32>(g), NAN, is_nan));
}

fn put_element_loss(start: u32, c: u32, loss: u32) {
    if HAS_LOSS && c < class_count() {
        put_loss(start + c * params.inner, loss);
    }
}

fn result_vec4(bits: vec4<u32>, start: u32, index: u32, lane: Lane, row: Row) -> vec4<u32> {
    let t = bitcast<vec4<f32>>(source_vec4(SOFT_TARGETS, start, index, 0u));
    let c = classes_of(index);
    let last = class_count() - 1u;
    let magnitudes = min(bits & vec4<u32>(0x7fffffffu), vec4<u32>(POS_INF - 1u));
    let e = exp4(two_float4(-bitcast<vec4<f32>>(magnitudes)));
    let x = element(bits.x, e.x, t.x, start, min(c.x, last), row.grad_scale);
    let y = element(bits.y, e.y, t.y, start, min(c.y, last), row.grad_scale);
    let z = element(bits.z, e.z, t.z, start, min(c.z, last), row.grad_scale);
    let w = element(bits.w, e.w, t.w, start, min(c.w, last), row.grad_scale);
    put_element_loss(start, c.x, x.loss);
    put_element_loss(start, c.y, y.loss);
    put_element_loss(start, c.z, z.loss);
    put_element_loss(start, c.w, w.loss);
    return vec4<u32>(x.gradient, y.gradient, z.gradient, w.gradient);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    if lane.live {
        write_row(start, lane, 0, Row(grad_scale_at(lane.row * params.grad_scale_stride), false, 0u));
    }
}
