// A matrix laid out as the logits are: logits that a slope is taken at, or an upstream gradient.

const HAS_THIRD: bool = true;
@group(0) @binding(13) var<storage, read> third: array<Source>;

fn read_third(i: u32) -> Source {
    return third[i];
}
