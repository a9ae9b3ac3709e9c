// Added to the logits, as bits of f32: one for each class, or laid out as the logits are.

const HAS_MASK: bool = true;
@group(0) @binding(14) var<storage, read> mask: array<u32>;

fn mask_at(i: u32) -> u32 {
    return mask[offset_of(14u) + i];
}
