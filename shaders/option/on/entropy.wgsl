// -sum of y ln y of each row.

const HAS_ENTROPY: bool = true;
@group(0) @binding(11) var<storage, read_write> entropy: array<u32>;

fn put_entropy(row: u32, bits: u32) {
    entropy[offset_of(11u) + row] = bits;
}
