// Binary cross-entropy of each element by itself, with a target t from 0 to 1, its weight w, and p for what is positive:
// loss     = w ((1 - t) ln(1 + e^x) + p t ln(1 + e^-x)),     ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|)
// gradient = w ((1 - t) sigma(x) - p t sigma(-x)) factor,    sigma(x) = 1 / (1 + e^-x)
// Memory is read once and written once. Twin: reference::binary_cross_entropy_with_logits.

// 0 none, 2 one for each class, 3 laid out as the logits are.
override WEIGHT_KIND: u32 = 0u;

struct Row {
    factor: f32,
}

fn weight_of(start: u32, c: u32) -> f32 {
    if WEIGHT_KIND == 0u {
        return 1.0;
    }
    return bitcast<f32>(mask_at(select(c, start + c * params.inner, WEIGHT_KIND == 3u)));
}

struct Binary {
    loss: u32,
    gradient: u32,
}

// `e`: exp(-|x|).
fn binary(bits: u32, e: f32, t: f32, start: u32, c: u32, factor: f32) -> Binary {
    let size = bits & 0x7fffffffu;
    let is_negative = bits > 0x7fffffffu;
    let w = weight_of(start, c);
    let negative = 1.0 - t;
    let positive = mul(pos_weights_at(c), t);
    // The share of the class that x speaks for, and of the other.
    let claimed = select(negative, positive, is_negative);
    let opposed = select(positive, negative, is_negative);
    let distance = bitcast<f32>(min(size, POS_INF - 1u));
    let rest = ln_1p(e);
    let over = inverse(1.0 + e);
    var loss = bitcast<u32>(mul(w, opaque(mul(claimed, distance + rest) + mul(opposed, rest))));
    if size == POS_INF {
        let cost = mul(claimed, w);
        loss = select(POS_INF | (bitcast<u32>(cost) & 0x80000000u), 0u, cost == 0.0);
    }
    let sure = select(over, -over, is_negative);
    let unsure = mul(e, -sure);
    let g = mul(mul(w, opaque(mul(claimed, sure) + mul(opposed, unsure))), factor);
    let is_nan = size > POS_INF || (bitcast<u32>(t) & 0x7fffffffu) > POS_INF;
    return Binary(select(loss, NAN, is_nan), select(bitcast<u32>(g), NAN, is_nan));
}

fn put_one(start: u32, c: u32, loss: u32) {
    if HAS_LOSS && c < class_count() {
        put_loss(start + c * params.inner, loss);
    }
}

fn result_quad(bits: vec4<u32>, start: u32, quad: u32, lane: Lane, row: Row) -> vec4<u32> {
    let t = other_quad(start, quad);
    let c = classes_of(quad);
    let last = class_count() - 1u;
    let sizes = min(bits & vec4<u32>(0x7fffffffu), vec4<u32>(POS_INF - 1u));
    let e = exp4(exact4(-bitcast<vec4<f32>>(sizes)));
    let x = binary(bits.x, e.x, t.x, start, min(c.x, last), row.factor);
    let y = binary(bits.y, e.y, t.y, start, min(c.y, last), row.factor);
    let z = binary(bits.z, e.z, t.z, start, min(c.z, last), row.factor);
    let w = binary(bits.w, e.w, t.w, start, min(c.w, last), row.factor);
    put_one(start, c.x, x.loss);
    put_one(start, c.y, y.loss);
    put_one(start, c.z, z.loss);
    put_one(start, c.w, w.loss);
    return vec4<u32>(x.gradient, y.gradient, z.gradient, w.gradient);
}

fn run(lane: Lane) {
    let start = row_start(lane.row);
    let stats = row_stats(start, lane);
    if lane.live {
        write_row(start, lane, 0, Row(factor_at(lane.row * params.factor_stride)));
    }
}
