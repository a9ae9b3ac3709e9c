// A step of W and its bias: their gradient is hidden^T times that of the logits. One invocation a weight. Follows adam.wgsl.

override ROWS: u32 = 1u;
override CLASSES: u32 = 1u;
const HIDDEN: u32 = 64u;

@group(0) @binding(0) var<storage, read> hidden: array<f32>;
@group(0) @binding(1) var<storage, read> gradient: array<f32>;
@group(0) @binding(2) var<storage, read_write> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> moments: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x / CLASSES;
    let class_index = id.x % CLASSES;
    if unit > HIDDEN {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < ROWS; row++) {
        var input = 1.0;
        if unit < HIDDEN {
            input = hidden[row * HIDDEN + unit];
        }
        sum += input * gradient[row * CLASSES + class_index];
    }
    moments[id.x] = moments_after(moments[id.x], sum);
    weights[id.x] += change_of(moments[id.x]);
}
