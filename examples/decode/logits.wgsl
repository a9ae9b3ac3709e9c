// logits = hidden W + bias, one invocation a logit. The bias is the last row of W.

override ROWS: u32 = 1u;
override CLASSES: u32 = 1u;
const HIDDEN: u32 = 64u;

@group(0) @binding(0) var<storage, read> hidden: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read_write> logits: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / CLASSES;
    let class_index = id.x % CLASSES;
    if row >= ROWS {
        return;
    }
    var sum = weights[HIDDEN * CLASSES + class_index];
    for (var unit = 0u; unit < HIDDEN; unit++) {
        sum += hidden[row * HIDDEN + unit] * weights[unit * CLASSES + class_index];
    }
    logits[id.x] = sum;
}
