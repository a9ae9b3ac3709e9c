// The logits of each row are multiplied by it.

const HAS_ROW_SCALE: bool = true;
@group(0) @binding(16) var<storage, read> row_scale: array<f32>;

fn row_scale_at(i: u32) -> f32 {
    return row_scale[offset_of(16u) + i];
}
