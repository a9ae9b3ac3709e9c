// What the backward pass of a softmax sums, from its result y and the upstream gradient g: y g, or g after a log.
// A class of probability 0 takes no part, whatever its g.

override LOG: bool = false;

// y = 0, or its logarithm -inf.
fn is_absent4(bits: vec4<u32>) -> vec4<bool> {
    return select((bits & vec4<u32>(0x7fffffffu)) == vec4<u32>(0u), bits == vec4<u32>(NEG_INF), vec4<bool>(LOG));
}

fn term_quad(kind: u32, bits: vec4<u32>, start: u32, quad: u32, largest: f32) -> vec4<f32> {
    let g = other_quad(start, quad);
    var t = g;
    if !LOG {
        t = mul4(g, bitcast<vec4<f32>>(bits));
    }
    return select(t, vec4<f32>(0.0), is_absent4(bits) | (classes_of(quad) >= vec4<u32>(class_count())));
}

fn flaw_quad(bits: vec4<u32>, start: u32, quad: u32) -> i32 {
    return 0;
}
