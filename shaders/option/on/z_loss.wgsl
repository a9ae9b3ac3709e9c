// The part z_loss * lse^2 of each row's loss.

const HAS_Z_LOSS_ROWS: bool = true;
@group(0) @binding(9) var<storage, read_write> z_loss: array<u32>;

fn put_z_loss(row: u32, bits: u32) {
    z_loss[offset_of(9u) + row] = bits;
}
