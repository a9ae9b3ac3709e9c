// A class index for each row.

const HAS_TARGETS: bool = true;
@group(0) @binding(4) var<storage, read> targets: array<u32>;

fn targets_at(i: u32) -> u32 {
    return targets[offset_of(4u) + i];
}
