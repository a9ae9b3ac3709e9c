// From a stored logit to the value used: a = softcap(scale * x + bias) + mask,  softcap(v) = cap * tanh(v / cap),
// and its derivative da/dx = scale * (1 - tanh^2(v / cap)).
// Stored infinities and NaN are recognised by their bits, and softcap leaves them as they are. A class that a causal
// mask hides has -inf added, so that a NaN or +inf in it shows. Rust twin: `reference::adjusted`.

//#import "bindings"
//#import "io/load"

const SIGN_BIT: u32 = 0x80000000u;
const ONE: u32 = 0x3f800000u;
// The bits of f32's largest number, and of the largest below the 2^17 numbers that overflows become: bits of x above 1, of which the
// last 13 are left out.
const MOST: u32 = POS_INF - 1u;
const OVERFLOW_SHIFT: u32 = 13u;
const MOST_BUT_OVERFLOWS: u32 = MOST - (1u << 17u);

// One of the MASK constants of bindings.wgsl.
override MASK_KIND: u32 = 0u;

//#if HAS_SOFTCAP_LOGITS
const SOFTCAP_SOURCE: u32 = SOFTCAP_LOGITS;
//#else
const SOFTCAP_SOURCE: u32 = LOGITS;
//#end

fn row_scale_of(lane: Lane) -> f32 {
    return select(params.scale, row_scale_at(lane.row), HAS_ROW_SCALE);
}

// Numbers with their sign, and no larger than one with these bits.
fn at_most4(bits: vec4<u32>, most: u32) -> vec4<u32> {
    return (bits & vec4<u32>(SIGN_BIT)) | min(bits & vec4<u32>(~SIGN_BIT), vec4<u32>(most));
}

// a + b, in which infinities and NaN are recognised by their bits. A sum of finite numbers that is too large is f32's largest.
fn add_bits(a: vec4<u32>, b: vec4<u32>) -> vec4<u32> {
    let infinity = vec4<u32>(POS_INF);
    let a_magnitude = a & vec4<u32>(~SIGN_BIT);
    let b_magnitude = b & vec4<u32>(~SIGN_BIT);
    var sum = at_most4(bitcast<vec4<u32>>(opaque4(bitcast<vec4<f32>>(a) + bitcast<vec4<f32>>(b))), MOST);
    sum = select(sum, a, a_magnitude == infinity);
    sum = select(sum, b, b_magnitude == infinity);
    let cancel = (a_magnitude == infinity) & (b_magnitude == infinity) & (a != b);
    let is_nan = (a_magnitude > infinity) | (b_magnitude > infinity) | cancel;
    return select(sum, vec4<u32>(NAN), is_nan);
}

// x * factor, in the same way, but that a product that is too large is one of f32's largest numbers: the larger, the larger x, so
// that a row's largest logit remains that. Other products are below those.
fn scale_bits(bits: vec4<u32>, factor: f32) -> vec4<u32> {
    let magnitude = bits & vec4<u32>(~SIGN_BIT);
    let factor_bits = bitcast<u32>(factor);
    let product = bitcast<vec4<u32>>(mul4(bitcast<vec4<f32>>(bits), vec4<f32>(factor)));
    let most = select(MOST, MOST_BUT_OVERFLOWS, (factor_bits & ~SIGN_BIT) > ONE);
    let overflow = vec4<u32>(MOST) - ((vec4<u32>(MOST) - min(magnitude, vec4<u32>(MOST))) >> vec4<u32>(OVERFLOW_SHIFT));
    let is_overflow = (product & vec4<u32>(~SIGN_BIT)) == vec4<u32>(POS_INF);
    let finite = select(at_most4(product, most), (product & vec4<u32>(SIGN_BIT)) | overflow, is_overflow);
    let signed = bits ^ vec4<u32>(factor_bits & SIGN_BIT);
    let is_zero = (factor_bits & ~SIGN_BIT) == 0u;
    let infinite = select(signed, vec4<u32>(NAN), vec4<bool>(is_zero));
    let words = select(finite, infinite, magnitude == vec4<u32>(POS_INF));
    // A factor out of a buffer may be anything.
    let is_nan = (magnitude > vec4<u32>(POS_INF)) | vec4<bool>((factor_bits & ~SIGN_BIT) >= POS_INF);
    return select(words, vec4<u32>(NAN), is_nan);
}

