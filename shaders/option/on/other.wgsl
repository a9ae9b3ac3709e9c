// A matrix laid out as the logits are: soft targets, or a saved result.

const HAS_OTHER: bool = true;
@group(0) @binding(12) var<storage, read> other: array<Source>;

fn read_other(i: u32) -> Source {
    return other[i];
}
