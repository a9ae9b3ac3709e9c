// A step of the embeddings: the gradient of one is the sum of the hidden layer's over the rows that see this character in this
// place. One invocation a number. Follows context.wgsl and adam.wgsl.

@group(0) @binding(2) var<storage, read> hidden_gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> embeddings: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x % HIDDEN;
    let character = (id.x / HIDDEN) % (CLASSES + 1u);
    let back = id.x / HIDDEN / (CLASSES + 1u);
    if back >= CONTEXT {
        return;
    }
    var sum = 0.0;
    for (var row = 0u; row < ROWS; row++) {
        if character_at(row, back) == character {
            sum += hidden_gradient[row * HIDDEN + unit];
        }
    }
    moments[id.x] = moments_after(moments[id.x], sum);
    embeddings[id.x] += change_of(moments[id.x]);
}
