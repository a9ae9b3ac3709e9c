// See option/on/mask.wgsl.

const HAS_MASK: bool = false;

fn mask_at(i: u32) -> u32 {
    return 0u;
}
