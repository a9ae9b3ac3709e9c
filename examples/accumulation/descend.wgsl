// Gradient descent: W = W - RATE sum. One invocation a weight.

const WEIGHTS: u32 = 650u;
const RATE: f32 = 1.0;

@group(0) @binding(0) var<storage, read> sum: array<f32>;
@group(0) @binding(1) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < WEIGHTS {
        weights[id.x] -= RATE * sum[id.x];
    }
}
