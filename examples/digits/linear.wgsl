// logits = x W, one invocation a logit. The last pixel of each image is 1, so that the last row of W is the bias.

override ROWS: u32 = 1u;
const PIXELS: u32 = 65u;
const CLASSES: u32 = 10u;

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / CLASSES;
    let class_index = id.x % CLASSES;
    if row >= ROWS {
        return;
    }
    var sum = 0.0;
    for (var p = 0u; p < PIXELS; p++) {
        sum += x[row * PIXELS + p] * weights[p * CLASSES + class_index];
    }
    logits[id.x] = sum;
}