fn clamped_classes(index: u32) -> vec4<u32> {
    return min(classes_of(index), vec4<u32>(class_count() - 1u));
}

// scale * x + bias.
fn scaled_and_biased(bits: vec4<u32>, index: u32, lane: Lane) -> vec4<u32> {
    let factor = row_scale_of(lane);
    let a = scale_bits(bits, factor);
    if HAS_BIAS {
        let c = clamped_classes(index);
        let bias = vec4<u32>(bias_at(c.x), bias_at(c.y), bias_at(c.z), bias_at(c.w));
        return add_bits(a, bias);
    }
    return a;
}

fn is_finite4(bits: vec4<u32>) -> vec4<bool> {
    return (bits & vec4<u32>(~SIGN_BIT)) < vec4<u32>(POS_INF);
}

fn mask_vec4(start: u32, index: u32) -> vec4<u32> {
    var at = clamped_classes(index);
    if MASK_KIND == MASK_FULL {
        at = min(at, vec4<u32>(end_class() - 1u)) + vec4<u32>(place_of(0u, 1u));
        at = vec4<u32>(start) + at * params.inner;
    }
    return vec4<u32>(mask_at(at.x), mask_at(at.y), mask_at(at.z), mask_at(at.w));
}

fn adjust_logits(bits: vec4<u32>, start: u32, index: u32, lane: Lane) -> vec4<u32> {
    if ADJUSTS_GRAD_ONLY {
        return bits;
    }
    var a = scaled_and_biased(bits, index, lane);
    if HAS_SOFTCAP {
        let t = tanh4(mul4(bitcast<vec4<f32>>(a), vec4<f32>(params.softcap_reciprocal)));
        a = select(a, bitcast<vec4<u32>>(mul4(t.tanh, vec4<f32>(params.softcap))), is_finite4(a));
    }
    if MASK_KIND == MASK_PER_CLASS || MASK_KIND == MASK_FULL {
        a = add_bits(a, mask_vec4(start, index));
    }
    let c = classes_of(index);
    if MASK_KIND == MASK_CAUSAL {
        let last = i32((params.first_row + lane.row) % params.causal_group) + params.causal_offset;
        a = select(a, add_bits(a, vec4<u32>(NEG_INF)), vec4<i32>(c) > vec4<i32>(last));
    }
    return select(a, vec4<u32>(NEG_INF), c >= vec4<u32>(class_count()));
}

// g times da/dx. A g that is subnormal counts as 0 on every adapter, whatever the scale would make of it; a product of finite numbers
// that is too large is f32's largest number, and no step on the way to one that is not.
fn adjust_grad(g: vec4<f32>, start: u32, index: u32, lane: Lane) -> vec4<f32> {
    let factor = row_scale_of(lane);
    let flushed = opaque4(bitcast<vec4<f32>>(flush4(bitcast<vec4<u32>>(g))));
    var product = mul4(flushed, vec4<f32>(factor));
    if HAS_SOFTCAP {
        let v = scaled_and_biased(source_vec4(SOFTCAP_SOURCE, start, index, NEG_INF), index, lane);
        let t = tanh4(mul4(bitcast<vec4<f32>>(v), vec4<f32>(params.softcap_reciprocal)));
        let from_scaled = mul4(product, t.derivative);
        let from_derivative = mul4(mul4(flushed, t.derivative), vec4<f32>(factor));
        let capped = select(from_derivative, from_scaled, is_finite4(bitcast<vec4<u32>>(product)));
        product = select(product, capped, is_finite4(v));
    }
    let words = bitcast<vec4<u32>>(product);
    let is_finite = is_finite4(bitcast<vec4<u32>>(flushed)) & is_finite4(vec4<u32>(bitcast<u32>(factor)));
    return bitcast<vec4<f32>>(select(words, at_most4(words, MOST), is_finite));
}
