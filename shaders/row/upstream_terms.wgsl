// What the backward pass of a softmax sums, from its result y and the upstream gradient g: y g, or g after a log-softmax.
// A class of probability 0 takes no part, whatever its g.

//#import "io/load"

fn upstream_vec4(start: u32, index: u32) -> vec4<f32> {
    return bitcast<vec4<f32>>(source_vec4(UPSTREAM_MATRIX, start, index, 0u));
}

// y = 0, or its logarithm -inf.
fn is_absent4(bits: vec4<u32>) -> vec4<bool> {
    return select((bits & vec4<u32>(0x7fffffffu)) == vec4<u32>(0u), bits == vec4<u32>(NEG_INF), vec4<bool>(IS_LOG));
}

//#if HAS_DIRECTION
// y v, or y v g.
fn direction_term_vec4(kind: u32, bits: vec4<u32>, start: u32, index: u32, g: vec4<f32>) -> vec4<f32> {
    var y = bitcast<vec4<f32>>(bits);
    if IS_LOG {
        y = exp4(two_float4(y));
    }
    let product = mul4(y, direction_vec4(start, index));
    return select(product, mul4(product, g), kind == DIRECTION_DOT);
}
//#end

fn term_vec4(kind: u32, bits: vec4<u32>, start: u32, index: u32, base: f32) -> vec4<f32> {
    let g = upstream_vec4(start, index);
    var t = g;
    //#if HAS_DIRECTION
    if kind == DIRECTION_SUM || kind == DIRECTION_DOT {
        t = direction_term_vec4(kind, bits, start, index, g);
        return select(t, vec4<f32>(0.0), is_absent4(bits) | (classes_of(index) >= vec4<u32>(class_count())));
    }
    //#end
    if !IS_LOG {
        t = mul4(g, bitcast<vec4<f32>>(bits));
    }
    return select(t, vec4<f32>(0.0), is_absent4(bits) | (classes_of(index) >= vec4<u32>(class_count())));
}
