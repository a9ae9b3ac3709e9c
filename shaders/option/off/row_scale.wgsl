// See option/on/row_scale.wgsl.

const HAS_ROW_SCALE: bool = false;

fn row_scale_at(i: u32) -> f32 {
    return 1.0;
}
