// See option/on/z_loss.wgsl.

const HAS_Z_LOSS_ROWS: bool = false;

fn put_z_loss(row: u32, bits: u32) {
}
