// What `fast: true` computes with in place of the protected arithmetic of math.wgsl: the driver's own functions, and
// sums and products that it may fuse and rearrange. The order of summation stays. Its errors are what `verify` measures.

fn opaque4(x: vec4<f32>) -> vec4<f32> {
    return x;
}

fn opaque2(x: vec2<f32>) -> vec2<f32> {
    return x;
}

fn opaque(x: f32) -> f32 {
    return x;
}

fn mul4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a * b;
}

fn mul(a: f32, b: f32) -> f32 {
    return a * b;
}

fn mul_add4(a: vec4<f32>, b: vec4<f32>, c: vec4<f32>) -> vec4<f32> {
    return fma(a, b, c);
}

fn mul_add(a: f32, b: f32, c: f32) -> f32 {
    return fma(a, b, c);
}

fn add4(a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    return a + b;
}

fn add(a: f32, b: f32) -> f32 {
    return a + b;
}

fn flush4(bits: vec4<u32>) -> vec4<u32> {
    return bits;
}

fn flush_positive4(bits: vec4<u32>) -> vec4<u32> {
    return bits;
}

fn two_diff4(a: vec4<f32>, b: vec4<f32>) -> TwoFloat4 {
    return two_float4(a - b);
}

fn rounded_diff4(a: vec4<f32>, b: vec4<f32>) -> TwoFloat4 {
    return two_float4(a - b);
}

fn sub_rounded4(a: TwoFloat4, b: TwoFloat4) -> vec4<f32> {
    return a.hi - b.hi;
}

fn exp4(x: TwoFloat4) -> vec4<f32> {
    return exp(x.hi);
}

fn ln_two_float(d: f32) -> vec2<f32> {
    return vec2<f32>(log(d), 0.0);
}

// Where k is 1 and s is small, log(k + s) would have lost its digits.
fn ln_sum_two_float(k: f32, s: f32) -> vec2<f32> {
    let d = k + s;
    let is_small = k == 1.0 && s < 0.01;
    return vec2<f32>(select(log(d), s * (1.0 - s * (0.5 - s * 0.33333334)), is_small), 0.0);
}

fn ln_1p(e: f32) -> f32 {
    return ln_sum_two_float(1.0, e).x;
}

fn tanh4(v: vec4<f32>) -> Tanh4 {
    let t = tanh(v);
    return Tanh4(t, vec4<f32>(1.0) - t * t);
}

fn reciprocal(d: f32) -> f32 {
    return 1.0 / d;
}
