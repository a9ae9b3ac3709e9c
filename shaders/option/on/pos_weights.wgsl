// The weight of each class's positive examples.

const HAS_POS_WEIGHTS: bool = true;
@group(0) @binding(19) var<storage, read> pos_weights: array<f32>;

fn pos_weights_at(i: u32) -> f32 {
    return pos_weights[offset_of(19u) + i];
}
