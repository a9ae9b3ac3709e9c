// Adds the gradient with respect to the weights to the sum over earlier micro-batches: sum += x^T g. One invocation a weight.

override ROWS: u32 = 1u;
const PIXELS: u32 = 65u;
const CLASSES: u32 = 10u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> sum: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let pixel = id.x / CLASSES;
    let class_index = id.x % CLASSES;
    if pixel >= PIXELS {
        return;
    }
    var gradient_sum = 0.0;
    for (var row = 0u; row < ROWS; row++) {
        gradient_sum += x[row * PIXELS + pixel] * gradient[row * CLASSES + class_index];
    }
    sum[id.x] += gradient_sum;
}
