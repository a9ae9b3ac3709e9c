// The logits are used as they are stored.

fn value_quad(bits: vec4<u32>, start: u32, quad: u32, lane: Lane) -> vec4<u32> {
    return bits;
}

fn sloped(g: vec4<f32>, start: u32, quad: u32, lane: Lane) -> vec4<f32> {
    return g;
}
