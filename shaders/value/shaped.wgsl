// a = softcap(scale * x + bias) + mask,     softcap(v) = cap * tanh(v / cap)
// da/dx = scale * (1 - tanh^2(v / cap))
// Stored infinities and NaN go by their bits: softcap leaves them as they are. A hidden class counts as one that has -inf
// added: a NaN or +inf in it shows. Twin: reference::adjusted.

override HAS_SOFTCAP: bool = false;
// 0 none, 1 causal, 2 one for each class, 3 laid out as the logits are.
override MASK_KIND: u32 = 0u;
// Where a backward pass finds the stored logits: binding 1 or 13.
override SLOPE_SOURCE: u32 = 1u;
// A backward pass whose input is no logits: they stay as they are, and the slope alone counts.
override IS_SLOPE: bool = false;

fn row_factor(lane: Lane) -> f32 {
    return select(params.scale, row_scale_at(lane.row), HAS_ROW_SCALE);
}

// a + b, in which infinities and NaN go by their bits.
fn sum_bits(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    let infinity = vec4<u32>(POS_INF);
    let a_size = a & vec4<u32>(0x7fffffffu);
    let b_size = b & vec4<u32>(0x7fffffffu);
    var sum = bitcast<vec4<u32>>(opaque4(bitcast<vec4<f32>>(a) + bitcast<vec4<f32>>(b)));
    sum = select(sum, a, a_size == infinity);
    sum = select(sum, b, b_size == infinity);
    let is_nan = (a_size > infinity) | (b_size > infinity) | ((a_size == infinity) & (b_size == infinity) & (a != b));
    return select(sum, vec4<u32>(NAN), is_nan);
}

// x * factor, likewise.
fn scaled_bits(bits: vec4<u32>, factor: f32) -> vec4<u32> {
    let size = bits & vec4<u32>(0x7fffffffu);
    let factor_bits = bitcast<u32>(factor);
    let product = bitcast<vec4<u32>>(mul4(bitcast<vec4<f32>>(bits), vec4<f32>(factor)));
    let signed = bits ^ vec4<u32>(factor_bits & 0x80000000u);
    let is_zero = (factor_bits & 0x7fffffffu) == 0u;
    let infinite = select(signed, vec4<u32>(NAN), vec4<bool>(is_zero));
    let words = select(product, infinite, size == vec4<u32>(POS_INF));
    let is_nan = (size > vec4<u32>(POS_INF)) | vec4<bool>((factor_bits & 0x7fffffffu) > POS_INF);
    return select(words, vec4<u32>(NAN), is_nan);
}

fn per_class(quad: u32) -> vec4<u32> {
    return min(classes_of(quad), vec4<u32>(class_count() - 1u));
}

// scale * x + bias.
fn before_softcap(bits: vec4<u32>, quad: u32, lane: Lane) -> vec4<u32> {
    let factor = row_factor(lane);
    var a = scaled_bits(bits, factor);
    var is_finite = is_finite4(bits) & is_finite4(vec4<u32>(bitcast<u32>(factor)));
    if HAS_BIAS {
        let c = per_class(quad);
        let bias = vec4<u32>(bias_at(c.x), bias_at(c.y), bias_at(c.z), bias_at(c.w));
        a = sum_bits(a, bias);
        is_finite = is_finite & is_finite4(bias);
    }
    // What has overflowed is no stored infinity, and is capped.
    let overflowed = vec4<bool>(HAS_SOFTCAP) & is_finite & !is_finite4(a);
    return select(a, (a & vec4<u32>(0x80000000u)) | vec4<u32>(POS_INF - 1u), overflowed);
}

fn is_finite4(bits: vec4<u32>) -> vec4<bool> {
    return (bits & vec4<u32>(0x7fffffffu)) < vec4<u32>(POS_INF);
}

fn mask_quad(start: u32, quad: u32) -> vec4<u32> {
    var at = per_class(quad);
    if MASK_KIND == 3u {
        at = vec4<u32>(start) + at * params.inner;
    }
    return vec4<u32>(mask_at(at.x), mask_at(at.y), mask_at(at.z), mask_at(at.w));
}

fn value_quad(bits: vec4<u32>, start: u32, quad: u32, lane: Lane) -> vec4<u32> {
    if IS_SLOPE {
        return bits;
    }
    var a = before_softcap(bits, quad, lane);
    if HAS_SOFTCAP {
        let t = tanh4(mul4(bitcast<vec4<f32>>(a), vec4<f32>(params.softcap_inverse)));
        a = select(a, bitcast<vec4<u32>>(mul4(t.tanh, vec4<f32>(params.softcap))), is_finite4(a));
    }
    if MASK_KIND > 1u {
        a = sum_bits(a, mask_quad(start, quad));
    }
    let c = classes_of(quad);
    if MASK_KIND == 1u {
        let last = i32((params.first_row + lane.row) % params.causal_group) + params.causal_offset;
        a = select(a, sum_bits(a, vec4<u32>(NEG_INF)), vec4<i32>(c) > vec4<i32>(last));
    }
    return select(a, vec4<u32>(NEG_INF), c >= vec4<u32>(class_count()));
}

// g times da/dx.
fn sloped(g: vec4<f32>, start: u32, quad: u32, lane: Lane) -> vec4<f32> {
    let scaled = mul4(g, vec4<f32>(row_factor(lane)));
    if HAS_SOFTCAP {
        let v = before_softcap(source_quad(SLOPE_SOURCE, start, quad, NEG_INF), quad, lane);
        let t = tanh4(mul4(bitcast<vec4<f32>>(v), vec4<f32>(params.softcap_inverse)));
        return select(scaled, mul4(scaled, t.slope), is_finite4(v));
    }
    return scaled;
}
