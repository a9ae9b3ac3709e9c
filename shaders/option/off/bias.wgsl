// See option/on/bias.wgsl.

const HAS_BIAS: bool = false;

fn bias_at(i: u32) -> u32 {
    return 0u;
}
