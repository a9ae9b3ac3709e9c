// A weight for each class.

const HAS_WEIGHTS: bool = true;
@group(0) @binding(17) var<storage, read> weights: array<f32>;

fn weights_at(i: u32) -> f32 {
    return weights[offset_of(17u) + i];
}
