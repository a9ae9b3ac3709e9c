// A step of the embeddings: the gradient of one is the sum of the hidden layer's over the rows that see this character in this
// place. One invocation takes the numbers of all characters for a place and a unit, and adds each row to that of its character.
// Follows context.wgsl and adam.wgsl.

@group(0) @binding(2) var<storage, read> hidden_gradient: array<f32>;
@group(0) @binding(3) var<storage, read_write> embeddings: array<f32>;
@group(0) @binding(4) var<storage, read_write> moments: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> sums: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x % HIDDEN;
    let back = id.x / HIDDEN;
    if back >= CONTEXT {
        return;
    }
    for (var character = 0u; character <= CLASSES; character++) {
        sums[embedding_at(back, character) + unit] = 0.0;
    }
    for (var row = 0u; row < ROWS; row++) {
        sums[embedding_at(back, character_at(row, back)) + unit] += hidden_gradient[row * HIDDEN + unit];
    }
    for (var character = 0u; character <= CLASSES; character++) {
        let i = embedding_at(back, character) + unit;
        moments[i] = moments_after(moments[i], sums[i]);
        embeddings[i] += change_of(moments[i]);
    }
}
