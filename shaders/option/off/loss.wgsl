// See option/on/loss.wgsl.

const HAS_LOSS: bool = false;

fn put_loss(row: u32, bits: u32) {
}
