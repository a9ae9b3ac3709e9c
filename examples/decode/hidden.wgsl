// The hidden layer: the embeddings of the characters that a row sees are added, and what is negative becomes 0. One invocation a
// unit. Follows context.wgsl.

@group(0) @binding(2) var<storage, read> embeddings: array<f32>;
@group(0) @binding(3) var<storage, read_write> hidden: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / HIDDEN;
    let unit = id.x % HIDDEN;
    if row >= ROWS {
        return;
    }
    var sum = 0.0;
    for (var back = 0u; back < CONTEXT; back++) {
        sum += embeddings[embedding_at(back, character_at(row, back)) + unit];
    }
    hidden[id.x] = max(sum, 0.0);
}
