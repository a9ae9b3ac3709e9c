// Added to the scaled logits of each class, as bits of f32.

const HAS_BIAS: bool = true;
@group(0) @binding(15) var<storage, read> bias: array<u32>;

fn bias_at(i: u32) -> u32 {
    return bias[offset_of(15u) + i];
}
