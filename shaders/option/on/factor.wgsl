// What a row's gradient is multiplied by.

const HAS_FACTOR: bool = true;
@group(0) @binding(5) var<storage, read> factor: array<f32>;

fn factor_at(i: u32) -> f32 {
    return factor[offset_of(5u) + i];
}
