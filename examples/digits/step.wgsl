// Gradient descent with momentum: v = MOMENTUM v + x^T g, W = W - RATE v. One invocation a weight.

override ROWS: u32 = 1u;
const PIXELS: u32 = 65u;
const CLASSES: u32 = 10u;
const MOMENTUM: f32 = 0.9;
const RATE: f32 = 0.3;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> velocity: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x / CLASSES;
    let class_index = id.x % CLASSES;
    if pixel >= PIXELS {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < ROWS; row++) {
        sum += x[row * PIXELS + pixel] * gradient[row * CLASSES + class_index];
    }
    let v = MOMENTUM * velocity[id.x] + sum;
    velocity[id.x] = v;
    weights[id.x] -= RATE * v;
}
