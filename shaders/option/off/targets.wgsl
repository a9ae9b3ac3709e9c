// See option/on/targets.wgsl.

const HAS_TARGETS: bool = false;

fn targets_at(i: u32) -> u32 {
    return 0u;
}
