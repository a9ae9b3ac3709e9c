// The gradient of the hidden layer: that of the logits times W, where the unit was not cut to 0. One invocation a unit.

override ROWS: u32 = 1u;
override CLASSES: u32 = 1u;
const HIDDEN: u32 = 64u;

@group(0) @binding(0) var<storage, read> hidden: array<f32>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<storage, read> gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> hidden_gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / HIDDEN;
    let unit = id.x % HIDDEN;
    if row >= ROWS {
        return;
    }
    var sum = 0.0;
    if hidden[id.x] > 0.0 {
        for (var class_index = 0u; class_index < CLASSES; class_index++) {
            sum += gradient[row * CLASSES + class_index] * weights[unit * CLASSES + class_index];
        }
    }
    hidden_gradient[id.x] = sum;
}
