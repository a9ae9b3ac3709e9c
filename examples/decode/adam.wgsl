// Adam. The moments begin at 0, and with these two numbers the first step is RATE in size without the usual corrections.

const RATE: f32 = 0.01;
const MOMENTUM: f32 = 0.9;
const MEMORY: f32 = 0.99;

fn moments_after(before: vec2<f32>, gradient: f32) -> vec2<f32> {
    let fresh = vec2<f32>(gradient, gradient * gradient);
    return mix(fresh, before, vec2<f32>(MOMENTUM, MEMORY));
}

fn change_of(moments: vec2<f32>) -> f32 {
    return -RATE * moments.x / (sqrt(moments.y) + 1e-8);
}
