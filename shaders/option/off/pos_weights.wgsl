// See option/on/pos_weights.wgsl.

const HAS_POS_WEIGHTS: bool = false;

fn pos_weights_at(i: u32) -> f32 {
    return 1.0;
}
