// What a row of logits sums: exp(x - m), and for its entropy that times x - m.

fn term_quad(kind: u32, bits: vec4<u32>, start: u32, quad: u32, largest: f32) -> vec4<f32> {
    let e = exp_quad(bits, largest);
    if kind == HEAT {
        return heat_quad(e, bits, largest);
    }
    return e;
}

fn flaw_quad(bits: vec4<u32>, start: u32, quad: u32) -> i32 {
    return 0;
}

fn dense_quad(start: u32, quad: u32) -> vec4<f32> {
    return vec4<f32>(0.0);
}
