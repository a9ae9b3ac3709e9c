// The loss of each row.

const HAS_LOSS: bool = true;
@group(0) @binding(6) var<storage, read_write> loss: array<u32>;

fn put_loss(row: u32, bits: u32) {
    loss[offset_of(6u) + row] = bits;
}
