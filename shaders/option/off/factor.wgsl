// See option/on/factor.wgsl.

const HAS_FACTOR: bool = false;

fn factor_at(i: u32) -> f32 {
    return 1.0;
}
